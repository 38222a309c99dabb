"""Listing keys in byte order, page by page. A common prefix costs one seek in the index, however many keys it stands for."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

#: What a listing tells of an object.
COLUMNS = "key, size, etag, modified, about"


@dataclass
class Page:
    """A page of a listing, in order: objects, common prefixes, and where to go on after."""

    rows: list[Any] = field(default_factory=list)
    prefixes: list[str] = field(default_factory=list)
    truncated: bool = False
    last: str = ""


def page(connection: sqlite3.Connection, bucket: str, prefix: str, delimiter: str, after: str, limit: int) -> Page:
    """At most ``limit`` keys and common prefixes that begin with ``prefix`` and come after ``after``.

    A common prefix that ``after`` lies in has been listed and does not come again.
    """
    result = Page()
    if limit == 0:
        return result
    for found, row in _walk(connection, bucket, prefix.encode(), delimiter.encode(), after.encode(), limit + 1):
        if len(result.rows) + len(result.prefixes) == limit:
            result.truncated = True
            break
        result.last = found.decode()
        if row is None:
            result.prefixes.append(result.last)
        else:
            result.rows.append(row)
    return result


def _walk(
    connection: sqlite3.Connection, bucket: str, prefix: bytes, delimiter: bytes, after: bytes, limit: int
) -> Iterator[tuple[bytes, Any | None]]:
    """Keys with their rows and common prefixes without, in order."""
    low, inclusive = max(prefix, after), after < prefix
    if delimiter and after.startswith(prefix) and (at := after.find(delimiter, len(prefix))) >= 0:
        low, inclusive = beyond(after[: at + len(delimiter)]), True
    high = beyond(prefix) if prefix else b"\xff"
    while True:
        compare = ">=" if inclusive else ">"
        rows = connection.execute(
            f"SELECT {COLUMNS} FROM objects WHERE bucket = ? AND key {compare} ? AND key < ? ORDER BY key LIMIT ?",  # noqa: S608
            (bucket, low, high, limit),
        )
        for row in rows:
            key: bytes = row["key"]
            at = key.find(delimiter, len(prefix)) if delimiter else -1
            if at >= 0:
                common = key[: at + len(delimiter)]
                yield common, None
                low, inclusive = beyond(common), True
                rows.close()
                break
            yield key, row
        else:
            return


def beyond(prefix: bytes) -> bytes:
    """The least key after all that begin with ``prefix``: its last byte one higher (UTF-8 has no byte 255)."""
    return prefix[:-1] + bytes([prefix[-1] + 1])
