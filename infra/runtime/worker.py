"""The worker: takes ready deliveries, runs their functions, and has effects, inbox mark and replies settled together.

Functions that read objects run in a pool, outside any transaction, and so do the sinks of subscriptions; the other functions
run inside the log's unit of work. Either way a delivery ends in the transaction that holds its effects, so a crash at any point
repeats it from the start and never leaves half of it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any

import httpx

from events.errors import Reject, Retry
from events.event import Event
from infra.complaint import Complaint
from infra.config import Delivery as Settings
from infra.delivery import retry
from infra.delivery import subscription as subscriptions
from infra.delivery.order import Lane
from infra.delivery.retention import Retention
from infra.log.log import SUSPECT, Delivery, Failure, Job, Log
from infra.runtime.middleware import Middleware
from infra.runtime.wiring import Wired

logger = logging.getLogger("sluice.worker")
BATCH = 256
PAUSE_SECONDS = 1.0
SINK_THREADS = 8


class Worker:
    """One process's worker over the shards it holds a lease on. ``unit`` gives functions in the pool something to read from."""

    def __init__(
        self,
        log: Log,
        functions: Mapping[str, Wired],
        joining: frozenset[str],
        sinks: subscriptions.Subscriptions,
        unit: Callable[[], AbstractContextManager[Any]],
        settings: Settings,
        threads: int,
        middleware: Middleware,
    ) -> None:
        self._log, self._functions, self._joining, self._sinks = log, functions, joining, sinks
        self._unit, self._settings, self._middleware = unit, settings, middleware
        self._busy: set[Lane] = set()
        #: Of the busy lanes those whose delivery has left the queue of its pool.
        self._started: set[Lane] = set()
        self._finished: SimpleQueue[Job] = SimpleQueue()
        #: Ready to be settled; kept until that has succeeded, whatever becomes of the log in between.
        self._jobs: list[Job] = []
        self._pools = {
            "function": (ThreadPoolExecutor(threads, "function"), threads * 4),
            "sink": (ThreadPoolExecutor(SINK_THREADS, "sink"), SINK_THREADS * 4),
        }
        for each in {wired.pool for wired in functions.values()} - set(self._pools):
            self._pools[each] = (ThreadPoolExecutor(1, each), 1)
        self._load = dict.fromkeys(self._pools, 0)
        self._client = httpx.Client()
        self._signal = threading.Event()
        self._stopping = threading.Event()
        self._renew_at = 0.0
        self._trouble = Complaint(logger, "the worker cannot go on")
        self._retention = Retention(settings.retain_days, middleware.claims)
        self._thread = threading.Thread(target=self._run, name="worker", daemon=True)

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    def wake(self) -> None:
        """Look for work now instead of at the next poll."""
        self._signal.set()

    def stop(self) -> None:
        """Finish what is running, give the shards back. What is left stays in the log."""
        self._stopping.set()
        self.wake()
        if self._thread.ident is not None:
            self._thread.join()
        for pool, _ in self._pools.values():
            pool.shutdown()
        try:
            self._collect()
            self._settle()
            self._log.release()
        except Exception as error:  # whoever works next repeats what was not settled
            logger.warning("the worker could not tell the log that it stops: %s", error)
        self._client.close()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._signal.clear()
                worked = self._step()
                self._trouble.over()
                if not worked:
                    self._signal.wait(self._log.poll_s)
            except Retry as error:
                self._trouble.tell(error)
                self._stopping.wait(PAUSE_SECONDS)
            except Exception:
                logger.exception("the worker could not go on; trying again in a second")
                self._stopping.wait(PAUSE_SECONDS)

    def _step(self) -> bool:
        """One round; whether anything was settled or started."""
        if time.monotonic() >= self._renew_at:
            self._log.lease(self._settings.lease_s, self._started)
            self._renew_at = time.monotonic() + self._settings.lease_s / 3
        self._retention.step(self._log)
        self._settle()  # what could not be settled in the last round
        self._collect()
        started = False
        for delivery in self._log.ready(BATCH + len(self._busy), self._free):
            wired = self._functions.get(delivery.target)
            if delivery.given > SUSPECT and self._busy:
                break  # it shall be alone: what runs comes to its end first
            if delivery.given > SUSPECT + self._settings.attempts:
                self._jobs.append(Job(delivery, _refuse))
            elif wired is not None and not wired.slow:
                self._jobs.append(Job(delivery, partial(self._inside, delivery, wired), delivery.target in self._joining))
            else:
                started |= self._start(_kind(wired), delivery)
        settled = bool(self._jobs)
        self._settle()
        return settled or started

    def _collect(self) -> None:
        while len(self._jobs) < BATCH:
            try:
                self._jobs.append(self._finished.get_nowait())
            except Empty:
                return

    def _settle(self) -> None:
        if not self._jobs:
            return
        self._log.settle(self._jobs, self._judge)
        self._middleware.settled(job.delivery for job in self._jobs)
        for job in self._jobs if self._busy else ():
            if job.delivery.lane in self._busy:
                self._busy.discard(job.delivery.lane)
                self._started.discard(job.delivery.lane)
                self._load[_kind(self._functions.get(job.delivery.target))] -= 1
        self._jobs = []

    def _free(self, lane: Lane) -> bool:
        wired = self._functions.get(lane[0])
        if wired is not None and not wired.slow:
            return True
        kind = _kind(wired)
        return lane not in self._busy and self._load[kind] < self._pools[kind][1]

    def _start(self, kind: str, delivery: Delivery) -> bool:
        pool, most = self._pools[kind]
        if self._load[kind] >= most or delivery.lane in self._busy:
            return False
        self._load[kind] += 1
        self._busy.add(delivery.lane)
        pool.submit(self._outside, kind, delivery)
        return True

    def _inside(self, delivery: Delivery, wired: Wired, unit: Any) -> list[Event]:
        """Within the log's unit of work."""
        return self._middleware.run(delivery, wired.invoke, unit)

    def _outside(self, kind: str, delivery: Delivery) -> None:
        """In a pool's thread: run one delivery and put its outcome where the worker finds it."""
        replies: list[Event] = []
        failure: Exception | None = None
        self._started.add(delivery.lane)
        try:
            if kind != "sink":
                with self._unit() as unit:
                    replies = self._inside(delivery, self._functions[delivery.target], unit)
            elif delivery.target.startswith(subscriptions.PREFIX):
                self._middleware.run(delivery, self._post, delivery.target)
            else:
                raise LookupError(f"no function is called {delivery.target!r} here: start with the module that has it")
        except Exception as error:
            failure = error
        self._finished.put(Job(delivery, partial(_outcome, replies, failure)))
        self.wake()

    def _post(self, event: Event, target: str) -> list[Event]:
        self._sinks.post(self._client, target, event)
        return []

    def _judge(self, delivery: Delivery, error: Exception) -> Failure:
        known = delivery.target in self._functions
        most = self._settings.attempts if known else self._settings.sink_attempts
        failure = Failure(retry.cause(error), retry.wait(error, delivery.attempts + 1, self._settings, most))
        self._middleware.failed(delivery, failure)
        return failure


def _kind(wired: Wired | None) -> str:
    """Which pool a delivery runs in: that of functions, of one that has a thread of its own, or of sinks."""
    return "sink" if wired is None else wired.pool


def _outcome(replies: list[Event], failure: Exception | None, _: Any) -> list[Event]:
    """What came of a delivery that ran outside: its replies, or its error."""
    if failure is not None:
        raise failure
    return replies


def _refuse(_: Any) -> list[Event]:
    raise Reject("every worker that had this event in hand died of it; mend the function, then replay the dead letter")
