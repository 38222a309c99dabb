"""The series of a running lake: what is written is checked, and one thread keeps the store in order.

The thread moves recorded observations into the store, makes segments, roll-ups and room, and describes every metric in an
object of the bucket (``metrics/NAME.parquet``, one row a series), which takes it into the catalogue like any other object.
"""

from __future__ import annotations

import logging
import threading
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from events.errors import Retry
from events.ports import ObjectStore
from infra.catalog.database import Database
from infra.complaint import Complaint
from infra.config import Series as Settings
from infra.series import lines, pending, remote_write
from infra.series.batch import Batch, Series
from infra.series.embedded import EmbeddedSeries
from infra.series.lines import LineError
from infra.series.manifest import describe
from infra.series.retention import HOUR, retention
from infra.series.rollup import Rollup
from infra.series.store import SeriesStore
from infra.series.victoria import VictoriaSeries

if TYPE_CHECKING:
    from infra.lake import Lake

logger = logging.getLogger("sluice.series")
#: How often the thread looks whether something waits, in seconds.
LOOK_S = 0.2


class SeriesService:
    """A store of series and its upkeep. ``start`` opens it; until then (and in no other process) nothing can be asked of it."""

    def __init__(self, settings: Settings, folder: Path, objects: ObjectStore, lake: Lake) -> None:
        self._settings, self._folder, self._objects, self._lake = settings, folder, objects, lake
        self.retention = retention(settings)
        self._store: SeriesStore | None = None
        self._described: dict[str, int] = {}
        self._trouble = Complaint(logger, "the upkeep of the series cannot go on")
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="series", daemon=True)

    def start(self) -> None:
        """Open the store and begin with its upkeep."""
        kept = self.retention
        if self._settings.url:
            self._store = VictoriaSeries(self._settings.url, kept)
        else:
            self._store = EmbeddedSeries(self._objects, self._settings.bucket, self._folder, kept, self._settings.hot_points)
        self._thread.start()

    @property
    def store(self) -> SeriesStore:
        """The open store. Raises ``Retry`` before it is."""
        if self._store is None:
            raise Retry("the series are not open yet; ask again in a second")
        return self._store

    @property
    def rollup(self) -> Rollup:
        """Answers over all tiers."""
        return Rollup(self.store, self.retention)

    def write_lines(self, body: bytes, precision: str) -> tuple[int, list[LineError]]:
        """Write line protocol; returns once it is durable, how many points were taken, and what was not. Raises ``Reject``."""
        batch, errors = lines.parse(body, precision, _now(), self.retention.bounds(_now()))
        self._write(batch)
        return len(batch), errors

    def write_remote(self, body: bytes) -> tuple[int, list[str]]:
        """As ``write_lines``, for a Prometheus write request."""
        batch, errors = remote_write.parse(body, self.retention.bounds(_now()))
        self._write(batch)
        return len(batch), errors

    def now(self) -> int:
        """The present in ms since 1970."""
        return _now()

    def status(self) -> dict[str, Any]:
        """The store in numbers."""
        return self._store.status() if self._store else {}

    def close(self) -> None:
        """Stop the upkeep, then the store; what is in no segment yet is in the buffer."""
        self._stopping.set()
        if self._store is not None:
            self._thread.join()
            self._store.close()

    def _write(self, batch: Batch) -> None:
        if len(batch):
            self.store.write(batch).result()

    def _run(self) -> None:
        tidied, rolled = time.monotonic(), -1
        while not self._stopping.wait(LOOK_S):
            try:
                self._move()
                if self.store.full or time.monotonic() - tidied >= self._settings.every_s:
                    self.store.maintain(_now())
                    self._describe()
                    tidied = time.monotonic()
                if _now() // HOUR != rolled:
                    self.rollup.run(_now())
                    rolled = _now() // HOUR
                self._trouble.over()
            except Retry as error:
                self._trouble.tell(error)
                self._stopping.wait(1.0)
            except Exception:
                tidied = time.monotonic()
                logger.exception("the upkeep of the series could not go on; trying again in a second")
                self._stopping.wait(1.0)

    def _move(self) -> None:
        """Move what functions recorded into the store."""
        while not self._stopping.is_set():
            with self._lake.database() as database:
                found = pending.oldest(database)
            if found is None:
                return
            until, batch = found
            self.store.write(batch).result()
            self._lake.catalog.writer.submit(partial(_moved, until)).result()

    def _describe(self) -> None:
        """Write the description of every metric that has got more series, or fewer."""
        metrics: dict[str, list[Series]] = {}
        for each in self.store.series():
            metrics.setdefault(each.metric, []).append(each)
        for metric, found in metrics.items():
            if self._described.get(metric) != len(found):
                key = f"metrics/{quote(metric, safe='')}.parquet"
                self._objects.write(self._settings.bucket, key, describe(found), content_type="application/vnd.apache.parquet")
                self._described[metric] = len(found)


def _now() -> int:
    return time.time_ns() // 1_000_000


def _moved(until: int, connection: Any) -> None:
    pending.moved(Database(connection), until)
