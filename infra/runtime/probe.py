"""What runs inside a Lithops worker: it opens its slices one after the other, calls the task, and measures itself.

Lithops' own resource statistics are not used: its CPU seconds are the host's since boot, its memory is the handler's and its
network bytes are of all interfaces. Only this file, ``functions.formats`` and the object store's client are imported here.
"""

from __future__ import annotations

import os
import resource
import sys
import time
import traceback
from collections.abc import Generator, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cloudpickle
import msgspec

from events.ports import ObjectInfo, ObjectStore
from functions.formats.format import Slice
from infra.objects.s3 import S3Store
from infra.runtime.failure import contained
from infra.runtime.journal import Journal, Measured, Outcome, Place, Written, began
from infra.runtime.memory import Watch
from infra.runtime.results import Target

#: How a worker learns where the objects are: the names that override ``sluice.objects`` in the configuration.
ENVIRONMENT = {name: f"SLUICE_OBJECTS_{name.upper()}" for name in ("endpoint", "access_key", "secret_key", "region")}


class MeteredStore:
    """An object store that counts the bytes read (``bytes``) and written and the seconds spent waiting for them."""

    def __init__(self, store: ObjectStore) -> None:
        self._store: Any = store
        self.read_s, self.write_s, self.bytes, self.bytes_written = 0.0, 0.0, 0, 0

    def head(self, bucket: str, key: str, *, version: str = "") -> ObjectInfo:
        with self._reading():
            info: ObjectInfo = self._store.head(bucket, key, version=version)
        return info

    def read(self, bucket: str, key: str, start: int, end: int, *, etag: str = "") -> bytes:
        with self._reading():
            data: bytes = self._store.read(bucket, key, start, end, etag=etag)
        self.bytes += len(data)
        return data

    def stream(self, bucket: str, key: str, *, etag: str = "") -> Generator[bytes, None, None]:
        chunks = self._store.stream(bucket, key, etag=etag)
        while True:
            with self._reading():
                chunk = next(chunks, None)
            if chunk is None:
                return
            self.bytes += len(chunk)
            yield chunk

    def write(self, bucket: str, key: str, data: bytes, *, content_type: str = "application/octet-stream") -> ObjectInfo:
        with self._writing(len(data)):
            info: ObjectInfo = self._store.write(bucket, key, data, content_type=content_type)
        return info

    def create(self, bucket: str, key: str, data: bytes, *, content_type: str) -> ObjectInfo:
        """As ``S3Store.create``: written only where nothing is."""
        with self._writing(len(data)):
            info: ObjectInfo = self._store.create(bucket, key, data, content_type=content_type)
        return info

    def upload(self, bucket: str, key: str, file: Path, *, content_type: str, user: dict[str, str]) -> ObjectInfo:
        with self._writing(file.stat().st_size):
            info: ObjectInfo = self._store.upload(bucket, key, file, content_type=content_type, user=user)
        return info

    def delete(self, bucket: str, key: str) -> None:
        with self._writing(0):
            self._store.delete(bucket, key)

    def list(self, bucket: str, prefix: str = "") -> Iterator[ObjectInfo]:
        found: Iterator[ObjectInfo] = self._store.list(bucket, prefix)
        return found

    @contextmanager
    def _reading(self) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self.read_s += time.perf_counter() - start

    @contextmanager
    def _writing(self, size: int) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
            self.bytes_written += size
        finally:
            self.write_s += time.perf_counter() - start


@dataclass(frozen=True)
class Work:
    """A task, ready to be sent: called in a worker with its number, its part, the JSON of (place, slice)
    pairs, and how often to tell of them.

    Attributes:
        function: the user's function, pickled by cloudpickle.
        journal: bucket and prefix of the map's journal in Lithops' storage.
        args, kwargs: what it gets besides the opened slice.
        path: entries of the client's ``sys.path`` to look up its modules in; only where workers share its file system.
        columns, where: what ``Slice.open`` is asked for.
        into: where its results are written as objects; ``None`` sends them to the caller.

    """

    function: bytes
    journal: tuple[str, str]
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)
    path: tuple[str, ...] = ()
    columns: tuple[str, ...] | None = None
    where: tuple[tuple[str, str, Any], ...] = ()
    into: Target | None = None

    def __call__(self, worker: int, part: bytes, every: float, storage: Any) -> int:
        """How many slices it worked on, telling of them ``every`` so many seconds.

        ``storage`` is Lithops' own, which it hands to a parameter of this name.
        """
        sys.path.extend(entry for entry in self.path if entry not in sys.path)
        with Journal(storage, *self.journal).writer(worker, every) as journal, Watch() as memory:
            journal.tell(began(worker))
            slices = msgspec.json.decode(part, type=list[tuple[Place, Slice]])
            function = self._loaded()
            store = S3Store(**{name: os.environ.get(variable, "") for name, variable in ENVIRONMENT.items()})
            with closing(store):
                for place, one in slices:
                    journal.tell(self._measured(function, worker, place, one, MeteredStore(store), memory))
        return len(slices)

    def opened(self, place: Place, part: Slice, store: MeteredStore) -> AbstractContextManager[Any]:
        """What the function gets for the slice at ``place``."""
        return part.open(store, columns=self.columns, where=self.where)

    def _loaded(self) -> Any:
        """The function, or one that raises what unpickling it raised: that too is an outcome of every slice."""
        try:
            with contained():
                return cloudpickle.loads(self.function)
        except Exception as error:
            failure = error

            def fails(*_: Any, **__: Any) -> None:
                raise failure

            return fails

    def _measured(self, function: Any, worker: int, place: Place, part: Slice, store: MeteredStore, memory: Watch) -> Outcome:
        started, clock, cpu, disk = time.time(), time.perf_counter(), cpu_seconds(), disk_bytes()
        outcome = self._one(function, worker, place, part, store)
        wall, moved = time.perf_counter() - clock, disk_bytes()
        outcome.measured = Measured(
            started=started,
            ended=time.time(),
            read_s=store.read_s,
            write_s=store.write_s,
            compute_s=max(wall - store.read_s - store.write_s, 0.0),
            cpu_s=cpu_seconds() - cpu,
            bytes_read=store.bytes,
            bytes_written=store.bytes_written,
            disk_read=moved[0] - disk[0],
            disk_written=moved[1] - disk[1],
            peak_mb=memory.peak_mb(),
        )
        return outcome

    def _one(self, function: Any, worker: int, place: Place, part: Slice, store: MeteredStore) -> Outcome:
        try:
            with contained(), self.opened(place, part, store) as opened:
                result = function(opened, *self.args, **self.kwargs)
                written: Written | None = None
                if self.into is not None:  # while the slice is open: its folder may hold what the result names
                    written, result = self.into.write(store, place, result), None
                return Outcome(worker, place, result=cloudpickle.dumps(result), written=written)
        except Exception as error:  # it belongs to the caller of the map
            return Outcome(worker, place, error=_pickled(error), trace="".join(traceback.format_exception(error)))


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
    """CPU time of this process and of the children it waited for, finer than the hundredths of a second of ``os.times``."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def disk_bytes() -> tuple[int, int]:
    """Bytes that this process read from and wrote to disks; zeros where the system does not tell."""
    try:
        told = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    except OSError:
        return 0, 0
    return int(told["read_bytes"]), int(told["write_bytes"])
