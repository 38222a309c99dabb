"""The content files: written once under a random name, never changed, removed when no row names them any more.

A file's name says nothing of its key, so no key can reach outside the folder. A file becomes visible by the database row that
names it, and that row commits only after the file and its directory are on the disk; files without a row are the leftovers of
a crash and are swept at the next start. Names read ``ab/rest``: 256 directories keep each of them small.

Who reads a file pins it: what is removed meanwhile goes when the last pin does, so a download of a replaced object ends well.
"""

from __future__ import annotations

import ctypes
import os
import secrets
import shutil
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

#: From this size on, a write is worth telling the disk of it.
EARLY = 1 << 20
SYNC_FILE_RANGE_WRITE = 2
#: Linux's ``sync_file_range``, or nothing elsewhere. It only starts the writing: ``fsync`` stays what makes content durable.
_write_back = getattr(ctypes.CDLL(None), "sync_file_range", None)
FANOUT = [f"{number:02x}" for number in range(256)]


class Files:
    """The folder of content files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        self._pins: Counter[str] = Counter()
        self._doomed: set[str] = set()
        for name in FANOUT:
            (folder / name).mkdir(parents=True, exist_ok=True)
        _flush(folder)

    def create(self) -> tuple[str, int]:
        """A new empty file: its name and a descriptor to write to."""
        name = _name()
        return name, os.open(self.folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)

    def write(self, descriptor: int, pieces: Iterable[bytes | memoryview]) -> None:
        """Append the pieces, and let the disk begin with them: ``settle`` then has little left to wait for."""
        size = 0
        for piece in pieces:
            view = memoryview(piece)
            while view:
                count = os.write(descriptor, view)
                view, size = view[count:], size + count
        if _write_back is not None and size >= EARLY:
            end = os.lseek(descriptor, 0, os.SEEK_CUR)
            _write_back(descriptor, ctypes.c_int64(end - size), ctypes.c_int64(size), SYNC_FILE_RANGE_WRITE)

    def settle(self, name: str, descriptor: int) -> None:
        """Put a written file on the disk: its content and its entry in the directory."""
        os.fsync(descriptor)
        _flush((self.folder / name).parent)

    def open(self, name: str) -> int:
        """A descriptor to read from."""
        return os.open(self.folder / name, os.O_RDONLY | os.O_CLOEXEC)

    def link(self, name: str) -> str:
        """A second name for the same content, on the disk: copies cost no bytes where the file system can link."""
        new = _name()
        try:
            os.link(self.folder / name, self.folder / new)
        except OSError:  # too many links to one file, or a file system without them
            shutil.copyfile(self.folder / name, self.folder / new)
            _flush(self.folder / new)
        _flush((self.folder / new).parent)
        return new

    def pin(self, names: Iterable[str]) -> None:
        """Keep files from being removed until ``unpin``."""
        with self._lock:
            self._pins.update(names)

    def unpin(self, names: Iterable[str]) -> None:
        """Take back a ``pin``; what was to be removed meanwhile is removed now."""
        with self._lock:
            for name in names:
                self._pins[name] -= 1
                if not self._pins[name]:
                    del self._pins[name]
                    if name in self._doomed:
                        self._doomed.discard(name)
                        (self.folder / name).unlink(missing_ok=True)

    def remove(self, names: Iterable[str]) -> None:
        """Remove files that no row names any more. A crash before that leaves them to the next sweep."""
        with self._lock:
            for name in names:
                if name in self._pins:
                    self._doomed.add(name)
                else:
                    (self.folder / name).unlink(missing_ok=True)

    def sweep(self, known: Callable[[str], set[str]]) -> int:
        """Remove the leftovers of a crash; how many there were.

        Args:
            known: the names that rows have in one of the directories.

        """
        swept = 0
        for directory in FANOUT:
            with os.scandir(self.folder / directory) as entries:
                found = {f"{directory}/{entry.name}" for entry in entries}
            if found:
                orphans = found - known(directory)
                self.remove(orphans)
                swept += len(orphans)
        return swept


def _name() -> str:
    name = secrets.token_hex(16)
    return f"{name[:2]}/{name[2:]}"


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
