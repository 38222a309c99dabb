"""Where the members of a stored (uncompressed) zip lie in it, so that they can be read by ranges; also those of a prefix.

Source: PKWARE APPNOTE.TXT 6.3.10, sections 4.3.7 (local file header), 4.3.12 (central directory), 4.3.14 (zip64).
"""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from functions.formats.folder import Folder
from functions.formats.format import Broken
from functions.formats.source import CONNECTIONS, GAP, PART, Source

LOCAL = struct.Struct("<4s22xHH")
MAX_MEMBERS = 100_000


@dataclass(frozen=True)
class Member:
    """A file of the zip: its path, and where its local header and its bytes (once ``locate`` has told) are."""

    name: str
    header: int
    size: int
    offset: int = -1


def members(source: Source, *, repeated: bool = False) -> list[Member]:
    """The files of a stored zip, in the order they lie in it; directories are left out. Reads the central directory only.

    Of members with the same path the last counts where ``repeated`` allows it, as in archives that were added to.

    Raises:
        Broken: no zip, compressed or encrypted members, unsafe or repeated paths, or members outside the file.

    """
    if isinstance(source, Folder):
        return [
            Member(member.name, start, member.size, start) for member, start in zip(source.members, source.starts, strict=False)
        ]
    try:
        with source.open() as file, zipfile.ZipFile(file) as archive:
            found = archive.infolist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError, EOFError, struct.error, RecursionError) as error:
        raise Broken(f"{source} is no readable zip: {error}") from error
    if len(found) > MAX_MEMBERS:
        raise Broken(f"{source} has {len(found)} members; at most {MAX_MEMBERS} are read")
    result: dict[str, Member] = {}
    for info in found:
        if info.is_dir():
            continue
        name = info.filename
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or "\\" in name or not path.parts:
            raise Broken(f"{source} has a member with the unsafe path {name!r}")
        if str(path) in result and not repeated:
            raise Broken(f"{source} has two members called {name!r}")
        if info.flag_bits & 1:
            raise Broken(f"{source} is encrypted (member {name!r})")
        if info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size:
            raise Broken(f"{source} is compressed (member {name!r}), so no part of it can be read alone; zip it with 'zip -0'")
        if info.header_offset < 0 or info.header_offset + LOCAL.size + info.file_size > source.size:
            raise Broken(f"{source} ends before its member {name!r} does")
        result[str(path)] = Member(str(path), info.header_offset, info.file_size)
    return sorted(result.values(), key=lambda member: member.header)


def locate(
    source: Source, wanted: Iterable[Member], *, read: Callable[[Member, int, bytes], Any] | None = None
) -> list[Member]:
    """``wanted`` with the offsets of their bytes; where ``read`` is given it also gets every byte: (member, position, bytes).

    Neighbouring small members come in one request, several requests run at once.

    Raises:
        Broken: a local header that is none, or that leaves the file.

    """
    wanted = list(wanted)
    if isinstance(source, Folder):
        if read is not None:
            _each(source, wanted, read)
        return wanted
    runs = list(_runs(wanted, whole=read is not None))

    def fetch(run: list[Member]) -> list[Member]:
        end = run[-1].header + _extent(run[-1], whole=read is not None)
        data = source.read(run[0].header, min(end, run[0].header + PART))
        return [_one(source, member, data, run[0].header, read) for member in run]

    with ThreadPoolExecutor(CONNECTIONS) as pool:
        return [member for run in pool.map(fetch, runs) for member in run]


def _each(source: Source, wanted: list[Member], read: Callable[[Member, int, bytes], Any]) -> None:
    """Every byte of objects of their own."""

    def fetch(member: Member) -> None:
        if not member.size:
            read(member, 0, b"")
        for at in range(0, member.size, PART):
            read(member, at, source.exactly(member.offset + at, member.offset + min(at + PART, member.size)))

    with ThreadPoolExecutor(CONNECTIONS) as pool:
        for _ in pool.map(fetch, wanted):
            pass


def _extent(member: Member, *, whole: bool) -> int:
    """Bytes from the local header that surely hold what is wanted. An extra field beyond 512 bytes is read again."""
    return LOCAL.size + len(member.name.encode()) + 512 + (member.size if whole else 0)


def _runs(wanted: list[Member], *, whole: bool) -> Iterator[list[Member]]:
    run: list[Member] = []
    end = 0
    for member in wanted:
        stop = member.header + _extent(member, whole=whole)
        if run and (member.header > end + GAP or stop - run[0].header > PART):
            yield run
            run = []
        run.append(member)
        end = max(end, stop)
    if run:
        yield run


def _one(source: Source, member: Member, data: bytes, base: int, read: Callable[[Member, int, bytes], Any] | None) -> Member:
    at = member.header - base
    if len(data) < at + LOCAL.size:
        raise Broken(f"{source} ends inside the header of its member {member.name!r}")
    magic, name_length, extra_length = LOCAL.unpack_from(data, at)
    if magic != b"PK\x03\x04":
        raise Broken(f"{source} has no local header where its directory says that {member.name!r} is (byte {member.header})")
    offset = member.header + LOCAL.size + name_length + extra_length
    if offset + member.size > source.size:
        raise Broken(f"{source} ends before its member {member.name!r} does")
    if read is not None:
        have = data[offset - base : offset - base + member.size]
        if have or not member.size:
            read(member, 0, have)
        position = len(have)
        while position < member.size:
            part = source.read(offset + position, min(offset + member.size, offset + position + PART))
            if not part:
                raise Broken(f"{source} ends inside its member {member.name!r}")
            read(member, position, part)
            position += len(part)
    return Member(member.name, member.header, member.size, offset)
