"""What the workers of a map tell while they run, as small objects in Lithops' own storage: who began, and each slice's outcome.

A worker that dies takes nothing along that it had finished, and whoever waits sees every slice as it ends. Keys are
``PREFIX/WORKER-NUMBER``: number 0 says that the worker began, every other one is an outcome.
"""

from __future__ import annotations

import os
import pickle
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Place = tuple[int, ...]


@dataclass(frozen=True)
class Written:
    """An object that a worker wrote: where, which version of it, and how many rows it has (-1 if it is no table)."""

    bucket: str
    key: str
    etag: str
    size: int
    rows: int = -1


@dataclass
class Measured:
    """What a worker measured of one slice. Times are seconds (two since the epoch), memory is MB (10^6 bytes).

    ``read_s`` and ``write_s`` were spent in the object store, ``compute_s`` is the rest. ``disk_read`` and ``disk_written`` are
    the bytes that the process moved from and to disks (``/proc/self/io``), ``peak_mb`` is its peak of resident memory so far.
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


class Journal:
    """The journal of one map, below ``prefix`` of ``bucket``; ``storage`` is Lithops' own, in the client or a worker."""

    def __init__(self, storage: Any, bucket: str, prefix: str) -> None:
        self._storage, self._bucket, self._prefix = storage, bucket, prefix
        self._seen: set[str] = set()

    def write(self, worker: int, number: int, entry: Began | Outcome) -> None:
        """Tell it, as this worker's ``number``-th."""
        self._storage.put_object(self._bucket, f"{self._prefix}/{worker:06}-{number:06}", pickle.dumps(entry))

    def news(self) -> list[Began | Outcome]:
        """What has been written since the last call."""
        found: list[Began | Outcome] = []
        for key in self._storage.list_keys(self._bucket, f"{self._prefix}/"):
            if key in self._seen:
                continue
            try:
                entry = pickle.loads(self._storage.get_object(self._bucket, key))  # noqa: S301 - from our own worker
            except (EOFError, pickle.UnpicklingError):
                continue  # a local file that is just being written
            self._seen.add(key)
            found.append(entry)
        return found

    def remove(self) -> None:
        """Forget it all."""
        if keys := self._storage.list_keys(self._bucket, f"{self._prefix}/"):
            self._storage.delete_objects(self._bucket, keys)


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


def memory_mb(field: str) -> float:
    """``VmRSS`` (resident now) or ``VmHWM`` (its peak) of this process; 0 where the system does not tell."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith(f"{field}:")), 0.0)
