"""The catalogue in SQLite: one row an object; metadata as JSON, searched by path."""

from __future__ import annotations

import re
import sqlite3
from datetime import UTC, datetime
from typing import Any

import msgspec

from events.errors import Reject
from events.ports import Entry, Query

SCHEMA = """
CREATE TABLE entry (
    bucket TEXT NOT NULL, key TEXT NOT NULL, state TEXT NOT NULL, etag TEXT NOT NULL, size INTEGER NOT NULL,
    version TEXT NOT NULL, sequence TEXT NOT NULL, modified TEXT NOT NULL, digest TEXT NOT NULL, format TEXT NOT NULL,
    content_type TEXT NOT NULL, metadata TEXT NOT NULL, user TEXT NOT NULL, "index" TEXT NOT NULL, cause TEXT NOT NULL,
    updated TEXT NOT NULL,
    PRIMARY KEY (bucket, key)
) WITHOUT ROWID;
CREATE INDEX entry_format ON entry (format, bucket, key);
CREATE INDEX entry_modified ON entry (modified);
CREATE INDEX entry_digest ON entry (digest)
"""
_FIELDS = Entry.__struct_fields__
_COLUMNS = ", ".join(f'"{name}"' for name in _FIELDS)
_MARKS = ", ".join(f":{name}" for name in _FIELDS)
_SET = ", ".join(f'"{name}" = excluded."{name}"' for name in _FIELDS if name not in ("bucket", "key"))
_COMPARE = re.compile(r"^(?P<path>.+?)(?P<how>>=|<=|!=|>|<|=)?$", re.DOTALL)
MOST = 10_000


class Known(msgspec.Struct, frozen=True):
    """What a comparison with a bucket needs of an entry."""

    key: str
    state: str
    etag: str
    size: int
    sequence: str
    modified: str


def walk(connection: sqlite3.Connection, bucket: str, prefix: str, after: str, limit: int) -> list[Known]:
    """The next entries of a bucket behind the key ``after``, tombstones included, in the order of their keys' UTF-8."""
    rows = connection.execute(
        "SELECT key, state, etag, size, sequence, modified FROM entry "
        "WHERE bucket = ?1 AND key > ?2 AND key >= ?3 AND (?4 = '' OR key < ?4) ORDER BY key LIMIT ?5",
        (bucket, after, prefix, _beyond(prefix), limit),
    )
    return [Known(*row) for row in rows]


def _beyond(prefix: str) -> str:
    """The least text after all that begin with ``prefix``, or none: its last character one higher (no surrogate)."""
    stem = prefix.rstrip("\U0010ffff")
    return stem[:-1] + chr(0xE000 if stem[-1] == "\ud7ff" else ord(stem[-1]) + 1) if stem else ""


class SqliteCatalog:
    """The ``Catalog`` port over one connection; writes join the transaction that is open on it."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def upsert(self, entry: Entry) -> bool:
        row: dict[str, Any] = {name: getattr(entry, name) for name in _FIELDS}
        row["metadata"] = msgspec.json.encode(entry.metadata).decode()
        row["user"] = msgspec.json.encode(entry.user).decode()
        row["modified"] = utc(entry.modified) or entry.modified  # stores write times in many forms; in one they compare as text
        statement = (
            f"INSERT INTO entry ({_COLUMNS}) VALUES ({_MARKS}) "  # noqa: S608 - the names are the Struct's
            f"ON CONFLICT (bucket, key) DO UPDATE SET {_SET} WHERE excluded.sequence >= entry.sequence"
        )
        return self._connection.execute(statement, row).rowcount == 1

    def get(self, bucket: str, key: str) -> Entry | None:
        statement = f"SELECT {_COLUMNS} FROM entry WHERE bucket = ? AND key = ?"  # noqa: S608
        row = self._connection.execute(statement, (bucket, key)).fetchone()
        return _entry(row) if row else None

    def search(self, query: Query) -> list[Entry]:
        """Raises ``Reject`` for a limit, a time, a path or a value that makes no sense."""
        if not 1 <= query.limit <= MOST:
            raise Reject(f"limit must lie between 1 and {MOST}, not {query.limit}; continue with after=BUCKET/KEY")
        tests: list[str] = []
        values: list[Any] = []

        def test(sql: str, *bound: Any) -> None:
            tests.append(sql)
            values.extend(bound)

        if query.bucket:
            test("bucket = ?", query.bucket)
        if query.prefix:
            test("key >= ? AND substr(key, 1, ?) = ?", query.prefix, len(query.prefix), query.prefix)
        if query.name:
            test("key GLOB ?", query.name)
        if query.format:
            test("format = ?", query.format)
        if query.state:
            test("state = ?", query.state)
        else:
            test("state != 'removed'")
        for name, compare, text in (("since", ">=", query.since), ("until", "<", query.until)):
            if text:
                if (moment := utc(text)) is None:
                    raise Reject(
                        f"{name}={text[:60]!r} is no ISO 8601 time: write it like 2026-03-01 or 2026-03-01T12:00:00+02:00"
                    )
                test(f"modified {compare} ?", moment)
        if query.after:
            bucket, _, key = query.after.partition("/")
            test("(bucket, key) > (?, ?)", bucket, key)
        for condition, value in query.where.items():
            found = _COMPARE.match(condition)
            if found is None or not isinstance(value, str | int | float | bool):
                raise Reject(
                    f"cannot compare metadata {condition!r} with {value!r}: give PATH or PATH>= etc. and a plain value"
                )
            if isinstance(value, int) and not -(2**63) <= value < 2**63:
                raise Reject(f"cannot compare metadata {condition!r} with an integer of more than 64 bits")
            test(f"json_extract(metadata, ?) {found['how'] or '='} ?", json_path(found["path"]), value)
        statement = f"SELECT {_COLUMNS} FROM entry WHERE {' AND '.join(tests)} ORDER BY bucket, key LIMIT ?"  # noqa: S608
        return [_entry(row) for row in self._connection.execute(statement, (*values, query.limit))]


def utc(text: str) -> str | None:
    """An ISO 8601 time in UTC with microseconds, so that text order is time order; ``None`` if it is none.

    A time without an offset is UTC, a date is its first moment.
    """
    try:
        moment = datetime.fromisoformat(text)
        moment = moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


def json_path(path: str) -> str:
    """``columns.0.name`` as SQLite's ``$."columns"[0]."name"``. Raises ``Reject`` for quotes, which no path needs."""
    if '"' in path or not path:
        raise Reject(f"{path!r} is no metadata path: give names joined by dots, like wcs.ctype")
    steps = (f"[{part}]" if part.isdigit() else f'."{part}"' for part in path.split("."))
    return "$" + "".join(steps)


def _entry(row: sqlite3.Row) -> Entry:
    fields = dict(row)
    fields["metadata"] = msgspec.json.decode(fields["metadata"])
    fields["user"] = msgspec.json.decode(fields["user"])
    return Entry(**fields)
