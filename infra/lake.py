"""The lake: embedded, one SQLite database holds log, catalogue, models, profiles and subscriptions.

One database means one transaction: an effect, its inbox mark and the events it causes are written together or not at all. With
the log in Redis, and the catalogue in PostgreSQL where ``catalog.url`` says so, the outbox takes that transaction's place.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from events.bindings import Bindings
from events.event import Event
from events.models import Models
from events.ports import (
    Catalog,
    DataSets,
    Facts,
    GraphStore,
    ObjectStore,
    Ontologies,
    OntologyChecker,
    Profiles,
    Series,
    Settings,
    Stopping,
    Vocabulary,
)
from events.tasks import Tasks
from functions import FUNCTIONS
from infra.access.visible import Visible
from infra.catalog.acl import SYSTEM, Caller
from infra.catalog.database import Database
from infra.catalog.entries import Entries
from infra.catalog.home import Home, SqliteHome, open_sqlite
from infra.catalog.indexes import Indexes
from infra.catalog.providers import Registered
from infra.catalog.set_index import SetIndex
from infra.catalog.stores import Stores
from infra.config import Config, ConfigError
from infra.delivery import outbox, reconcile
from infra.delivery import subscription as subscriptions
from infra.delivery.back_pressure import BackPressure
from infra.delivery.claim_check import ClaimCheck
from infra.delivery.commits import Commits, JoinedCommits, OutboxCommits, Work
from infra.delivery.metrics import Metrics
from infra.delivery.recorded import recorded
from infra.delivery.tracing import Tracing
from infra.log import sqlite as sqlite_log
from infra.log.log import DeadLetter, Log
from infra.log.sqlite import SqliteLog
from infra.models import table as models
from infra.models.announced import Announced
from infra.models.table import StoredModels
from infra.objects.providers import Providers
from infra.pool import Pool
from infra.profiles import sqlite as profiles
from infra.reasoner.checker import ReasonerProcess
from infra.runtime.bound_tasks import BoundTasks
from infra.runtime.middleware import Middleware
from infra.runtime.ports import ports
from infra.runtime.requested import REQUESTED, named
from infra.runtime.wiring import Scoped, Wired, load, wire
from infra.runtime.worker import Worker
from infra.semantics.active import ActiveOntology
from infra.semantics.knowledge import Knowledge
from infra.semantics.ontologies import ActiveTriples
from infra.series import pending
from infra.series.service import SeriesService
from infra.sources.token import callback_url
from infra.sqlite import Writer

T = TypeVar("T")
#: The database's history: append only. The catalogue has its own (``infra/catalog/migrations``); here its first table was made.
SCHEMA = (
    sqlite_log.SCHEMA,
    "SELECT 1",
    models.SCHEMA,
    profiles.SCHEMA,
    subscriptions.SCHEMA,
    outbox.SCHEMA,
    reconcile.SCHEMA,
    sqlite_log.GIVEN,
    models.REGISTRY,
    pending.SCHEMA,
    sqlite_log.DIGEST,
)


class Lake:
    """Everything behind the doors: accept events, work on them, answer questions. Close it to stop cleanly."""

    def __init__(self, config: Config, objects: ObjectStore) -> None:
        self.config, self.objects = config, objects
        #: What else ``status`` shows: name -> how to get it.
        self.parts: dict[str, Callable[[], dict[str, Any]]] = {}
        #: The time series, in the process that has them open.
        self.series: SeriesService | None = None
        #: Set when this lake is about to end.
        self._stopping = threading.Event()
        self._path = path = config.folder / "lake.db"
        self._writer = Writer(path, SCHEMA, open_sqlite)
        self._readers = Pool(lambda: _reader(self._path))
        self._sets = SetIndex()
        #: The triples, in the process that has them open.
        self.graph: GraphStore | None = None
        self.vocabulary = ActiveTriples(self.database)
        self.ontology = ActiveOntology(self.vocabulary)
        self.knowledge = Knowledge(self.ontology.rules)
        #: The ports that are the same for every event.
        self._fixed: dict[type, Any] = {
            ObjectStore: objects, Settings: config.settings, Stopping: self._stopping,
            Vocabulary: self.ontology, OntologyChecker: ReasonerProcess(), Tasks: BoundTasks(self),
        }  # fmt: skip
        self.routes = load((*FUNCTIONS, *config.functions))
        self.functions = {name: self._wire(name) for name in self.routes.by_name}
        self.catalog = self._open_catalog()
        if isinstance(objects, Providers):
            objects.learn(Registered(self.database, config.credentials))
        self.subscriptions = subscriptions.Subscriptions(lambda name: callback_url(config, name))
        self.subscriptions.ended, self.subscriptions.reload = self._retire, self._load_subscriptions
        self.subscriptions.visible = Visible(self.database, config.bucket).event
        self.subscriptions.completed = Announced(self.database, objects, config.models).completed
        self._move_subscriptions()
        self._load_subscriptions()
        self.log = self._open_log()
        self._commits = self._open_commits()
        self._indexes = Indexes(self.catalog)
        self._indexing = ThreadPoolExecutor(1, "indexes")
        self.metrics, self.tracing = Metrics(self.log.counts), Tracing()
        self.claims = ClaimCheck(objects, config.bucket)
        self.pressure = BackPressure(lambda: self.log.counts()["behind_s"], config.delivery.most_age_s)
        self.worker = Worker(
            self.log, self.functions, self._joining, self.subscriptions, self.unit, config.delivery, config.threads,
            middleware := Middleware(self.claims, self.metrics, self.tracing),
        )  # fmt: skip
        self.silent = middleware.silent
        self.index_keys()

    def _open_log(self) -> Log:
        if not self.config.log.url:
            return SqliteLog(self._writer, self.reading, self.targets)
        from infra.log.redis import RedisLog  # the embedded profile does not wait for the clients of servers

        try:
            return RedisLog(self.config.log, self.catalog.writer, self.targets, self._load_subscriptions)
        except BaseException:
            self.catalog.close()
            self._close_database()
            raise

    def _open_catalog(self) -> Home:
        url = self.config.catalog.url
        try:
            if url and not self.config.log.url:
                raise ConfigError(
                    "catalog.url is set, but log.url is not: a catalogue in PostgreSQL needs the event log in Redis"
                )
            if not url:
                return SqliteHome(self._path, self._writer, self.reading)
            from infra.catalog.home_postgres import PostgresHome

            return PostgresHome(url)
        except BaseException:
            self._close_database()
            raise

    def _open_commits(self) -> Commits:
        if self.config.log.url:
            return OutboxCommits(self.catalog.writer, self.append)
        return JoinedCommits(
            self._writer, lambda connection, events: sqlite_log.append(connection, events, self.targets), self._accepted
        )

    def _wire(self, name: str, scoped: Scoped | None = None, *, private: bool = False) -> Wired:
        scoped = scoped or self._ports()
        if name == "plan":  # to others a key that ends with a slash is nothing but a key
            make, bucket = scoped[Catalog], self.config.settings.bucket
            scoped = {**scoped, Catalog: lambda unit: Stores(make(unit), self.objects, bucket, private=private)}
        return wire(self.routes.by_name[name], self._fixed, scoped)

    def _ports(self) -> Scoped:
        return ports(self.config, self._sets, self.knowledge)

    @property
    def _joining(self) -> frozenset[str]:
        """The functions that may write to the catalogue's database."""
        asked = {name: set(get_type_hints(handler.function).values()) for name, handler in self.routes.by_name.items()}
        return frozenset(
            name for name, wanted in asked.items() if wanted & {Bindings, Catalog, DataSets, Facts, Models, Ontologies, Series}
        )

    def targets(self, event: Event) -> list[str]:
        """Everybody who wants this event: functions by route, subscribers by filter."""
        wanted = [handler.name for handler in self.routes.match(event.type)]
        if event.type == REQUESTED:
            wanted = named(event, wanted)
        return [*wanted, *self.subscriptions.match(event)]

    def append(self, events: Sequence[Event]) -> Future[int]:
        """Accept events durably; the future resolves after the commit, to how many were new."""
        events = recorded(events)
        if isinstance(self.objects, Providers):
            events = [self.objects.placed(event) for event in events]
        future = self.log.append(events)
        future.add_done_callback(lambda done: self._appended(events, done))
        return future

    def _appended(self, events: Sequence[Event], done: Future[int]) -> None:
        if not done.cancelled() and done.exception() is None:
            self._accepted(events, done.result())

    def _accepted(self, events: Sequence[Event], new: int) -> None:
        self.metrics.accepted(events, new)
        self.worker.wake()

    def commit(self, work: Work[T]) -> Future[T]:
        """Change the catalogue: ``work`` gets its database and returns (answer, events), which are committed together.

        The future has the answer once that is durable.
        """
        return self._commits.submit(work)

    def reject(self, rejected: Sequence[tuple[bytes, str]]) -> Future[None]:
        """Keep what could not become an event, with the reason, as dead letters."""
        return self.log.reject(rejected)

    def index_keys(self) -> Future[int]:
        """Bring the indexes to what the registered keys ask for, beside everything else: after a key has been changed."""
        return self._indexing.submit(self._indexes.step)

    def find_providers(self) -> None:
        """Know the object stores that are registered now: after one has been changed."""
        if isinstance(self.objects, Providers):
            self.objects.refresh()

    def call(self, name: str, event: Event, caller: Caller = SYSTEM) -> list[Event]:
        """Run a function at once, for an answer, outside the log; what it would write is refused. It sees what ``caller`` may.

        Raises:
            Reject: the request makes no sense, or names something that does not exist.
        """
        with self.database() as database:
            unit = self.log.unit(database)
            if caller.admin:
                return self.functions[name].invoke(event, unit)
            scoped = {**self._ports(), Catalog: lambda _: Entries(database, viewer=caller)}
            return self._wire(name, scoped, private=True).invoke(event, unit)

    def trial(self, name: str, event: Event, watch: Callable[[type, Any], Any]) -> list[Event]:
        """Run a function and undo what it wrote. ``watch`` gets each of its ports and gives what stands in for it."""

        def watched(kind: type, make: Callable[[Any], Any]) -> Callable[[Any], Any]:
            return lambda unit: watch(kind, make(unit))

        scoped = {kind: watched(kind, make) for kind, make in self._ports().items()}
        fixed = {kind: watch(kind, port) for kind, port in self._fixed.items()}
        wired = wire(self.routes.by_name[name], fixed, scoped)
        if wired.slow:  # no transaction is open so long: it writes only to ports that have none either
            with self.unit() as unit:
                return wired.invoke(event, unit)
        with self.catalog.trial() as database:
            return wired.invoke(event, self.log.unit(database))

    def subscribe(self, wanted: subscriptions.Subscription) -> subscriptions.Subscription:
        """Store a subscription; events accepted from now on reach it."""
        return self._changing_subscriptions(lambda database: subscriptions.add(database, wanted))

    def unsubscribe(self, name: str) -> bool:
        """Forget a subscription; whether it existed."""
        return self._changing_subscriptions(lambda database: subscriptions.remove(database, name))

    def consent(self, name: str, rate: int) -> bool:
        """The sink of a subscription agrees to so many events a minute (0: any number); whether there is one."""
        return self._changing_subscriptions(lambda database: subscriptions.grant(database, name, rate))

    def replay(self, numbers: Iterable[int]) -> list[DeadLetter]:
        """Deliver dead letters again. Raises ``Reject`` if one does not exist or never was an event; then none is."""
        letters = self.log.replay(numbers)
        self.worker.wake()
        return letters

    def profiles(self, prefix: str = "") -> dict[str, dict[str, Any]]:
        """What maps have taught, by key."""
        with self.unit() as unit:
            port = self.learnt(unit)
            found = {key: port.get(key) for key in port.keys(prefix)}
        return {key: profile for key, profile in found.items() if profile is not None}

    def learnt(self, unit: Any) -> Profiles:
        """The profiles, over a unit of work."""
        port: Profiles = self._ports()[Profiles](unit)
        return port

    def status(self) -> dict[str, Any]:
        """The lake in numbers."""
        with self.database() as database:
            return {
                "log": self.log.counts(),
                "pace": self.metrics.recent(),
                "catalog": Entries(database).states(),
                "models": len(StoredModels(database, ()).versions()),
                "profiles": len(self.profiles()),
                "subscriptions": len(self.subscriptions.all()),
                "functions": sorted(self.functions),
                **{name: part() for name, part in self.parts.items()},
            }

    def write(self, work: Callable[[sqlite3.Connection], T]) -> Future[T]:
        """Run ``work`` in the next transaction of the lake's own database."""
        return self._writer.submit(work)

    @contextmanager
    def unit(self) -> Iterator[Any]:
        """A unit of work that only reads, for a function that runs outside the log's transactions."""
        with self.database() as database:
            yield self.log.unit(database)

    def database(self) -> AbstractContextManager[Database]:
        """The catalogue's database, for reading, from a pool."""
        return self.catalog.reading()

    def reading(self) -> AbstractContextManager[sqlite3.Connection]:
        """A connection for reading the lake's own database, from a pool."""
        return self._readers.reading()

    def close(self) -> None:
        """Stop the worker, finish the writes, close the database."""
        self._stopping.set()
        self.worker.stop()
        self.tracing.close()
        self._commits.close()
        self._indexing.shutdown(cancel_futures=True)
        self.log.close()
        self.catalog.close()
        self._close_database()

    def _close_database(self) -> None:
        self._writer.close()
        self._readers.close()

    def _retire(self, name: str) -> bool:
        """End a subscription whose sink is gone; the delivery that found it out becomes a dead letter in its own time."""
        return self._changing_subscriptions(lambda database: subscriptions.retire(database, name))

    def _changing_subscriptions(self, change: Callable[[Database], T]) -> T:
        answer = self.catalog.writer.submit(lambda connection: change(Database(connection))).result()
        self._load_subscriptions()
        self.log.retarget()
        return answer

    def _load_subscriptions(self) -> None:
        with self.database() as database:
            self.subscriptions.load(database)

    def _move_subscriptions(self) -> None:
        """An earlier version kept them in ``lake.db`` wherever the catalogue was."""
        if not self.config.catalog.url:
            return
        with self.reading() as old:
            self.catalog.writer.submit(lambda new: subscriptions.move(Database(old), Database(new))).result()
        self.write(lambda connection: connection.execute("DELETE FROM subscription")).result()


def _reader(path: Path) -> sqlite3.Connection:
    connection = open_sqlite(path)
    connection.execute("PRAGMA query_only=ON")
    return connection
