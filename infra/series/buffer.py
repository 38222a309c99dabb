"""The write buffer: batches are on the disk before they count as written, and are there again after a crash.

Files ``00000001.log`` and on, each a row of records: length and CRC-32 of what follows, then a batch (``Batch.encode``). One
thread writes all that waits and flushes it once. A record that was cut off by a crash ends its file; it was never confirmed.
"""

from __future__ import annotations

import os
import queue
import struct
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any
from zlib import crc32

import msgspec

from infra.batches import batches
from infra.series.batch import Batch

HEAD = struct.Struct("<II")
#: Most batches of one flush.
GROUP = 256
#: A batch, or what to do as a new file begins; and who waits for it.
_Work = tuple["Batch | Callable[[], None]", "Future[Any]"]


class Buffer:
    """The buffer in a folder. ``applied`` is called with each batch once it is durable, in order, before its future resolves.

    The points of the files up to number ``kept`` are kept elsewhere: those files are removed.
    """

    def __init__(self, folder: Path, applied: Callable[[Batch], None], kept: int = 0) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._applied = folder, applied
        self._queue: queue.SimpleQueue[_Work | None] = queue.SimpleQueue()
        self.drop(kept)
        self._number = max([kept, *self._numbers()]) + 1
        self._fd, self._size = self._open(), 0
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="series buffer", daemon=True)

    def replay(self) -> Iterator[Batch]:
        """The batches of the files that were there, oldest first. To be read before ``start``."""
        for number in self._numbers():
            if number < self._number:
                yield from _records((self._folder / _name(number)).read_bytes())

    def start(self) -> None:
        """Take batches from now on."""
        self._thread.start()

    @property
    def full(self) -> int:
        """The number of the last file that nothing is written to any more."""
        return self._number - 1

    def append(self, batch: Batch) -> Future[None]:
        """Write a batch; resolves once it is durable and applied."""
        return self._ask(batch)

    def rotate(self, turned: Callable[[], None]) -> Future[int]:
        """Begin a new file; resolves to ``full``. ``turned`` is called behind the old one's last batch, before the next."""
        return self._ask(turned)

    def drop(self, until: int) -> None:
        """Remove the files up to this number: their points are kept elsewhere now."""
        for number in self._numbers():
            if number <= until:
                (self._folder / _name(number)).unlink()

    def close(self) -> None:
        """Finish what was asked for."""
        if not self._closed:
            self._closed = True
            self._queue.put(None)
            self._thread.join()
            os.close(self._fd)

    def _ask(self, work: Batch | Callable[[], None]) -> Future[Any]:
        if self._closed:
            raise RuntimeError("the series store is closed")
        future: Future[Any] = Future()
        self._queue.put((work, future))
        return future

    def _run(self) -> None:
        for group in batches(self._queue, GROUP):
            waiting: list[tuple[Batch, Future[Any]]] = []
            for work, future in group:
                if isinstance(work, Batch):
                    waiting.append((work, future))
                else:
                    self._commit(waiting)
                    waiting = []
                    self._turn(work, future)
            self._commit(waiting)

    def _commit(self, group: list[tuple[Batch, Future[Any]]]) -> None:
        if not group:
            return
        try:
            data = bytearray()
            for batch, _ in group:
                body = batch.encode()
                data += HEAD.pack(len(body), crc32(body))
                data += body
            _write(self._fd, data)
            os.fdatasync(self._fd)
            self._size += len(data)
            for batch, _ in group:
                self._applied(batch)
        except Exception as error:  # a full disk, say: none of these counts as written
            os.ftruncate(self._fd, self._size)
            os.lseek(self._fd, self._size, os.SEEK_SET)
            for _, future in group:
                future.set_exception(error)
            return
        for _, future in group:
            future.set_result(None)

    def _turn(self, turned: Callable[[], None], future: Future[int]) -> None:
        try:
            full, before = self._number, self._fd
            self._number += 1
            try:
                self._fd, self._size = self._open(), 0
            except BaseException:
                self._number = full
                raise
            os.close(before)
            turned()
            future.set_result(full)
        except Exception as error:
            future.set_exception(error)

    def _open(self) -> int:
        made = os.open(self._folder / _name(self._number), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        folder = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(folder)  # the file's name must be durable too
        finally:
            os.close(folder)
        return made

    def _numbers(self) -> list[int]:
        return sorted(int(file.stem) for file in self._folder.glob("[0-9]*.log"))


def _name(number: int) -> str:
    return f"{number:08d}.log"


def _write(fd: int, data: bytearray) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(fd, left) :]


def _records(data: bytes) -> Iterator[Batch]:
    """The whole records at the start of a file."""
    at = 0
    while at + HEAD.size <= len(data):
        length, crc = HEAD.unpack_from(data, at)
        body = data[at + HEAD.size : at + HEAD.size + length]
        if len(body) < length or crc32(body) != crc:
            return
        try:
            yield Batch.decode(body)
        except (msgspec.MsgspecError, ValueError):
            return
        at += HEAD.size + length
