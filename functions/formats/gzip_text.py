"""The text of a run of compressed bytes, from a seek point on."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from functions.formats.deflate import inflated
from functions.formats.format import Broken, short
from functions.formats.source import Source


def text_between(
    source: Source, place: tuple[int, int], bits: int, window: bytes | None, skip: int, length: int
) -> Iterator[bytes]:
    """``length`` bytes of text after ``skip`` others, from the bytes at ``place`` on, where a seek point is.

    Raises:
        Broken: they cannot be decompressed, or end earlier.

    """
    try:
        for piece in inflated(source.parts(*place), bits, window):
            text = piece[skip : skip + length]
            skip -= min(skip, len(piece))
            length -= len(text)
            if text:
                yield text
            if not length:
                return
    except zlib.error as error:
        raise Broken(f"{source} cannot be decompressed from its seek point: {short(error)}") from error
    if length:
        raise Broken(f"{source} ends {length} bytes before its slice does")
