r"""Texts in filters: which may be bound, patterns of LIKE (``%``, ``_``, ``\``), and texts without case or accents."""

from __future__ import annotations

import re
import unicodedata
from functools import cached_property, lru_cache

from infra.catalog.query.errors import FilterError

LONGEST, LONGEST_PATTERN, MOST_WILD = 10_000, 1_000, 10
UNFIT = re.compile("[\x00\ud800-\udfff]")
_MARKS = re.compile("[\u0300-\u036f]")


def checked(text: str, at: str) -> str:
    """A text that both databases can take."""
    if len(text) > LONGEST:
        raise FilterError(f"a text of {len(text)} characters is longer than {LONGEST}", pointer=at)
    if UNFIT.search(text):
        raise FilterError("a text may not have the character U+0000 or half of a surrogate pair", pointer=at)
    return text


def fold(op: str, text: str) -> str:
    """``casei``: in lower case; ``accenti``: without the marks U+0300 to U+036F of its letters."""
    return text.lower() if op == "casei" else _MARKS.sub("", unicodedata.normalize("NFD", text))


def tokens(pattern: str) -> list[str]:
    r"""A pattern in pieces: ``%``, ``_``, and ``\x`` for each character that stands for itself. Raises ``ValueError``."""
    found, characters = [], iter(pattern)
    for one in characters:
        if one == "\\":
            one += next(characters, "")
            if len(one) == 1:
                raise ValueError("a pattern may not end in a single backslash")
            found.append(one)
        else:
            found.append(one if one in "%_" else "\\" + one)
    return found


def as_range(pattern: str, at: str) -> tuple[str, str | None] | None:
    """A pattern without wildcards as ``(text, None)``; one with a single ``%`` at its end as the texts from ``low`` to before
    ``high`` (``""``: no end); ``None`` for all others. Raises ``FilterError`` for a pattern that is none, or too long.
    """
    try:
        found = tokens(pattern)
    except ValueError as error:
        raise FilterError(str(error), pointer=at) from None
    if len(pattern) > LONGEST_PATTERN or found.count("%") > MOST_WILD:
        raise FilterError(f"a pattern has at most {LONGEST_PATTERN} characters and {MOST_WILD} signs %", pointer=at)
    if not any(one in ("%", "_") for one in found):
        return "".join(one[1:] for one in found), None
    if found[-1] == "%" and len(found) > 1 and not any(one in ("%", "_") for one in found[:-1]):
        low = "".join(one[1:] for one in found[:-1])
        return low, beyond(low)
    return None


def beyond(prefix: str) -> str:
    """The least text after all that begin with ``prefix``, or none: its last character one higher (no surrogate)."""
    stem = prefix.rstrip("\U0010ffff")
    return stem[:-1] + chr(0xE000 if stem[-1] == "\ud7ff" else ord(stem[-1]) + 1) if stem else ""


class Pattern(str):
    """A pattern that is kept with its pieces, for filters that are more than a cache can hold."""

    @cached_property
    def pieces(self) -> tuple[list[re.Pattern[str]], int]:
        """See ``_made``."""
        return _made(self)


def _pieces(pattern: str) -> tuple[list[re.Pattern[str]], int]:
    return pattern.pieces if isinstance(pattern, Pattern) else _known(pattern)


@lru_cache(4096)
def _known(pattern: str) -> tuple[list[re.Pattern[str]], int]:
    return _made(pattern)


def _made(pattern: str) -> tuple[list[re.Pattern[str]], int]:
    """What stands between the signs ``%``, and how many characters the last piece takes."""
    pieces: list[list[str]] = [[]]
    for one in tokens(pattern):
        if one == "%":
            pieces.append([])
        else:
            pieces[-1].append("." if one == "_" else re.escape(one[1:]))
    return [re.compile("".join(piece), re.DOTALL) for piece in pieces], len(pieces[-1])


def fits(text: str, pattern: str) -> bool:
    """LIKE, in time linear in the text for each ``%``."""
    (first, *more), width = _pieces(pattern)
    if not more:
        return first.fullmatch(text) is not None
    if (found := first.match(text)) is None:
        return False
    at = found.end()
    for piece in more[:-1]:
        if (found := piece.search(text, at)) is None:
            return False
        at = found.end()
    return len(text) - width >= at and more[-1].fullmatch(text, len(text) - width) is not None


def glob(pattern: str) -> str:
    """The pattern for SQLite's GLOB, which unlike its LIKE minds the case."""
    parts = {"%": "*", "_": "?", "\\*": "[*]", "\\?": "[?]", "\\[": "[[]"}
    return "".join(parts.get(one) or one[1:] for one in tokens(pattern))
