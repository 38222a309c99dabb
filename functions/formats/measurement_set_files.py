"""The files of a MeasurementSet on a worker's disk: a skeleton unpacked, sparse ones filled in, large ones shared by slices."""

from __future__ import annotations

import atexit
import io
import os
import shutil
import tarfile
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import zstandard

from functions.formats import zip_members
from functions.formats.format import Broken
from functions.formats.source import CONNECTIONS, PART, Source
from functions.formats.zip_members import Member


def fetch(source: Source, root: str, files: dict[str, Member], folder: Path) -> None:
    """Write whole members to their paths below ``folder``."""
    known: dict[str, Path] = {member.name: folder / name for name, member in files.items()}
    making = threading.Lock()

    def write(member: Member, position: int, data: bytes) -> None:
        path = known[member.name]
        with making:
            path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("r+b" if position else "wb") as out:
            out.seek(position)
            out.write(data)

    try:
        zip_members.locate(source, sorted(files.values(), key=lambda member: member.header), read=write)
    except (FileExistsError, IsADirectoryError, NotADirectoryError) as error:
        raise Broken(f"{source} has a member below {root!r} that is both a file and a folder") from error


def sparse(path: Path, size: int) -> None:
    """A file of this size that takes no room."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as out:
        out.truncate(size)


def pack(folder: Path, names: list[str]) -> bytes:
    """The files as a compressed tar: the same files give the same bytes."""
    target = io.BytesIO()
    with (
        zstandard.ZstdCompressor(level=3).stream_writer(target, closefd=False) as packed,
        tarfile.open(fileobj=packed, mode="w|") as archive,
    ):
        for name in names:
            path = folder / name
            entry = tarfile.TarInfo(name)
            entry.size = path.stat().st_size
            with path.open("rb") as content:
                archive.addfile(entry, content)
    return target.getvalue()


def unpack(skeleton: bytes, folder: Path) -> None:
    """What ``pack`` made, below ``folder``."""
    with (
        zstandard.ZstdDecompressor().stream_reader(skeleton) as packed,
        tarfile.open(fileobj=packed, mode="r|") as archive,
    ):
        archive.extractall(folder, filter="data")


def fill(source: Source, base: Path, places: list[tuple[str, int, tuple[int, int]]]) -> None:
    """Write ranges of the source at their own offsets (file, position, range) into files, several at once."""
    pieces = [
        (file, position + at - start, at, min(at + PART, end)) for file, position, (start, end) in places
        for at in range(start, end, PART)
    ]  # fmt: skip

    def copy(piece: tuple[str, int, int, int]) -> None:
        file, position, start, end = piece
        data = source.exactly(start, end)
        descriptor = os.open(base / file, os.O_WRONLY)
        try:
            os.pwrite(descriptor, data, position)
        finally:
            os.close(descriptor)

    with ThreadPoolExecutor(CONNECTIONS) as pool:
        for _ in pool.map(copy, pieces):
            pass


class Shared:
    """Files that all slices of a source need as a whole: read once by a process, then linked into each slice's folder."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: tuple[int, str, str] | None = None
        self._folder = Path()
        atexit.register(self._forget)

    def link(self, source: Source, files: dict[str, tuple[int, int]], base: Path) -> None:
        """Have these files of the source (name -> start, size) below ``base``; nobody may write to them."""
        if not files:
            return
        with self._lock:
            known = (os.getpid(), str(source), source.etag)
            if self._known != known:
                self._forget()
                folder = Path(tempfile.mkdtemp(prefix="sluice-ms-shared-"))
                self._known, self._folder = (os.getpid(), "", ""), folder  # to be removed also where reading fails
                for name, (_, size) in files.items():
                    sparse(folder / name, size)
                fill(source, folder, [(name, 0, (start, start + size)) for name, (start, size) in files.items()])
                self._known = known
            for name in files:
                target = base / name
                target.parent.mkdir(parents=True, exist_ok=True)
                try:
                    target.hardlink_to(self._folder / name)
                except OSError:  # a file system without links
                    shutil.copyfile(self._folder / name, target)

    def _forget(self) -> None:
        """Remove the files, unless they are those of the process that this one was forked from."""
        if self._known is not None and self._known[0] == os.getpid():
            shutil.rmtree(self._folder, ignore_errors=True)
        self._known = None


SHARED = Shared()
