"""What the workers of a map tell while they run, as small objects in Lithops' own storage: who began, and each slice's outcome.

A worker that dies takes at most the last moment's answers along, and whoever waits sees every slice soon after it ends. What
falls into one moment is one object, ``PREFIX/WORKER-NUMBER``, which is gone once it is read: so a look at the journal costs
what has happened since the one before, however many slices there are.
"""

from __future__ import annotations

import math
import os
import pickle
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from infra.runtime.memory import memory_mb

Place = tuple[int, ...]
#: Objects of a journal that are read at once.
READERS = 16
#: An object that lies in the journal as long as the map runs: Lithops' local storage removes folders that become empty, even
#: under the hands of a worker that is just about to write there.
MARK = "map"


@dataclass(frozen=True)
class Written:
    """An object that a worker wrote: where, which version of it, and how many rows it has (-1 if it is no table).

    A ``size`` of 0 says that there was nothing to write: no object is there.
    """

    bucket: str
    key: str
    etag: str
    size: int
    rows: int = -1


@dataclass
class Measured:
    """What a worker measured of one slice. Times are seconds (two since the epoch), memory is MB (10^6 bytes).

    ``read_s`` and ``write_s`` were spent in the object store, ``compute_s`` is the rest. ``disk_read`` and ``disk_written`` are
    the bytes that the process moved from and to disks (``/proc/self/io``), ``peak_mb`` is its peak of resident memory so far,
    with its children's.
    """

    started: float = 0.0
    ended: float = 0.0
    read_s: float = 0.0
    write_s: float = 0.0
    compute_s: float = 0.0
    cpu_s: float = 0.0
    bytes_read: int = 0
    bytes_written: int = 0
    disk_read: int = 0
    disk_written: int = 0
    peak_mb: float = 0.0


@dataclass
class Began:
    """A worker began: its process (``ticks`` tells it from a later one of the same id) and its memory before any slice."""

    worker: int
    at: float
    pid: int
    ticks: int
    base_mb: float = 0.0


@dataclass
class Outcome:
    """One slice's result, or the exception it ended with. Both pickled: the client alone may have their classes."""

    worker: int
    place: Place
    result: bytes = b""
    error: bytes = b""
    trace: str = ""
    written: Written | None = None
    measured: Measured = field(default_factory=Measured)

    def raised(self) -> BaseException:
        """The exception that it ended with."""
        try:
            return pickle.loads(self.error)  # type: ignore[no-any-return]  # noqa: S301 - from our own worker
        except Exception:
            return RuntimeError(self.trace.strip().rsplit("\n", 1)[-1])


Entry = Began | Outcome


class Journal:
    """The journal of one map, below ``prefix`` of ``bucket``; ``storage`` is Lithops' own, in the client or a worker."""

    def __init__(self, storage: Any, bucket: str, prefix: str) -> None:
        self._storage, self._bucket, self._prefix = storage, bucket, prefix
        self._read: set[str] = set()

    def begin(self) -> None:
        """Make it, before the first worker is asked for."""
        self._storage.put_object(self._bucket, f"{self._prefix}/{MARK}", b"")

    def writer(self, worker: int, every: float) -> Writer:
        """Where a worker tells; at most ``every`` seconds after, it can be read, and with 0 before ``tell`` returns."""

        def put(number: int, entries: list[Entry]) -> None:
            self._storage.put_object(self._bucket, f"{self._prefix}/{worker:06}-{number:06}", pickle.dumps(entries))

        return Writer(put, every)

    def news(self) -> list[Entry]:
        """What has been written since the last call."""
        mark = f"{self._prefix}/{MARK}"
        keys = sorted(
            key for key in self._storage.list_keys(self._bucket, f"{self._prefix}/") if key != mark and key not in self._read
        )
        if len(keys) > 1:
            with ThreadPoolExecutor(min(len(keys), READERS)) as pool:
                batches = list(pool.map(self._batch, keys))
        else:
            batches = [self._batch(key) for key in keys]
        whole = [key for key, batch in zip(keys, batches, strict=True) if batch]
        if whole:
            self._storage.delete_objects(self._bucket, whole)
            self._read.update(whole)
        return [entry for batch in batches for entry in batch]

    def _batch(self, key: str) -> list[Entry]:
        try:
            return pickle.loads(self._storage.get_object(self._bucket, key))  # type: ignore[no-any-return]  # noqa: S301 - from our own worker
        except (EOFError, pickle.UnpicklingError):
            return []  # a local file that is just being written

    def remove(self) -> None:
        """Forget it all."""
        if keys := self._storage.list_keys(self._bucket, f"{self._prefix}/"):
            self._storage.delete_objects(self._bucket, keys)


class Writer:
    """One worker's way to tell. What it is told within ``every`` seconds of the last object waits, to be one together."""

    def __init__(self, put: Callable[[int, list[Entry]], None], every: float) -> None:
        self._put, self._every = put, every
        self._waiting: list[Entry] = []
        self._number, self._last = 0, -math.inf
        self._lock, self._closed = threading.Lock(), threading.Event()
        self._thread = threading.Thread(target=self._flushes, name="journal", daemon=True)

    def __enter__(self) -> Writer:
        if self._every:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        if self._every:
            self._thread.join()
        self._flush()

    def tell(self, entry: Entry) -> None:
        """Tell it: at once after a silence, else a little later."""
        self._waiting.append(entry)
        if time.monotonic() - self._last >= self._every:
            self._flush()

    def _flushes(self) -> None:
        while not self._closed.wait(self._every):
            with suppress(Exception):  # it is tried again, in the end by the worker itself
                self._flush()

    def _flush(self) -> None:
        with self._lock:
            if told := self._waiting[:]:
                self._put(self._number, told)
                del self._waiting[: len(told)]  # more may have come behind them
                self._number, self._last = self._number + 1, time.monotonic()


def began(worker: int) -> Began:
    """The entry of a worker that begins now, in this process."""
    return Began(worker, time.time(), os.getpid(), _ticks(os.getpid()), memory_mb("VmRSS"))


def alive(entry: Began) -> bool:
    """Whether the process that wrote ``entry`` still runs on this machine; true where the system does not tell."""
    return not Path("/proc").is_dir() or _ticks(entry.pid) == entry.ticks


def _ticks(pid: int) -> int:
    """When a process began, in clock ticks since the machine did; -1 for one that has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return -1
    return -1 if fields[0] == "Z" else int(fields[19])
