"""What is wrong with a filter, told to the person who wrote it."""

from __future__ import annotations

from events.errors import Reject

_MOST = 120


class FilterError(Reject):
    """A filter that cannot be understood (HTTP 400). Its text shows the place with a caret.

    ``reason`` says what is wrong; ``index`` is the character (from 0) in a text filter, ``line`` and ``column`` (from 1) the
    same for people; ``pointer`` is the JSON Pointer (RFC 6901) into a CQL2-JSON filter. What is not known is -1, 0 or ``""``.
    ``of`` is the attribute that the filter is.
    """

    def __init__(self, reason: str, *, text: str = "", index: int = -1, pointer: str = "", of: str = "filter") -> None:
        self.reason, self.text, self.index, self.pointer, self.of = reason, text, index, pointer, of
        self.line = self.column = 0
        place = ""
        if index >= 0:
            before = text[:index].split("\n")
            self.line, self.column = len(before), len(before[-1]) + 1
            row = text.split("\n")[self.line - 1]
            first = max(0, self.column - 1 - _MOST // 2)
            shown = "".join(one if one.isprintable() else " " for one in row[first : first + _MOST])
            place = f" at line {self.line}, column {self.column}:\n  {shown}\n  {' ' * (self.column - 1 - first)}^"
        elif pointer:
            place = f" at {pointer}"
        super().__init__(f"{of}: {reason}{place}")

    def at(self, text: str, index: int) -> FilterError:
        """The same error at a place of the text that the filter was written as."""
        return FilterError(self.reason, text=text, index=index, pointer=self.pointer, of=self.of)

    def within(self, of: str) -> FilterError:
        """The same error of the filter that is an attribute of this name."""
        return FilterError(self.reason, text=self.text, index=self.index, pointer=self.pointer, of=of)
