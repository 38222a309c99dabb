"""The lake of the embedded profile: one SQLite database holding log, catalogue, models, profiles and subscriptions.

One database means one transaction: an effect, its inbox mark and the events it causes are written together or not at all.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import closing, contextmanager
from queue import Empty, SimpleQueue
from typing import Any, TypeVar, get_type_hints

from events.event import Event
from events.ports import Catalog, Models, ObjectStore, Profiles, Settings
from functions import FUNCTIONS
from infra.catalog import sqlite as catalog
from infra.catalog.sqlite import SqliteCatalog
from infra.config import Config
from infra.delivery import outbox, reconcile
from infra.delivery import subscription as subscriptions
from infra.delivery.back_pressure import BackPressure
from infra.delivery.claim_check import ClaimCheck
from infra.delivery.metrics import Metrics
from infra.delivery.recorded import recorded
from infra.delivery.tracing import Tracing
from infra.log import sqlite as sqlite_log
from infra.log.log import DeadLetter, Log
from infra.log.redis import RedisLog
from infra.log.sqlite import SqliteLog
from infra.models import sqlite as models
from infra.models.sqlite import SqliteModels
from infra.profiles import sqlite as profiles
from infra.profiles.redis import RedisProfiles
from infra.profiles.sqlite import SqliteProfiles
from infra.runtime.middleware import Middleware
from infra.runtime.wiring import Scoped, Wired, load, wire
from infra.runtime.worker import Worker
from infra.sources.token import callback_url
from infra.sqlite import Writer, connect

T = TypeVar("T")
#: The database's history: append only.
SCHEMA = (
    sqlite_log.SCHEMA,
    catalog.SCHEMA,
    models.SCHEMA,
    profiles.SCHEMA,
    subscriptions.SCHEMA,
    outbox.SCHEMA,
    reconcile.SCHEMA,
    sqlite_log.GIVEN,
)


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
        self.subscriptions = subscriptions.Subscriptions(lambda name: callback_url(config, name))
        self.subscriptions.ended = self._retire
        self._load_subscriptions()
        self.log = self._open_log()
        self.metrics, self.tracing = Metrics(self.log.counts), Tracing()
        self.claims = ClaimCheck(objects, config.bucket)
        self.pressure = BackPressure(lambda: self.log.counts()["behind_s"], config.delivery.most_age_s)
        self.worker = Worker(
            self.log, self.functions, self._joining, self.subscriptions, self.unit, config.delivery, config.threads,
            Middleware(self.claims, self.metrics, self.tracing),
        )  # fmt: skip

    def _open_log(self) -> Log:
        if not self.config.log.url:
            return SqliteLog(self._writer, self.reading, self.targets)
        try:
            return RedisLog(self.config.log, self._writer, self.targets, self._load_subscriptions)
        except BaseException:
            self._close_database()
            raise

    def _wire(self, name: str) -> Wired:
        return wire(self.routes.by_name[name], {ObjectStore: self.objects, Settings: self.config.settings}, self._ports())

    def _ports(self) -> Scoped:
        """Port -> how to make it over a unit of the log (see ``Log.unit``)."""
        repositories = self.config.models
        if not self.config.log.url:
            return {
                Catalog: SqliteCatalog,
                Profiles: SqliteProfiles,
                Models: lambda connection: SqliteModels(connection, repositories),
            }
        return {
            Catalog: lambda unit: SqliteCatalog(unit.connection),
            Models: lambda unit: SqliteModels(unit.connection, repositories),
            Profiles: lambda unit: RedisProfiles(unit.documents),
        }

    @property
    def _joining(self) -> frozenset[str]:
        """The functions that may write to the catalogue's database."""
        asked = {name: set(get_type_hints(handler.function).values()) for name, handler in self.routes.by_name.items()}
        return frozenset(name for name, ports in asked.items() if ports & {Catalog, Models})

    def targets(self, event: Event) -> list[str]:
        """Everybody who wants this event: functions by route, subscribers by filter."""
        return [*(handler.name for handler in self.routes.match(event.type)), *self.subscriptions.match(event)]

    def append(self, events: Sequence[Event]) -> Future[int]:
        """Accept events durably; the future resolves after the commit, to how many were new."""
        events = recorded(events)
        future = self.log.append(events)
        future.add_done_callback(lambda done: self._appended(events, done))
        return future

    def _appended(self, events: Sequence[Event], done: Future[int]) -> None:
        if not done.cancelled() and done.exception() is None:
            self.metrics.accepted(events, done.result())
        self.worker.wake()

    def reject(self, rejected: Sequence[tuple[bytes, str]]) -> Future[None]:
        """Keep what could not become an event, with the reason, as dead letters."""
        return self.log.reject(rejected)

    def call(self, name: str, event: Event) -> list[Event]:
        """Run a function at once, for an answer, outside the log; what it would write is refused.

        Raises:
            Reject: the request makes no sense, or names something that does not exist.
        """
        with self.unit() as unit:
            return self.functions[name].invoke(event, unit)

    def trial(self, name: str, event: Event, watch: Callable[[type, Any], Any]) -> list[Event]:
        """Run a function and undo what it wrote. ``watch`` gets each of its ports and gives what stands in for it."""

        def watched(kind: type, make: Callable[[Any], Any]) -> Callable[[Any], Any]:
            return lambda unit: watch(kind, make(unit))

        ports = {kind: watched(kind, make) for kind, make in self._ports().items()}
        fixed = {ObjectStore: self.objects, Settings: self.config.settings}
        wired = wire(self.routes.by_name[name], fixed, ports)
        if wired.slow:  # it only reads, and may take long
            with self.unit() as unit:
                return wired.invoke(event, unit)
        with closing(connect(self._path)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                return wired.invoke(event, self.log.unit(connection))
            finally:
                connection.execute("ROLLBACK")

    def subscribe(self, wanted: subscriptions.Subscription) -> subscriptions.Subscription:
        """Store a subscription; events accepted from now on reach it."""
        return self._changing_subscriptions(lambda connection: subscriptions.add(connection, wanted))

    def unsubscribe(self, name: str) -> bool:
        """Forget a subscription; whether it existed."""
        return self._changing_subscriptions(lambda connection: subscriptions.remove(connection, name))

    def consent(self, name: str, rate: int) -> bool:
        """The sink of a subscription agrees to so many events a minute (0: any number); whether there is one."""
        return self._changing_subscriptions(lambda connection: subscriptions.grant(connection, name, rate))

    def replay(self, numbers: Iterable[int]) -> list[DeadLetter]:
        """Deliver dead letters again. Raises ``Reject`` if one does not exist or never was an event; then none is."""
        letters = self.log.replay(numbers)
        self.worker.wake()
        return letters

    def profiles(self, prefix: str = "") -> dict[str, dict[str, Any]]:
        """What maps have taught, by key."""
        with self.unit() as unit:
            port: Profiles = self._ports()[Profiles](unit)
            found = {key: port.get(key) for key in port.keys(prefix)}
        return {key: profile for key, profile in found.items() if profile is not None}

    def status(self) -> dict[str, Any]:
        """The lake in numbers."""
        with self.reading() as connection:
            states = connection.execute("SELECT state, count(*) AS n, sum(size) AS bytes FROM entry GROUP BY state").fetchall()
            return {
                "log": self.log.counts(),
                "pace": self.metrics.recent(),
                "catalog": {row["state"]: {"objects": row["n"], "bytes": row["bytes"]} for row in states},
                "models": len(models.SqliteModels(connection, ()).versions()),
                "profiles": len(self.profiles()),
                "subscriptions": len(self.subscriptions.all()),
                "functions": sorted(self.functions),
                **{name: part() for name, part in self.parts.items()},
            }

    def write(self, work: Callable[[sqlite3.Connection], T]) -> Future[T]:
        """Run ``work`` in the next transaction."""
        return self._writer.submit(work)

    @contextmanager
    def unit(self) -> Iterator[Any]:
        """A unit of work that only reads, for a function that runs outside the log's transactions."""
        with self.reading() as connection:
            yield self.log.unit(connection)

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
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
        self.tracing.close()
        self.log.close()
        self._close_database()

    def _close_database(self) -> None:
        self._writer.close()
        while not self._idle.empty():
            self._idle.get_nowait().close()

    def _retire(self, name: str) -> bool:
        """End a subscription whose sink is gone; the delivery that found it out becomes a dead letter in its own time."""
        return self._changing_subscriptions(lambda connection: subscriptions.retire(connection, name))

    def _changing_subscriptions(self, change: Callable[[sqlite3.Connection], T]) -> T:
        answer = self.write(change).result()
        self._load_subscriptions()
        self.log.retarget()
        return answer

    def _load_subscriptions(self) -> None:
        with self.reading() as connection:
            self.subscriptions.load(connection)
