"""Where in the text of a JSON document a part of it begins."""

from __future__ import annotations

import json
import re

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s{}\[\],:"]+', re.DOTALL)


class _Open:
    """An array or object that has not ended: at which of its places we are, ``None`` before a name."""

    def __init__(self, array: bool) -> None:
        self.array = array
        self.at: int | str | None = 0 if array else None

    def next(self) -> None:
        self.at = self.at + 1 if isinstance(self.at, int) else None


def place(text: str, pointer: str) -> int:
    """The index at which the part that a pointer (of names without escapes) leads to begins, or else what that would be in.

    Of a name that is there twice the last counts, as it does for whoever reads the document. ``text`` is JSON.
    """
    wanted = [step for step in pointer.split("/") if step]
    nearest, depth = 0, -1
    within: list[_Open] = []
    for found in _TOKEN.finditer(text):
        part = found[0]
        if part in "}]":
            within.pop()
        elif part == ",":
            within[-1].next()
        elif within and within[-1].at is None:
            within[-1].at = str(json.loads(part, strict=False))
        elif part != ":":
            path = [str(each.at) for each in within]
            if path == wanted[: len(path)] and len(path) >= depth:
                nearest, depth = found.start(), len(path)
            if part in "{[":
                within.append(_Open(part == "["))
    return nearest
