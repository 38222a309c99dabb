"""Protocol buffers as they lie in a file: a message's fields one after the other, without making objects of them.

A library makes an object of every message before anybody can count them: two megabytes of empty ones cost it some 700 MB.
Source: Protocol Buffers, "Encoding".
"""

from __future__ import annotations

import re
from collections.abc import Iterator

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5


class Malformed(ValueError):
    """These bytes are no message, or were cut off."""


def varint(data: bytes, position: int) -> tuple[int, int]:
    """A number and the place behind it; a place behind the end where it is cut off."""
    value = 0
    for shift in range(0, 70, 7):
        if position >= len(data):
            return 0, len(data) + 1
        byte = data[position]
        position += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, position
    return 0, len(data) + 1


def run(number: int, wire: int) -> re.Pattern[bytes]:
    """What many numbers in a row look like, each with its own tag: trees have millions, which this skips at once."""
    tag = re.escape(bytes([number << 3 | wire]))
    size = {VARINT: rb"[\x80-\xff]*+[\x00-\x7f]", FIXED32: rb"[\x00-\xff]{4}", FIXED64: rb"[\x00-\xff]{8}"}[wire]
    return re.compile(b"(?:" + tag + size + b")++")


def fields(
    data: bytes, start: int, end: int, runs: dict[int, re.Pattern[bytes]] | None = None
) -> Iterator[tuple[int, int, int, int]]:
    """Number and wire type of each field of the message between ``start`` and ``end``, with its value and 0, or the place of
    its bytes. Of ``runs`` (by the first byte of the tag) nothing is given. Raises ``Malformed``.
    """
    at = start
    while at < end:
        tag = data[at]
        if runs and tag in runs and (found := runs[tag].match(data, at, end)):
            at = found.end()
            continue
        at += 1
        if tag > 127:
            tag, at = varint(data, at - 1)
        number, wire = tag >> 3, tag & 7
        if not number:
            raise Malformed("a field has the number 0")
        if wire == BYTES:
            size = data[at] if at < end else 0
            at += 1
            if size > 127:
                size, at = varint(data, at - 1)
            if at + size > end:
                raise Malformed("it was cut off")
            yield number, wire, at, at + size
            at += size
        elif wire == VARINT:
            value, at = varint(data, at)
            if at > end:
                raise Malformed("it was cut off")
            yield number, wire, value, 0
        elif wire in (FIXED32, FIXED64):
            size = 4 if wire == FIXED32 else 8
            if at + size > end:
                raise Malformed("it was cut off")
            yield number, wire, at, at + size
            at += size
        else:
            raise Malformed(f"a field has the type {wire}")
    if at != end:
        raise Malformed("it was cut off")


def numbers(data: bytes, wire: int, first: int, end: int) -> list[int]:
    """The values of a field of whole numbers, packed or not."""
    if wire == VARINT:
        return [first]
    found, at = [], first
    while wire == BYTES and at < end:
        value, at = varint(data, at)
        if at > end:
            raise Malformed("it was cut off")
        found.append(value)
    return found


def signed(value: int) -> int:
    """A number as ``int64``: negative ones are written in ten bytes."""
    value &= (1 << 64) - 1
    return value - (1 << 64) if value >> 63 else value
