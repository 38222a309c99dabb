"""MeasurementSets of radio telescopes, each a casacore table (a folder) in one zip without compression, or below a prefix.

The index holds a skeleton: every file but those of tiled columns (nearly all the bytes). A slice is a run of time steps; its
reader unpacks the skeleton, lays sparse files beside it, and fills in only the slice's bytes, at their own offsets. So nothing
is rewritten, and any casacore program opens the result; a reference table shows it the slice's rows only.

Tools that average or flag over several time steps give the same result for every number of slices where each cut is at
a multiple of their window: the user metadata ``align`` says of how many time steps.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec
import numpy as np
import zstandard

from events.ports import ObjectStore
from functions.formats import zip_members
from functions.formats.casacore_table import MAGIC, TILED, TILED_FILE, BadHeader, Manager, owners, parse
from functions.formats.folder import Folder, source_of
from functions.formats.format import Broken, Index, Part, Slice, balanced, cut, index_of
from functions.formats.isolated import CASACORE, Failed
from functions.formats.measurement_set_files import SHARED, fetch, fill, pack, sparse, unpack
from functions.formats.source import Source
from functions.formats.where import Where, check, none
from functions.formats.zip_members import Member

#: Storage managers whose files are small enough for the skeleton, and engines that only compute on other columns.
STORED = ("StandardStMan", "IncrementalStMan", "StManAipsIO")
PLAIN = (*STORED, "CompressFloat", "CompressComplex", "CompressComplexSD")
ENGINES = ("MappedArrayEngine", "ScaledArrayEngine", "ScaledComplexData", "RetypedArrayEngine", "BitFlagsEngine")
#: Managers that put a column's data into a file that casacore alone cannot read in parts, or into another table.
WHOLE = (b"DyscoStMan", b"LofarStMan", b"Adios2StMan", b"SisCoStMan", b"ForwardColumnEngine", b"ForwardColumnIndexedRowEngine")
#: Tables without data of their own: their description begins with their kind.
VIRTUAL = (b"RefTable", b"ConcatTable")
LARGE = 64 << 20  # bytes of untiled files that are always fine in a skeleton; beyond, at most a tenth of the object
BULK = 1 << 20  # bytes of a file that leaves a skeleton which is too large
ALL = "*"  # of a column: that it may be read from anywhere
EPOCH = datetime(1858, 11, 17, tzinfo=UTC)


class SlicePath(str):
    """The path of an opened slice, for whatever takes a path; ``part`` is the slice that it shows."""

    __slots__ = ("part",)
    part: Slice

    def __new__(cls, path: str, part: Slice) -> SlicePath:
        made = super().__new__(cls, path)
        made.part = part
        return made


@dataclass
class Survey:
    """What one look at a MeasurementSet told: the metadata, why it cannot be sliced (or ""), and the index's parts."""

    description: dict[str, Any]
    reason: str
    starts: list[int] = field(default_factory=list)
    managers: list[Manager] = field(default_factory=list)
    sparse: dict[str, tuple[int, int]] = field(default_factory=dict)
    skeleton: bytes = b""
    columns: dict[str, str] = field(default_factory=dict)
    apart: dict[str, tuple[int, int]] = field(default_factory=dict)


