"""Zarr, versions 2 and 3: a stored zip of the folder, or a prefix of many objects, sliced between rows of chunks of one array.

The array is the one that the user metadata ``dataset`` names, or else the largest. A metadata object alone is described; to cut
the store that it is of, its prefix is named.

Source: Zarr core specification 3.0 (chunk grids, chunk key encodings) and storage specification 2.
"""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

import msgspec
import zstandard

from events.errors import Reject
from events.ports import ObjectStore
from functions.formats import where as wanted
from functions.formats import zip_members
from functions.formats.folder import Folder, source_of
from functions.formats.format import Broken, Index, Part, Slice, balanced, cut, index_of, short
from functions.formats.hdf5 import MOST_TOLD, few
from functions.formats.source import Source
from functions.formats.where import Where
from functions.formats.zip_members import LOCAL, Member

MISSING = "zarr is not installed: pip install 'sluice[formats]'"
ZIP = b"PK\x03\x04"
METADATA = (".zarray", "zarr.json")
DOCUMENTS = (*METADATA, ".zgroup", ".zmetadata")
CHUNK = re.compile(rb"(?:^|/)c(?:[/.]\d+)+$")  # what version 3 calls one
MAX_DOCUMENT = 16 << 20
PREFIX = "it is one object of a store; to cut that, name its prefix, with a slash at the end"


@dataclass(frozen=True)
class Array:
    """One array of a store: its path, its metadata document, and how its chunks are called."""

    path: str
    document: str
    text: bytes
    shape: list[int]
    chunks: list[int]
    dtype: Any
    start: str
    separator: str


class Zarr:
    """Chunked arrays."""

    name = "zarr"
    media_type = "application/vnd.zarr+zip"
    suffixes: tuple[str, ...] = (".zarr.zip",)

    def sniff(self, head: bytes, name: str) -> bool:
        named = name.lower().endswith(self.suffixes)
        if not head:
            return named
        if head.startswith(ZIP):
            first = head[30 : 30 + int.from_bytes(head[26:28], "little")]
            return named or bool(CHUNK.search(first)) or any(document.encode() in head for document in METADATA)
        return name.rsplit("/", 1)[-1] in DOCUMENTS and head.lstrip()[:1] == b"{" and b'"zarr_' in head

    def scanner(self) -> None:
        return None

    def describe(self, source: Source, scan: dict[str, Any]) -> dict[str, Any]:
        """Every array's shape, chunks and type, and which of them is cut."""
        arrays, chosen, _, reason = _survey(source)
        told = {
            array.path: {"shape": array.shape, "chunks": array.chunks, "dtype": json.dumps(array.dtype).strip('"')}
            for array in arrays[:MOST_TOLD]
        }
        return {"arrays": told, "array": chosen.path if chosen else ""} | ({"unsliceable": reason} if reason else {})

    def index(self, source: Source, scan: dict[str, Any]) -> Index | None:
        """``None`` where there is no array with rows, or it cannot be read from this object alone."""
        _, chosen, places, reason = _survey(source)
        if reason or chosen is None:
            return None
        data = {
            "document": chosen.document,
            "text": chosen.text,
            "rows": chosen.shape[0],
            "height": chosen.chunks[0],
            "bands": zstandard.compress(msgspec.msgpack.encode(places), 9),
            **({"members": source.packed()} if isinstance(source, Folder) else {}),
        }
        return Index(format=self.name, size=source.size, etag=source.etag, units=len(places), unit="rows of chunks", data=data)

    def slices(self, index: Index, count: int, *, bucket: str, key: str, index_at: str = "") -> list[Slice]:
        """Runs of rows; a chunk is never in two slices. ``data["rows"]`` tells which."""
        bands, height = _bands(index), int(index.data["height"])
        parts = []
        for low, high in balanced([sum(place[1] - place[0] for place in band.values()) for band in bands], count):
            ranges = few([place[:2] for band in bands[low:high] for place in band.values()])
            rows = [low * height, min(high * height, int(index.data["rows"]))]
            parts.append(Part(ranges, high - low, {"bands": [low, high], "rows": rows}))
        return cut(index, parts, bucket=bucket, key=key, index_at=index_at)

    def open(
        self, part: Slice, objects: ObjectStore, *, columns: Sequence[str] | None = None, where: Where = ()
    ) -> AbstractContextManager[Any]:
        """A numpy array of the slice's rows, as ``zarr.Array`` gives it. Raises ``Reject`` where zarr is not installed."""
        return _opened(part, objects, columns, where)


#: Where a chunk is, its zip's local header included, and its bytes without that; -1 where there is none.
Place = tuple[int, int, int]


def _bands(index: Index) -> list[dict[str, Place]]:
    return msgspec.msgpack.decode(zstandard.decompress(index.data["bands"]), type=list[dict[str, Place]])


Survey = tuple[list[Array], Array | None, list[dict[str, Place]], str]


def _survey(source: Source) -> Survey:
    """The arrays, the one to cut, for each of its rows of chunks where their members lie, and why it cannot be cut."""
    if "zarr" not in source.memo:
        source.memo["zarr"] = _look(source)
    found: Survey = source.memo["zarr"]
    return found


