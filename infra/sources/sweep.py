"""The sweeper: reconciles the configured buckets now and then, and any bucket when asked to."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator

import msgspec

from events.errors import SluiceError
from events.ports import NotFound, ObjectInfo
from infra.config import Reconcile
from infra.delivery.reconcile import Reconciler, Tally
from infra.lake import Lake
from infra.objects.providers import Providers
from infra.sources.dialect import dialect_of

logger = logging.getLogger("sluice.reconcile")
#: Seconds until a sweep that failed is tried again.
AGAIN = 10.0


class Sweeper:
    """A thread that sweeps: every ``every_s`` seconds what is configured, and at once what ``request`` asks for."""

    def __init__(self, lake: Lake, objects: Providers, settings: Reconcile) -> None:
        self._lake, self._objects, self._settings = lake, objects, settings
        self._reconcilers: dict[tuple[str, str], Reconciler] = {}
        self._lock = threading.Lock()
        self._wanted: dict[tuple[str, str], float] = {}
        self._signal = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="sweeper", daemon=True)

    def start(self) -> None:
        """Begin; the first sweep of what is configured is now."""
        if self._settings.every_s > 0:
            self._periodic(time.monotonic())
        self._thread.start()

    def stop(self) -> None:
        """Stop after the page at hand; the sweep goes on from there when it is asked for again."""
        self._stopping = True
        self._signal.set()
        if self._thread.ident is not None:
            self._thread.join()

    def request(self, bucket: str, prefix: str = "") -> None:
        """Sweep soon: a source may have missed something. Asking again before it begins changes nothing."""
        with self._lock:
            self._wanted[bucket, prefix] = time.monotonic()
        self._signal.set()

    def sweep(self, bucket: str, prefix: str = "", *, dry_run: bool = False, restart: bool = False) -> Iterator[Tally]:
        """Sweep now, in the calling thread; see ``Reconciler.sweep``."""
        store, name = self._objects.of(bucket)
        dialect = dialect_of(store, name)

        def sequence(listed: ObjectInfo) -> str:
            own = msgspec.structs.replace(listed, bucket=self._objects.of(listed.bucket)[1])
            return dialect.sequence(store, own)

        with self._lock:
            reconciler = self._reconcilers.setdefault(
                (store.endpoint, dialect.name), Reconciler(self._lake, self._objects, dialect.source, sequence)
            )
        yield from reconciler.sweep(bucket, prefix, dry_run=dry_run, restart=restart)

    def buckets(self) -> list[tuple[str, str]]:
        """What a sweep without an address is about: bucket and prefix of the configured ones, else every bucket of the lake."""
        named = [tuple(each.removeprefix("s3://").partition("/")[::2]) for each in self._settings.buckets]
        own = self._lake.config.bucket
        return [(bucket, prefix) for bucket, prefix in named] or [
            (each, "") for each in self._objects.default.buckets() if each != own
        ]

    def _periodic(self, at: float) -> None:
        with self._lock:
            self._wanted["", ""] = at  # no bucket: all that are configured

    def _run(self) -> None:
        while not self._stopping:
            self._signal.clear()
            moment = time.monotonic()
            with self._lock:
                due = [each for each, at in self._wanted.items() if at <= moment]
                for each in due:
                    del self._wanted[each]
                later = min(self._wanted.values(), default=moment + 3600.0)
            for bucket, prefix in due:
                self._one(bucket, prefix)
            if not due:
                self._signal.wait(max(0.0, later - moment))

    def _one(self, bucket: str, prefix: str) -> None:
        try:
            if not bucket:
                self._periodic(time.monotonic() + self._settings.every_s)
            for name, below in [(bucket, prefix)] if bucket else self.buckets():
                self._finish(name, below)
        except NotFound as error:
            logger.warning("nothing to sweep: %s", error)
        except SluiceError as error:
            logger.warning("a sweep failed and is tried again in %.0f s: %s", AGAIN, error)
            with self._lock:
                self._wanted.setdefault((bucket, prefix), time.monotonic() + AGAIN)

    def _finish(self, bucket: str, prefix: str) -> None:
        for tally in self.sweep(bucket, prefix):
            if tally.done:
                told = tally.missed, tally.changed, tally.removed
                logger.info("swept s3://%s/%s: %d missed, %d changed, %d removed", bucket, prefix, *told)
            if self._stopping:
                return