class MeasurementSet:
    """A stored zip of a ``.ms`` folder; sliced by time."""

    name = "measurementset"
    media_type = "application/x-measurementset+zip"
    suffixes: tuple[str, ...] = (".ms.zip",)

    def sniff(self, head: bytes, name: str) -> bool:
        named = name.lower().endswith(self.suffixes)
        if not head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
            return named and not head
        first = head[30 : 30 + int.from_bytes(head[26:28], "little")].lower()
        return named or b".ms/" in first or b"table.dat" + MAGIC in head

    def scanner(self) -> None:
        return None

    def describe(self, source: Source, scan: dict[str, Any]) -> dict[str, Any]:
        """Telescope, antennas, times, frequencies, columns; ``unsliceable`` says why where it cannot be cut."""
        survey = _survey(source)
        align = {"align": aligned} if (aligned := _align(source)) > 1 else {}
        return survey.description | align | ({"unsliceable": survey.reason} if survey.reason else {})

    def index(self, source: Source, scan: dict[str, Any]) -> Index | None:
        """``None`` for a MeasurementSet that cannot be cut; ``describe`` tells the reason."""
        survey = _survey(source)
        if survey.reason:
            return None
        starts = np.asarray([*survey.starts, survey.description["rows"]], dtype="<i8")
        align = _align(source)
        return Index(
            format=self.name,
            size=source.size,
            etag=source.etag,
            units=-(-len(survey.starts) // align),
            unit="time steps" if align == 1 else f"runs of {align} time steps",
            data={
                "align": align,
                "starts": zstandard.compress(np.diff(starts, prepend=0).astype("<i8").tobytes()),
                "managers": msgspec.to_builtins(survey.managers),
                "sparse": {name: list(place) for name, place in survey.sparse.items()},
                "skeleton": survey.skeleton,
                "columns": survey.columns,
                "apart": {name: list(place) for name, place in survey.apart.items()},
                **({"members": source.packed()} if isinstance(source, Folder) else {}),
            },
        )

    def slices(self, index: Index, count: int, *, bucket: str, key: str, index_at: str = "") -> list[Slice]:
        """Cut at time steps, and only at multiples of ``index.data["align"]`` of them."""
        align = max(1, int(index.data.get("align", 1)))
        starts, managers = _starts(index), _managers(index)
        times = len(starts) - 1
        parts = []
        rows_of = np.diff([*starts[:-1:align], starts[-1]]).tolist()  # one has about the bytes of any other
        for first, end in balanced(rows_of, count):
            low, high = first * align, min(end * align, times)
            rows = (int(starts[low]), int(starts[high]))
            ranges = sorted(place for _, _, place in _places(index, managers, rows))
            parts.append(Part(ranges, end - first, {"rows": list(rows), "times": [low, high]}))
        return cut(index, parts, bucket=bucket, key=key, index_at=index_at)

    def open(
        self, part: Slice, objects: ObjectStore, *, columns: Sequence[str] | None = None, where: Where = ()
    ) -> AbstractContextManager[SlicePath]:
        """The path of a local MeasurementSet that shows the slice's rows. It is gone when the context ends; do not write to it.

        With ``columns`` the bytes of other tiled columns are not read: to read such a column then fails.

        Raises:
            Changed: the object, or the index beside it, is of another version.
            Reject: a column that it does not have, or conditions.

        """
        none(None, where, f"s3://{part.bucket}/{part.key}, a MeasurementSet,")
        return _opened(part, objects, columns)


def _align(source: Source) -> int:
    """How many time steps stay together, by the user metadata ``align``; 1 without it."""
    told = source.user.get("align", "1")
    if not (told.isascii() and told.isdigit() and int(told) > 0):
        raise Broken(f"{source} has the user metadata align = {told!r}; a whole number of time steps from 1 is needed")
    return int(told)


def _survey(source: Source) -> Survey:
    found = source.memo.get("measurementset")
    if not isinstance(found, Survey):
        CASACORE.warm()
        with tempfile.TemporaryDirectory(prefix="sluice-ms-") as folder:
            found = source.memo["measurementset"] = _look(source, Path(folder))
    return found


def _look(source: Source, folder: Path) -> Survey:
    """Read the small files into ``folder`` and ask casacore about them."""
    if not source.size:
        raise Broken(f"{source} is empty: a MeasurementSet is a zip of its folder")
    root, files = _root(source, zip_members.members(source))
    reason = _refusal(source, root, files)
    tiled = {name: member for name, member in files.items() if TILED_FILE.fullmatch(name)}
    small = {name: member for name, member in files.items() if name not in tiled}
    apart = _apart(source, small)
    if sum(member.size for member in apart.values()) > source.size // 2:
        untiled = sum(member.size for member in small.values())
        reason = reason or f"{untiled} of its bytes are not in tiled columns, so every worker would have to read them"
    unread = tiled | {name: member for name, member in apart.items() if "/" in name}
    if reason:  # the main table is not opened: leave out whatever may be large
        unread |= {name: member for name, member in files.items() if name.startswith("table.") and name != "table.dat"}
    fetch(source, root, {name: member for name, member in files.items() if name not in unread}, folder)
    for name, member in unread.items():
        sparse(folder / name, member.size)
    skeleton = b"" if reason else pack(folder, sorted(set(small) - set(apart)))
    try:
        told = CASACORE.call("describe", path=str(folder), main=not reason)
    except Failed as error:
        raise Broken(f"{source} holds a MeasurementSet that casacore cannot read: {_public(str(error), folder)}") from error
    description, starts = _description(source, told, files)
    reason = reason or _unordered(told)
    if reason:
        return Survey(description, reason)
    managers = _tiled_managers(source, folder, told, tiled)
    located = zip_members.locate(source, sorted((tiled | apart).values(), key=lambda member: member.header))
    by_name = {member.name: (member.offset, member.size) for member in located}
    places = {name: by_name[member.name] for name, member in tiled.items()}
    owned = _columns(told["columns"], (folder / "table.dat").read_bytes(), managers)
    return Survey(
        description, "", starts, managers, places, skeleton, owned, {name: by_name[one.name] for name, one in apart.items()}
    )


def _apart(source: Source, small: dict[str, Member]) -> dict[str, Member]:
    """The largest files, where all would make the skeleton too large: each worker reads them once."""
    if sum(member.size for member in small.values()) <= max(LARGE, source.size // 10):
        return {}
    told = {f"{name}/" for name in ("ANTENNA", "FIELD", "OBSERVATION", "POLARIZATION", "SPECTRAL_WINDOW")}
    return {
        name: member
        for name, member in small.items()
        if member.size > BULK and not name.endswith("table.dat") and not any(name.startswith(one) for one in told)
    }


def _columns(kinds: dict[str, str], table: bytes, managers: list[Manager]) -> dict[str, str]:
    """What each column is read from: a tiled manager's file, "" for the skeleton, ``ALL`` where that is not known."""
    tiled = {cube.file.split("_TSM")[0] for manager in managers for cube in manager.cubes if cube.file}
    numbers = owners(table, kinds)
    found = {}
    for name, kind in kinds.items():
        file = f"table.f{numbers[name]}" if name in numbers else ""
        if kind in TILED:
            found[name] = file if file in tiled else ALL
        else:
            found[name] = "" if kind in STORED else ALL  # engines read other columns
    return found


def _root(source: Source, members: list[Member]) -> tuple[str, dict[str, Member]]:
    """The folder of the main table in the zip, and the files below it by their path there."""
    folders = [PurePosixPath(member.name).parent for member in members if PurePosixPath(member.name).name == "table.dat"]
    if not folders:
        some = ", ".join(member.name for member in members[:5]) or "none"
        more = f" and {len(members) - 5} more" if len(members) > 5 else ""
        raise Broken(f"{source} is named like a MeasurementSet but holds no table.dat; its members are {some}{more}")
    known = set(folders)
    sets = {folder for folder in known if folder / "ANTENNA" in known} or known  # beside other tables the one that may be it
    roots = sorted(str(folder) for folder in sets if sets.isdisjoint(folder.parents))
    if len(roots) > 1:
        raise Broken(f"{source} holds several tables ({', '.join(roots[:5])}); put one MeasurementSet into one object")
    prefix = "" if roots[0] == "." else roots[0] + "/"
    return prefix, {member.name.removeprefix(prefix): member for member in members if member.name.startswith(prefix)}


def _refusal(source: Source, root: str, files: dict[str, Member]) -> str:
    """Why the main table cannot be read in parts, as far as its description and file names tell; "" if it can."""
    if {"table.mf", "table.mfh5"} & set(files):
        return "it is stored as a MultiFile (table.mf)"
    parts: list[bytes] = []
    zip_members.locate(source, [files["table.dat"]], read=lambda member, position, data: parts.append(data))
    table = b"".join(parts)
    if not table.startswith(MAGIC):
        raise Broken(f"{source} has a {root}table.dat that is no casacore table")
    for kind in VIRTUAL:
        if kind in table[:64]:
            return f"it is a {kind.decode()}, which only refers to other tables: copy it with casacore's deep=True first"
    for manager in WHOLE:
        if manager in table:
            return f"it has columns stored by {manager.decode()}"
    return ""


def _description(source: Source, told: dict[str, Any], files: dict[str, Member]) -> tuple[dict[str, Any], list[int]]:
    starts, times = told.pop("starts", []), told.pop("times", [])
    told = dict(told)
    told.pop("ordered", None)
    told.pop("outside", None)
    if "columns" in told:
        missing = [name for name in ("TIME", "ANTENNA1", "ANTENNA2") if name not in told["columns"]]
        if missing or "ANTENNA" not in {name.split("/")[0] for name in files}:
            raise Broken(f"{source} holds a casacore table that is no MeasurementSet: no {(*missing, 'ANTENNA')[0]}")
    if times and times[0] is not None and times[-1] is not None:
        told |= {"start": _moment(times[0]), "end": _moment(times[-1]), "times": len(times)}
    windows = told.get("windows", [])
    told["channels"] = sum(window["channels"] for window in windows)
    for key, choose in (("min_hz", min), ("max_hz", max)):
        if values := [window[key] for window in windows if window[key] is not None]:
            told[key] = choose(values)
    return told, starts


def _moment(seconds: float) -> str:
    """A casacore time (seconds of the modified Julian date, UTC) as RFC 3339."""
    try:
        return (EPOCH + timedelta(seconds=seconds)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    except OverflowError:
        return ""


def _unordered(told: dict[str, Any]) -> str:
    """Why the rows cannot be cut by time, as far as casacore tells; "" if they can."""
    for column, manager in told["columns"].items():
        if manager not in (*PLAIN, *TILED) and not manager.startswith(ENGINES):
            return f"its column {column} is stored by {manager or 'nothing known'}"
    if told["outside"]:
        return f"its sub-table {told['outside'][0]} lies outside of its folder, so the object does not hold it"
    if not told["rows"]:
        return "it has no rows"
    if "ordered" not in told:
        return "its column TIME is tiled"
    return "" if told["ordered"] else "its rows are not in time order; sort it by TIME first"


def _tiled_managers(source: Source, folder: Path, told: dict[str, Any], tiled: dict[str, Member]) -> list[Manager]:
    managers = []
    for name in sorted({name.split("_TSM")[0] for name in tiled}):
        path = folder / name
        try:
            if not path.is_file():
                raise BadHeader("it is missing")
            manager = parse(path.read_bytes(), name)
            for file, _, end in manager.ranges(0, told["rows"]):
                if file not in tiled or tiled[file].size < end:
                    raise BadHeader(f"{file} should have {end} bytes, but has {tiled[file].size if file in tiled else 'none'}")
        except BadHeader as error:
            raise Broken(f"{source} has a storage manager ({name}) that cannot be read: {error}") from error
        managers.append(manager)
    return managers


def _public(text: str, folder: Path) -> str:
    """The message of casacore without the place of our temporary files."""
    return text.replace(str(folder) + "/", "").replace(str(folder), "the main table")


def _starts(index: Index) -> np.ndarray[Any, np.dtype[np.int64]]:
    """The first row of every time step, and behind the last one the number of rows."""
    counts = np.frombuffer(zstandard.decompress(index.data["starts"]), dtype="<i8")
    return np.cumsum(counts)


def _managers(index: Index) -> list[Manager]:
    return msgspec.convert(index.data["managers"], list[Manager])


def _places(index: Index, managers: list[Manager], rows: tuple[int, int]) -> Iterator[tuple[str, int, tuple[int, int]]]:
    """(file, position in it, range of the object) for the tiled bytes of these rows."""
    for manager in managers:
        for file, start, end in manager.ranges(*rows):
            offset = index.data["sparse"][file][0]
            yield file, start, (offset + start, offset + end)


@contextmanager
def _opened(part: Slice, objects: ObjectStore, columns: Sequence[str] | None) -> Iterator[SlicePath]:
    CASACORE.warm()
    index = index_of(part, objects)
    source = source_of(part, objects, index)
    wanted = _wanted(index, columns, source)
    rows = (int(part.data["rows"][0]), int(part.data["rows"][1]))
    with tempfile.TemporaryDirectory(prefix="sluice-ms-") as folder:
        base, shown = Path(folder) / "base.ms", Path(folder) / "slice.ms"
        base.mkdir()
        unpack(index.data["skeleton"], base)
        SHARED.link(source, {name: (start, size) for name, (start, size) in index.data["apart"].items()}, base)
        for name, (_, size) in index.data["sparse"].items():  # casacore refuses to read what an empty file should have
            sparse(base / name, size if wanted is None or name.split("_TSM")[0] in wanted else 0)
        places = _places(index, _managers(index), rows)
        fill(source, base, [one for one in places if wanted is None or one[0].split("_TSM")[0] in wanted])
        try:
            CASACORE.call("select", path=str(base), first=rows[0], end=rows[1], to=str(shown))
        except Failed as error:
            raise Broken(f"s3://{part.bucket}/{part.key}: {_public(str(error), base)}") from error
        yield SlicePath(str(shown), part)


def _wanted(index: Index, columns: Sequence[str] | None, source: Source) -> set[str] | None:
    """The tiled managers' files that these columns take; ``None`` for all."""
    known: dict[str, str] = index.data["columns"]
    needed = check(columns, (), known, source)
    if needed is None or any(known[name] == ALL for name in needed):
        return None
    files = {str(name).split("_TSM")[0] for name in index.data["sparse"]}
    unknown = files - set(known.values())  # whose columns are not known: read to be safe
    return unknown | {known[name] for name in needed if known[name]}
