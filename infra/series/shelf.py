"""The segments of the embedded store: written, found, read, put together and deleted. One writer, any number of readers."""

from __future__ import annotations

import itertools
import re
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import msgspec
import numpy as np

from events.ports import NotFound, ObjectStore
from infra.series import manifest as manifests
from infra.series import segments
from infra.series.batch import Ints
from infra.series.head import Names
from infra.series.manifest import Manifest
from infra.series.retention import DAY, HOUR, Retention, Tier, tier
from infra.series.run import Run, merge
from infra.series.segments import Segment

#: How much time a segment of each tier holds, in ms.
PERIODS: dict[Tier, int] = {"raw": HOUR, "1h": DAY, "1d": 30 * DAY}
#: Pieces of a period are put together when they are so many, or once it is over and the small ones are such a part.
MOST_PIECES, PART = 8, 0.1

#: The keys of what is written here; nothing else in the bucket is touched.
OURS = re.compile(r"(?:(?:raw|1h|1d)/[^/]+|series)/[0-9]{8}\.parquet")


class Shelf:
    """Segments in a bucket, copies of them in ``folder``, and the newest ``hot_points`` points of them in memory, decoded."""

    def __init__(self, objects: ObjectStore, bucket: str, folder: Path, hot_points: int) -> None:
        self._objects, self._bucket, self._folder, self._hot_points = objects, bucket, folder, hot_points
        folder.mkdir(parents=True, exist_ok=True)
        self.manifest = manifests.load(objects, bucket)
        data = b"".join(objects.stream(bucket, self.manifest.names)) if self.manifest.names else b""
        self.names = Names(*manifests.decode_names(data)) if data else Names([], np.zeros(0, np.int64), np.zeros(0))
        self._reader = segments.Reader()
        self._loading = threading.Lock()
        self._runs: dict[int, Run] = {}
        self._hot: frozenset[int] = frozenset()
        self._heat()
        self._clear()

    def find(self, ids: Ints, start: int, end: int) -> list[Run]:
        """The points of these series (of one metric) from ``start`` to before ``end``, a run a segment, older writes first."""
        manifest, hot = self.manifest, self._hot
        wanted = (each for each in manifest.segments if each.first < end and each.last >= start)
        return [self._select(each, each.number in hot, ids, start, end) for each in sorted(wanted, key=_number)]

    def keep(self, run: Run, buffer: int) -> None:
        """Write a run as segments. ``buffer`` is the last file of the write buffer whose points are in segments then.

        Raises ``Retry`` when the object store is away: then nothing has changed.
        """
        number = self.manifest.number
        written: list[Segment] = []
        for each, period, part in self._periods(run):
            number += 1
            written.append(self._write(part, number, each, period))
        names = f"series/{number:08d}.parquet"
        self._objects.write(self._bucket, names, manifests.encode_names(*self.names.snapshot()))
        self._change([], written, number, buffer, names)

    def compact(self, now: int) -> int:
        """Put the pieces of periods together; how many segments were made."""
        made = 0
        for place, pieces in itertools.groupby(sorted(self.manifest.segments, key=_place), _place):
            parts = sorted(pieces, key=_number)
            over = max(each.last for each in parts) + PERIODS[_tier(parts[0])] < now
            large, total = max(each.points for each in parts), sum(each.points for each in parts)
            if len(parts) > 1 and (len(parts) >= MOST_PIECES or (over and total - large >= PART * large)):
                run = merge([self._whole(each) for each in parts])
                number = self.manifest.number + 1
                written = self._write(run, number, *place)
                self._change(parts, [written], number)
                made += 1
        return made

    def expire(self, retention: Retention, now: int) -> int:
        """Take what is too old from the manifest; how many segments."""
        old = [each for each in self.manifest.segments if each.last < retention.oldest(_tier(each), now)]
        if old:
            self._change(old, [])
        return len(old)

    def sweep(self) -> None:
        """Delete what a former round took from the manifest."""
        garbage = self.manifest.garbage
        for key in garbage:
            self._objects.delete(self._bucket, key)
            (self._folder / Path(key).name).unlink(missing_ok=True)
        if garbage:
            self._save(msgspec.structs.replace(self.manifest, garbage=[]))

    def close(self) -> None:
        """Let go of DuckDB."""
        self._reader.close()

    def _select(self, segment: Segment, hot: bool, ids: Ints, start: int, end: int) -> Run:
        run = self._runs.get(segment.number)
        if run is None and not hot:
            wanted = [self.names.all[number] for number in ids.tolist()]
            return self._reader.read(self._file(segment), self.names.ids, wanted, start, end)
        if run is None:
            with self._loading:
                run = self._runs.get(segment.number)
                if run is None:
                    run = self._runs[segment.number] = self._whole(segment)
        return run.select(ids, start, end)

    def _whole(self, segment: Segment) -> Run:
        return self._runs.get(segment.number) or self._reader.read(self._file(segment), self.names.ids)

    def _periods(self, run: Run) -> list[tuple[Tier, str, Run]]:
        """A run cut by tier and period."""
        tiers = [tier(self.names.all[number].metric) for number in run.ids.tolist()]
        found: list[tuple[Tier, str, Run]] = []
        for each in sorted(set(tiers)):
            ids = run.ids[np.array([mine == each for mine in tiers])]
            mine = run.select(ids, run.first, run.last + 1)
            length = PERIODS[each]
            for period in np.unique(mine.time // length).tolist():
                part = mine.select(ids, period * length, (period + 1) * length)
                found.append((each, str(np.datetime64(period * length, "ms"))[:13], part))
        return found

    def _write(self, run: Run, number: int, of: Tier, period: str) -> Segment:
        key = f"{of}/{period}/{number:08d}.parquet"
        data = segments.encode(run, self.names.all)
        self._objects.write(self._bucket, key, data, content_type="application/vnd.apache.parquet")
        self._runs[number] = run
        return Segment(key, number, run.first, run.last, len(run), len(data))

    def _change(
        self, gone: Sequence[Segment], new: Sequence[Segment], number: int = 0, buffer: int = 0, names: str = ""
    ) -> None:
        now = self.manifest
        old = [each.key for each in gone]
        if names and now.names:
            old.append(now.names)
        left = [each for each in now.segments if each not in gone]
        self._save(
            Manifest(
                number=number or now.number,
                buffer=buffer or now.buffer,
                names=names or now.names,
                segments=[*left, *new],
                garbage=[*now.garbage, *old],
            )
        )
        self._heat()

    def _save(self, manifest: Manifest) -> None:
        manifests.save(self._objects, self._bucket, manifest)
        self.manifest = manifest

    def _heat(self) -> None:
        """Choose what is kept in memory: the newest."""
        left, hot = self._hot_points, set()
        for each in sorted(self.manifest.segments, key=lambda each: -each.last):
            left -= each.points
            if left < 0:
                break
            hot.add(each.number)
        self._hot = frozenset(hot)
        for number in self._runs.keys() - hot:
            self._runs.pop(number, None)

    def _clear(self) -> None:
        """Delete what a crash left: objects and copies that the manifest does not name."""
        named = {manifests.KEY, self.manifest.names, *self.manifest.garbage, *(each.key for each in self.manifest.segments)}
        with suppress(NotFound):  # no bucket yet
            for found in list(self._objects.list(self._bucket)):
                if OURS.fullmatch(found.key) and found.key not in named:
                    self._objects.delete(self._bucket, found.key)
        for file in self._folder.iterdir():
            if file.name not in {Path(key).name for key in named}:
                file.unlink()

    def _file(self, segment: Segment) -> Path:
        """A segment's copy on this disk, fetched if it is not there."""
        file = self._folder / Path(segment.key).name
        if not file.exists():
            fresh = file.with_suffix(f".{threading.get_ident()}")
            with fresh.open("wb") as out:
                for chunk in self._objects.stream(self._bucket, segment.key):
                    out.write(chunk)
            fresh.replace(file)
        return file


def _number(segment: Segment) -> int:
    return segment.number


def _tier(segment: Segment) -> Tier:
    return _place(segment)[0]


def _place(segment: Segment) -> tuple[Tier, str]:
    """The tier and period of a segment, as its key has them."""
    of, period, _ = segment.key.split("/")
    return ("raw" if of == "raw" else "1h" if of == "1h" else "1d"), period
