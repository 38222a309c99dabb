"""What runs inside a Lithops worker: it opens its slices one after the other, calls the task, and measures itself.

Lithops' own resource statistics are not used: its CPU seconds are the host's since boot, its memory is the handler's and its
network bytes are of all interfaces. Only this file, ``functions.formats`` and the object store's client are imported here.
"""

from __future__ import annotations

import os
import sys
import time
import traceback
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cloudpickle
import msgspec

from events.ports import ObjectInfo, ObjectStore
from functions.formats.format import Slice
from infra.objects.s3 import S3Store

#: How a worker learns where the objects are: the names that override ``sluice.objects`` in the configuration.
ENVIRONMENT = {name: f"SLUICE_OBJECTS_{name.upper()}" for name in ("endpoint", "access_key", "secret_key", "region")}


class MeteredStore:
    """An object store that counts the bytes read from it and the seconds spent waiting for them."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self.seconds, self.bytes = 0.0, 0

    def head(self, bucket: str, key: str, *, version: str = "") -> ObjectInfo:
        with self._timed():
            return self._store.head(bucket, key, version=version)

    def read(self, bucket: str, key: str, start: int, end: int, *, etag: str = "") -> bytes:
        with self._timed():
            data = self._store.read(bucket, key, start, end, etag=etag)
        self.bytes += len(data)
        return data

    def stream(self, bucket: str, key: str, *, etag: str = "") -> Generator[bytes, None, None]:
        chunks = self._store.stream(bucket, key, etag=etag)
        while True:
            with self._timed():
                chunk = next(chunks, None)
            if chunk is None:
                return
            self.bytes += len(chunk)
            yield chunk

    def write(self, bucket: str, key: str, data: bytes, *, content_type: str = "application/octet-stream") -> ObjectInfo:
        with self._timed():
            return self._store.write(bucket, key, data, content_type=content_type)

    def upload(self, bucket: str, key: str, file: Path, *, content_type: str, user: dict[str, str]) -> ObjectInfo:
        with self._timed():
            return self._store.upload(bucket, key, file, content_type=content_type, user=user)

    def delete(self, bucket: str, key: str) -> None:
        with self._timed():
            self._store.delete(bucket, key)

    def list(self, bucket: str, prefix: str = "") -> Iterator[ObjectInfo]:
        return self._store.list(bucket, prefix)

    def _timed(self) -> _Timer:
        return _Timer(self)


class _Timer:
    """Adds the time inside of it to its store's."""

    def __init__(self, store: MeteredStore) -> None:
        self._store, self._start = store, 0.0

    def __enter__(self) -> None:
        self._start = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self._store.seconds += time.perf_counter() - self._start


@dataclass
class Outcome:
    """One slice's result, or the exception it ended with. Both pickled: the client alone may have their classes."""

    place: int
    result: bytes = b""
    error: bytes = b""
    trace: str = ""


@dataclass
class Report:
    """What one worker did and measured. ``started`` and ``ended`` are seconds since the epoch; memory is MB (10^6 bytes)."""

    started: float
    ended: float = 0.0
    read_s: float = 0.0
    compute_s: float = 0.0
    cpu_s: float = 0.0
    bytes_read: int = 0
    base_mb: float = 0.0
    peak_mb: float = 0.0
    outcomes: list[Outcome] = field(default_factory=list)


@dataclass(frozen=True)
class Work:
    """A task, ready to be sent: called in a worker with its part, the JSON of a list of (place, slice) pairs.

    Attributes:
        function: the user's function, pickled by cloudpickle.
        args, kwargs: what it gets besides the opened slice.
        path: entries of the client's ``sys.path`` to look up its modules in; only where workers share its file system.

    """

    function: bytes
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)
    path: tuple[str, ...] = ()

    def __call__(self, part: bytes) -> Report:
        sys.path.extend(entry for entry in self.path if entry not in sys.path)
        function = cloudpickle.loads(self.function)
        slices = msgspec.json.decode(part, type=list[tuple[int, Slice]])
        store = S3Store(**{name: os.environ.get(variable, "") for name, variable in ENVIRONMENT.items()})
        try:
            return self._run(function, slices, MeteredStore(store))
        finally:
            store.close()

    def _run(self, function: Any, slices: list[tuple[int, Slice]], store: MeteredStore) -> Report:
        report = Report(started=time.time(), base_mb=memory_mb("VmRSS"))
        clock, cpu = time.perf_counter(), cpu_seconds()
        for place, part in slices:
            outcome = self._one(function, place, part, store)
            report.outcomes.append(outcome)
            if outcome.error:
                break  # the map has failed; what this worker still had to do is for nothing
        report.ended = time.time()
        report.read_s, report.bytes_read = store.seconds, store.bytes
        report.compute_s = max(time.perf_counter() - clock - store.seconds, 0.0)
        report.cpu_s = cpu_seconds() - cpu
        report.peak_mb = memory_mb("VmHWM")
        return report

    def _one(self, function: Any, place: int, part: Slice, store: MeteredStore) -> Outcome:
        try:
            with part.open(store) as opened:
                result = function(opened, *self.args, **self.kwargs)
            return Outcome(place, result=cloudpickle.dumps(result))
        except Exception as error:  # it belongs to the caller of the map
            return Outcome(place, error=_pickled(error), trace="".join(traceback.format_exception(error)))


def _pickled(error: BaseException) -> bytes:
    """The exception, or its text in a ``RuntimeError`` if it does not survive pickling."""
    error.__traceback__ = None
    try:
        data: bytes = cloudpickle.dumps(error)
        cloudpickle.loads(data)
    except Exception:
        return bytes(cloudpickle.dumps(RuntimeError(f"{type(error).__name__}: {error}")))
    return data


def cpu_seconds() -> float:
    """CPU time of this process and of the children it waited for."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def memory_mb(field: str) -> float:
    """``VmRSS`` (resident now) or ``VmHWM`` (its peak) of this process; 0 where the system does not tell."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith(f"{field}:")), 0.0)
