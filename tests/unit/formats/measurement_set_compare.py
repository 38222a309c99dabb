"""Compares slices with casacore's own selection, in a process that has casacore: reads lines of JSON, answers each with a line.

A line is [path of the whole, path of the slice, its first row, its number of rows]; the answer is "" or what differs.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any


class Comparer:
    """The caller's side."""

    def __init__(self) -> None:
        self._child = subprocess.Popen([sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def differs(self, whole: Path, part: str, first: int, rows: int) -> str:
        """Where the slice is not what casacore selects; "" where it is."""
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        self._child.stdin.write(json.dumps([str(whole), str(part), first, rows]) + "\n")
        self._child.stdin.flush()
        answer: str = json.loads(self._child.stdout.readline())
        return answer

    def close(self) -> None:
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        self._child.stdin.close()
        self._child.stdout.close()
        self._child.wait()


def compare(whole_path: str, part_path: str, first: int, rows: int) -> None:
    """Raises ``AssertionError`` where they differ."""
    from casacore.tables import table

    whole, part = table(whole_path, ack=False), table(part_path, ack=False)
    chosen = whole.selectrows(list(range(first, first + rows)))
    assert part.nrows() == rows
    assert part.colnames() == whole.colnames()
    for name in whole.colnames():
        assert str(part.getcolkeywords(name)) == str(whole.getcolkeywords(name)), name
        for row in range(rows):
            _cell(chosen, part, name, row)
    if first:
        return  # all slices have the same sub-tables: it is enough to look at those of the first
    words, others = whole.getkeywords(), part.getkeywords()
    assert list(words) == list(others)
    for word, value in words.items():
        if isinstance(value, str) and value.startswith("Table: "):
            _table(table(value, ack=False), table(others[word], ack=False))
        else:
            assert str(value) == str(others[word]), word


def _table(one: Any, other: Any) -> None:
    assert one.nrows() == other.nrows()
    assert sorted(one.colnames()) == sorted(other.colnames())
    for name in one.colnames():
        for row in range(one.nrows()):
            _cell(one, other, name, row)


def _cell(one: Any, other: Any, name: str, row: int) -> None:
    assert one.iscelldefined(name, row) == other.iscelldefined(name, row), (name, row)
    if one.iscelldefined(name, row):
        a, b = one.getcell(name, row), other.getcell(name, row)
        if hasattr(a, "tobytes"):
            assert (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes()), (name, row)
        else:
            assert a == b, (name, row)


def main() -> None:
    """Serve; what casacore's C++ prints goes to the standard error."""
    import os

    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        try:
            compare(*json.loads(line))
            answer = ""
        except Exception as error:
            answer = f"{type(error).__name__}: {error}"
        print(json.dumps(answer), file=out, flush=True)


if __name__ == "__main__":
    main()