def _look(source: Source) -> Survey:
    if not source.size:
        raise Broken(f"{source} is empty: a Zarr store has at least one document")
    if not isinstance(source, Folder) and source.read(0, len(ZIP)) != ZIP:
        if source.size > MAX_DOCUMENT:
            raise Broken(f"{source} has {source.size} bytes, too many for a Zarr metadata document")
        array = _array(source, source.name, source.read(0, source.size))
        return [array] if array else [], array, [], PREFIX
    files = zip_members.members(source, repeated=True)
    ends = [member.header for member in files[1:]] + [source.size]
    whole = isinstance(source, Folder)  # without headers between its members
    documents: dict[str, bytes] = {}
    described = [member for member in files if member.name.rsplit("/", 1)[-1] in METADATA]
    if any(member.size > MAX_DOCUMENT for member in described):
        raise Broken(f"{source} has a metadata document of more than {MAX_DOCUMENT} bytes")

    def keep(member: Member, position: int, data: bytes) -> None:
        documents[member.name] = documents.get(member.name, b"") + data

    zip_members.locate(source, described, read=keep)
    arrays = [array for name, text in sorted(documents.items()) if (array := _array(source, name, text))]
    if not arrays:
        raise Broken(f"{source} holds no Zarr array: none of its {len(files)} members is an array's .zarray or zarr.json")
    places = {member.name: (member.header, end, -1 if whole else member.size) for member, end in zip(files, ends, strict=True)}
    sizes = {array.path: sum(member.size for member in files if member.name.startswith(array.start)) for array in arrays}
    choice = source.user.get("dataset", "").strip("/")
    if choice and choice not in sizes:
        raise Broken(f"{source} has no array {choice!r}, which its user metadata names; it has {', '.join(sizes)}")
    usable = [array for array in arrays if array.shape and array.shape[0]]
    chosen = next((array for array in usable if array.path == choice), None) or max(
        usable, key=lambda array: sizes[array.path], default=None
    )
    if chosen is None:
        return arrays, None, [], "it has no array with rows"
    if "pickle" in chosen.text.decode("utf-8", "replace"):
        return arrays, chosen, [], "its chunks are pickled Python objects, which are never loaded"
    bands: list[dict[str, Place]] = [{} for _ in range(-(-chosen.shape[0] // chosen.chunks[0]))]
    for name, place in places.items():
        parts = name.removeprefix(chosen.start).split(chosen.separator) if name.startswith(chosen.start) else []
        if len(parts) == len(chosen.shape) and all(part.isdigit() for part in parts) and int(parts[0]) < len(bands):
            bands[int(parts[0])][name.removeprefix(chosen.path).lstrip("/")] = place
    return arrays, chosen, bands, "" if importlib.util.find_spec("zarr") else MISSING


def _array(source: Source, name: str, text: bytes) -> Array | None:
    """The array that a metadata document tells of; ``None`` for a group. Raises ``Broken`` for what is neither."""
    folder, _, document = name.rpartition("/")
    prefix = f"{folder}/" if folder else ""
    try:
        told = json.loads(text)
        if document not in METADATA or told.get("node_type") == "group":
            return None
        if document == ".zarray":
            start, separator = prefix, told.get("dimension_separator", ".")
            chunks, dtype = told["chunks"], told["dtype"]
        else:
            encoding = told["chunk_key_encoding"]
            default = encoding["name"] == "default"
            separator = encoding.get("configuration", {}).get("separator", "/" if default else ".")
            start = f"{prefix}c{separator}" if default else prefix
            chunks, dtype = told["chunk_grid"]["configuration"]["chunk_shape"], told["data_type"]
        shape = told["shape"]
        if len(shape) != len(chunks) or not all(isinstance(n, int) and n >= 0 for n in shape) or separator not in (".", "/"):
            raise ValueError(f"its shape is {shape}, its chunks are {chunks}")
        if not all(isinstance(n, int) and n > 0 for n in chunks) or (shape and -(-shape[0] // chunks[0]) > 10_000_000):
            raise ValueError(f"its chunks are {chunks}")
        return Array(folder, document, text, shape, chunks, dtype, start, separator)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise Broken(f"{source} has metadata ({name}) that are no Zarr: {type(error).__name__} {short(error)}") from error


@contextmanager
def _opened(part: Slice, objects: ObjectStore, columns: Sequence[str] | None, where: Where) -> Iterator[Any]:
    if importlib.util.find_spec("zarr") is None:
        raise Reject(f"s3://{part.bucket}/{part.key}: {MISSING}")
    import zarr
    from zarr.core.buffer.cpu import Buffer
    from zarr.storage import MemoryStore

    index = index_of(part, objects)
    source = source_of(part, objects, index)
    low, high = part.data["bands"]
    first, end = part.data["rows"]
    places = {name: place for band in _bands(index)[low:high] for name, place in band.items()}
    files = {index.data["document"]: index.data["text"]}
    kept = source.many(place[:2] for place in places.values())
    for name, (start, stop, size) in places.items():
        at, data = next((at, data) for at, data in kept if at <= start and stop <= at + len(data))
        files[name] = _content(source, name, data[start - at : stop - at], size)
    try:
        store = MemoryStore({name: Buffer.from_bytes(data) for name, data in files.items()}, read_only=True)
        array = zarr.open_array(store=store, mode="r", zarr_format=2 if index.data["document"] == ".zarray" else 3)
        rows = array[first:end]
    except Exception as error:  # codecs have errors of their own
        raise Broken(f"{source}, rows {first} to {end}: {type(error).__name__} {short(error)}") from error
    if columns is not None or where:
        wanted.check(columns, where, rows.dtype.names or (), source)
    yield wanted.rows(rows, columns, where, source)


def _content(source: Source, name: str, data: bytes, size: int) -> bytes:
    """The bytes of a member, of everything from its local header to the next one; its size is what the zip's directory says."""
    if size < 0:
        return data
    if len(data) < LOCAL.size:
        raise Broken(f"{source} ends inside of the chunk {name}")
    magic, name_length, extra_length = LOCAL.unpack_from(data)
    start = LOCAL.size + name_length + extra_length
    if magic != ZIP or start + size > len(data):
        raise Broken(f"{source} has no local header where its directory says that the chunk {name} is")
    return data[start : start + size]
