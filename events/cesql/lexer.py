"""The words of an expression, with their positions.

Source: CloudEvents SQL 1.0.0, section 2. A sign belongs to the integer behind it where a value may stand; the parser decides.
"""

from __future__ import annotations

import re
from enum import Enum, auto
from typing import NamedTuple

from events.cesql.errors import ParseError


class Kind(Enum):
    """What a word is."""

    NAME = auto()
    KEYWORD = auto()
    INTEGER = auto()
    STRING = auto()
    SYMBOL = auto()
    END = auto()


class Token(NamedTuple):
    """A word. ``text`` is a keyword in upper case, a string without its quotes and their escapes, or the word as it stands."""

    kind: Kind
    text: str
    position: int

    def __str__(self) -> str:
        return "the end" if self.kind is Kind.END else repr(self.text)


KEYWORDS = frozenset({"AND", "OR", "XOR", "NOT", "LIKE", "IN", "EXISTS", "TRUE", "FALSE"})
_WORD = re.compile(
    r"""[ \t\r\n]*(?:
        (?P<INTEGER>[0-9]+(?![A-Za-z0-9_]))
      | (?P<NAME>[A-Za-z0-9_]+)
      | (?P<STRING>'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*")
      | (?P<SYMBOL><=|>=|<>|!=|[()=<>,*/%+-])
      | (?P<END>\Z)
    )""",
    re.VERBOSE | re.DOTALL,
).match
_ESCAPE = {quote: re.compile(rf"\\(?:({quote})|(.))", re.DOTALL) for quote in "'\""}


def tokens(text: str) -> list[Token]:
    """The words of ``text``, the last of kind ``END``. Raises ``ParseError`` at the first character that begins none."""
    found: list[Token] = []
    at = 0
    while not found or found[-1].kind is not Kind.END:
        word = _WORD(text, at)
        if word is None:
            begin = at + len(text[at:]) - len(text[at:].lstrip(" \t\r\n"))
            rest = text[begin]
            reason = f"the quote {rest} is never closed" if rest in "'\"" else f"the character {rest!r} means nothing here"
            raise ParseError(reason, begin)
        found.append(_token(Kind[word.lastgroup or ""], word[word.lastgroup or 0], word.start(word.lastgroup or 0)))
        at = word.end()
    return found


def _token(kind: Kind, text: str, position: int) -> Token:
    if kind is Kind.NAME and text.upper() in KEYWORDS:
        return Token(Kind.KEYWORD, text.upper(), position)
    if kind is Kind.STRING:
        # Only the quote that surrounds it is escaped in a string; any other backslash stays, LIKE has its own use for it.
        return Token(kind, _ESCAPE[text[0]].sub(lambda each: each[1] or each[0], text[1:-1]), position)
    return Token(kind, text, position)
