"""Effects in Redis: documents that a delivery reads and writes, applied by the script that also ends the delivery.

Writes are kept back until then. What was read is told to the script with its version: if somebody has changed it meanwhile,
nothing of the delivery happens and it runs again. So a read may be answered from memory, and one that is out of date costs a
repetition, never a wrong effect.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from infra.log.redis_server import RedisServer

#: (table, key)
Place = tuple[str, str]
#: A field of each table that is no document.
NO_KEY = b"\n"
#: Most documents remembered between deliveries.
REMEMBERED = 50_000


class Documents:
    """The documents of one log, as last seen: place -> (version, content). No document is version ``""``."""

    def __init__(self, server: RedisServer) -> None:
        self._server = server
        self.seen: dict[Place, tuple[str, str | None]] = {}

    def read(self, table: str, key: str) -> tuple[str, str | None]:
        """The document as it is now."""
        found: bytes | None = self._server.run("HGET", self._server.key("table", table), key)
        if found is None:
            return "", None
        version, _, content = found.partition(b"\n")
        return version.decode(), content.decode()

    def keys(self, table: str, prefix: str) -> list[str]:
        """The keys that begin with ``prefix``, sorted."""
        found = (key.decode() for key in self._server.run("HKEYS", self._server.key("table", table)) if key != NO_KEY)
        return sorted(key for key in found if key.startswith(prefix))

    def forget(self, places: Iterable[tuple[str, str, Any]]) -> None:
        """What was remembered of these places is not so."""
        for table, key, _ in places:
            self.seen.pop((table, key), None)


class RedisUnit:
    """The documents for one delivery after the other. Each sees what the ones before it in the same call have written."""

    def __init__(self, documents: Documents, stamp: str) -> None:
        self._documents, self._stamp = documents, stamp
        self.reads: list[tuple[str, str, str]] = []
        self.writes: list[tuple[str, str, str]] = []

    def begin(self) -> None:
        """Start a delivery: nothing read, nothing written."""
        self.reads, self.writes = [], []

    def get(self, table: str, key: str) -> str | None:
        """A document's content, or ``None``."""
        for place in reversed(self.writes):
            if place[0] == table and place[1] == key:
                return place[2]
        seen = self._documents.seen
        found = seen.get((table, key))
        if found is None:
            if len(seen) >= REMEMBERED:
                seen.clear()
            found = seen[table, key] = self._documents.read(table, key)
        self.reads.append((table, key, found[0]))
        return found[1]

    def put(self, table: str, key: str, content: str) -> None:
        """Write a document, once the delivery is settled."""
        self.writes.append((table, key, content))

    def keys(self, table: str, prefix: str = "") -> list[str]:
        """The keys that begin with ``prefix``. A key that appears after this call is no reason to run again."""
        return sorted(
            {*self._documents.keys(table, prefix), *(k for t, k, _ in self.writes if t == table and k.startswith(prefix))}
        )

    def end(self, id: str) -> None:
        """The delivery has run well: the next one may see what it wrote."""
        for table, key, content in self.writes:
            self._documents.seen[table, key] = (self._stamp + id, content)


class ReadingUnit:
    """The documents for a function outside the log's unit of work: always as they are now, and never written."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents

    def get(self, table: str, key: str) -> str | None:
        """A document's content, or ``None``."""
        return self._documents.read(table, key)[1]

    def put(self, table: str, key: str, content: str) -> None:
        """Refused: nothing would tie the write to the end of the delivery."""
        raise PermissionError(
            f"cannot write {table} {key!r} here: a function that reads objects or answers at once only reads its other ports"
        )

    def keys(self, table: str, prefix: str = "") -> list[str]:
        """The keys that begin with ``prefix``."""
        return self._documents.keys(table, prefix)


@dataclass(frozen=True)
class Unit:
    """What ports are made over when the log is Redis: its documents, and the catalogue's database."""

    documents: RedisUnit | ReadingUnit
    database: Any
