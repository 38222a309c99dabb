"""The lake of the embedded profile: one SQLite database holding log, catalogue, models, profiles and subscriptions.

One database means one transaction: an effect, its inbox mark and the events it causes are written together or not at all.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from events.errors import Reject
from events.event import Event
from events.ports import Catalog, Models, ObjectStore, Profiles, Settings
from functions import FUNCTIONS
from infra.catalog import sqlite as catalog
from infra.catalog.sqlite import SqliteCatalog
from infra.config import Config
from infra.delivery import subscription as subscriptions
from infra.log import sqlite as log
from infra.models import sqlite as models
from infra.models.sqlite import SqliteModels
from infra.profiles import sqlite as profiles
from infra.profiles.sqlite import SqliteProfiles
from infra.runtime.wiring import Scoped, Wired, load, wire
from infra.runtime.worker import Worker
from infra.sqlite import Writer, connect

T = TypeVar("T")
#: The database's history: append only.
SCHEMA = (log.SCHEMA, catalog.SCHEMA, models.SCHEMA, profiles.SCHEMA, subscriptions.SCHEMA)


class Lake:
    """Everything behind the doors: accept events, work on them, answer questions. Close it to stop cleanly."""

    def __init__(self, config: Config, objects: ObjectStore) -> None:
        self.config, self.objects = config, objects
        #: What else ``status`` shows: name -> how to get it.
        self.parts: dict[str, Callable[[], dict[str, Any]]] = {}
        path = config.folder / "lake.db"
        self._writer = Writer(path, SCHEMA)
        self._path = path
        self._idle: SimpleQueue[sqlite3.Connection] = SimpleQueue()
        self.routes = load((*FUNCTIONS, *config.functions))
        self.functions = {name: self._wire(name) for name in self.routes.by_name}
        self.subscriptions = subscriptions.Subscriptions()
        with self.reading() as connection:
            self.subscriptions.load(connection)
        self.worker = Worker(
            self._writer, path, self.functions, self.subscriptions, self.targets, config.delivery, config.threads
        )

    def _wire(self, name: str) -> Wired:
        scoped: Scoped = {
            Catalog: SqliteCatalog,
            Profiles: SqliteProfiles,
            Models: lambda connection: SqliteModels(connection, self.config.models),
        }
        return wire(self.routes.by_name[name], {ObjectStore: self.objects, Settings: self.config.settings}, scoped)

    def targets(self, event: Event) -> list[str]:
        """Everybody who wants this event: functions by route, subscribers by filter."""
        return [*(handler.name for handler in self.routes.match(event.type)), *self.subscriptions.match(event)]

    def append(self, events: Sequence[Event]) -> Future[int]:
        """Accept events durably; the future resolves after the commit, to how many were new."""
        future = self.write(lambda connection: log.append(connection, events, self.targets))
        future.add_done_callback(lambda _: self.worker.wake())
        return future

    def reject(self, rejected: Sequence[tuple[bytes, str]]) -> Future[None]:
        """Keep what could not become an event, with the reason, as dead letters."""

        def work(connection: sqlite3.Connection) -> None:
            for body, cause in rejected:
                log.bury(connection, "ingress", cause, 1, body)

        return self.write(work)

    def call(self, name: str, event: Event) -> list[Event]:
        """Run a function at once, for an answer, outside the log; what it would write is refused.

        Raises:
            Reject: the request makes no sense, or names something that does not exist.
        """
        with self.reading() as connection:
            return self.functions[name].invoke(event, connection)

    def subscribe(self, wanted: subscriptions.Subscription) -> subscriptions.Subscription:
        """Store a subscription; events accepted from now on reach it."""
        return self._changing_subscriptions(lambda connection: subscriptions.add(connection, wanted))

    def unsubscribe(self, name: str) -> bool:
        """Forget a subscription; whether it existed."""
        return self._changing_subscriptions(lambda connection: subscriptions.remove(connection, name))

    def replay(self, numbers: Iterable[int]) -> list[log.DeadLetter]:
        """Deliver dead letters again. Raises ``Reject`` if one does not exist or never was an event; then none is."""

        def work(connection: sqlite3.Connection) -> list[log.DeadLetter]:
            done = []
            for number in numbers:
                letter = log.replay(connection, number)
                if letter is None:
                    raise Reject(f"there is no dead letter {number} that holds an event; see: sluice dead-letters")
                done.append(letter)
            return done

        letters = self.write(work).result()
        self.worker.wake()
        return letters

    def status(self) -> dict[str, Any]:
        """The lake in numbers."""
        with self.reading() as connection:
            states = connection.execute("SELECT state, count(*) AS n, sum(size) AS bytes FROM entry GROUP BY state").fetchall()
            return {
                "log": log.counts(connection),
                "catalog": {row["state"]: {"objects": row["n"], "bytes": row["bytes"]} for row in states},
                "models": len(models.SqliteModels(connection, ()).versions()),
                "profiles": len(SqliteProfiles(connection).keys()),
                "subscriptions": len(self.subscriptions.all()),
                "functions": sorted(self.functions),
                **{name: part() for name, part in self.parts.items()},
            }

    def write(self, work: Callable[[sqlite3.Connection], T]) -> Future[T]:
        """Run ``work`` in the next transaction."""
        return self._writer.submit(work)

    @contextmanager
    def reading(self) -> Any:
        """A connection for reading, from a pool."""
        try:
            connection = self._idle.get_nowait()
        except Empty:
            connection = connect(self._path)
            connection.execute("PRAGMA query_only=ON")
        try:
            yield connection
        finally:
            self._idle.put(connection)

    def close(self) -> None:
        """Stop the worker, finish the writes, close the database."""
        self.worker.stop()
        self._writer.close()
        while not self._idle.empty():
            self._idle.get_nowait().close()

    def _changing_subscriptions(self, change: Callable[[sqlite3.Connection], T]) -> T:
        answer = self.write(change).result()
        with self.reading() as connection:
            self.subscriptions.load(connection)
        return answer
