"""The worker: takes ready deliveries, runs their functions, and commits effects, inbox mark and replies together.

Functions that read objects run in a pool, outside any transaction; the others run inside the committing one. Either way a
delivery's row is deleted in the same transaction that holds its effects, so a crash at any point repeats it from the start
and never leaves half of it.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue

import httpx

from events.event import Event
from infra.config import Delivery as Settings
from infra.delivery import dead_letter, retry
from infra.delivery import subscription as subscriptions
from infra.delivery.retention import Retention
from infra.log import sqlite as log
from infra.runtime.wiring import Wired
from infra.sqlite import Writer, connect

logger = logging.getLogger("sluice.worker")
BATCH = 64
POLL_SECONDS = 0.25
SINK_THREADS = 8


@dataclass(frozen=True)
class Outcome:
    """What came of a delivery that ran outside the transaction: replies, or the error."""

    delivery: log.Delivery
    replies: list[Event]
    error: BaseException | None = None


class Worker:
    """One process's worker over the shards it holds a lease on."""

    def __init__(
        self,
        writer: Writer,
        path: Path,
        functions: Mapping[str, Wired],
        sinks: subscriptions.Subscriptions,
        targets: log.Targets,
        settings: Settings,
        threads: int,
    ) -> None:
        self._writer, self._path, self._functions, self._sinks = writer, path, functions, sinks
        self._targets, self._settings = targets, settings
        self.owner = f"{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self._busy: set[tuple[str, str]] = set()
        self._finished: SimpleQueue[Outcome] = SimpleQueue()
        self._pools = {
            "function": (ThreadPoolExecutor(threads, "function"), threads * 4),
            "sink": (ThreadPoolExecutor(SINK_THREADS, "sink"), SINK_THREADS * 4),
        }
        self._load = dict.fromkeys(self._pools, 0)
        self._client = httpx.Client()
        self._local = threading.local()
        self._readers: list[sqlite3.Connection] = []
        self._signal = threading.Event()
        self._stopping = False
        self._shards: list[int] = []
        self._renew_at = 0.0
        self._retention = Retention(settings.retain_days)
        self._thread = threading.Thread(target=self._run, name="worker", daemon=True)

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    def wake(self) -> None:
        """Look for work now instead of at the next poll."""
        self._signal.set()

    def stop(self) -> None:
        """Finish what is running, give the shards back. What is left stays in the log."""
        self._stopping = True
        self.wake()
        if self._thread.ident is not None:
            self._thread.join()
        for pool, _ in self._pools.values():
            pool.shutdown()
        self._commit(self._drain(), [])
        self._writer.submit(lambda connection: log.release(connection, self.owner)).result()
        self._client.close()
        for reader in self._readers:
            reader.close()

    def _run(self) -> None:
        while not self._stopping:
            try:
                self._signal.clear()
                if not self._step():
                    self._signal.wait(POLL_SECONDS)
            except Exception:
                logger.exception("the worker could not go on; trying again in a second")
                time.sleep(1)

    def _step(self) -> bool:
        """One round; whether anything was committed or started."""
        self._lease()
        self._retention.step(self._writer)
        outcomes = self._drain()
        quick: list[log.Delivery] = []
        started = False
        for delivery in log.ready(self._reader(), self._shards, BATCH + len(self._busy)) if self._shards else ():
            if delivery.lane in self._busy:
                continue
            wired = self._functions.get(delivery.target)
            if wired is not None and not wired.slow:
                quick.append(delivery)
            else:
                started |= self._start("sink" if wired is None else "function", delivery)
        if outcomes or quick:
            self._commit(outcomes, quick)
        return bool(outcomes or quick or started)

    def _lease(self) -> None:
        if time.monotonic() >= self._renew_at:
            seconds = self._settings.lease_s
            self._shards = self._writer.submit(lambda connection: log.lease(connection, self.owner, seconds)).result()
            self._renew_at = time.monotonic() + seconds / 3

    def _start(self, kind: str, delivery: log.Delivery) -> bool:
        pool, most = self._pools[kind]
        if self._load[kind] >= most:
            return False
        self._load[kind] += 1
        self._busy.add(delivery.lane)
        pool.submit(self._outside, kind, delivery)
        return True

    def _outside(self, kind: str, delivery: log.Delivery) -> None:
        """In a pool's thread: run one delivery and put its outcome where the worker finds it."""
        replies: list[Event] = []
        failure: BaseException | None = None
        try:
            if kind == "function":
                replies = self._functions[delivery.target].invoke(delivery.event, self._reader())
            elif found := self._sinks.get(delivery.target):
                subscriptions.post(self._client, found, delivery.event)
            elif not delivery.target.startswith(subscriptions.PREFIX):
                raise LookupError(f"no function is called {delivery.target!r} here: start with the module that has it")
        except Exception as error:
            failure = error
        self._finished.put(Outcome(delivery, replies, failure))
        self.wake()

    def _drain(self) -> list[Outcome]:
        found: list[Outcome] = []
        while len(found) < BATCH:
            try:
                found.append(self._finished.get_nowait())
            except Empty:
                break
        return found

    def _commit(self, outcomes: list[Outcome], quick: list[log.Delivery]) -> None:
        """Everything of this round in one transaction, each delivery undone by itself if it fails."""

        def work(connection: sqlite3.Connection) -> None:
            for outcome in outcomes:
                self._settle(connection, outcome.delivery, lambda outcome=outcome: _result(outcome))  # type: ignore[misc]
            for delivery in quick:
                wired = self._functions[delivery.target]
                self._settle(connection, delivery, lambda d=delivery, w=wired: w.invoke(d.event, connection))  # type: ignore[misc]

        self._writer.submit(work).result()
        for outcome in outcomes:
            self._busy.discard(outcome.delivery.lane)
            self._load["function" if outcome.delivery.target in self._functions else "sink"] -= 1

    def _settle(self, connection: sqlite3.Connection, delivery: log.Delivery, run: Callable[[], list[Event]]) -> None:
        connection.execute("SAVEPOINT delivery")
        try:
            if log.acknowledge(connection, delivery):
                log.append(connection, run(), self._targets)
        except Exception as error:
            connection.execute("ROLLBACK TO delivery")
            self._fail(connection, delivery, error)
        connection.execute("RELEASE delivery")

    def _fail(self, connection: sqlite3.Connection, delivery: log.Delivery, error: Exception) -> None:
        known = delivery.target in self._functions
        most = self._settings.attempts if known else self._settings.sink_attempts
        seconds = retry.wait(error, delivery.attempts + 1, self._settings, most)
        told = retry.cause(error)
        if seconds is not None:
            log.postpone(connection, delivery, seconds, told)
            logger.info("%s of event %s failed, again in %.1f s: %s", delivery.target, delivery.event.id, seconds, told)
        elif log.acknowledge(connection, delivery):
            log.append(connection, dead_letter.bury(connection, delivery, told), self._targets)
            logger.warning("%s of event %s is a dead letter: %s", delivery.target, delivery.event.id, told)

    def _reader(self) -> sqlite3.Connection:
        """The calling thread's connection for reading."""
        reader: sqlite3.Connection | None = getattr(self._local, "reader", None)
        if reader is None:
            reader = self._local.reader = connect(self._path)
            reader.execute("PRAGMA query_only=ON")
            self._readers.append(reader)
        return reader


def _result(outcome: Outcome) -> list[Event]:
    if outcome.error is not None:
        raise outcome.error
    return outcome.replies
