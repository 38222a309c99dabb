"""What a data format is here: sniff, scan, describe, index, slice, open. One file a format, one entry in ``FORMATS``.

* ``sniff`` tells the format from the first bytes (the name only breaks ties).
* ``scanner`` is for formats that must see every byte once (CSV rows); it is fed while ingest hashes, so nothing is read twice.
* ``describe`` gives the catalogue's metadata; ``index`` the slice index, built once and stored beside the catalogue entry.
* ``slices`` cuts an indexed object into parts that together are the whole: no row lost, split or doubled, for any number.
* ``open`` turns a slice into what the domain's library gives, reading only the slice's own ranges.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from heapq import heapify, heappop, heappush
from itertools import accumulate, pairwise
from typing import Any, Protocol

import msgspec

from events.errors import Reject
from events.ports import Changed, ObjectStore
from functions.formats.source import Source
from functions.formats.where import Where


class Broken(Reject):
    """The object's content contradicts its format; the text says where and how."""


class Index(msgspec.Struct, frozen=True, kw_only=True):
    """How to slice one version of an object.

    Attributes:
        format: the format's name.
        size, etag: of the object; a slice is only valid for this ETag.
        units: how many indivisible units there are to hand out (rows, row groups, time steps); the most slices possible.
        unit: their name, for people.
        data: the format's own part: JSON values and bytes.

    """

    format: str
    size: int
    etag: str
    units: int
    unit: str
    data: dict[str, Any] = {}

    def encode(self) -> bytes:
        """The index as stored in the lake (MessagePack)."""
        return msgspec.msgpack.encode(self)


def decode_index(data: bytes) -> Index:
    """The index that ``Index.encode`` wrote."""
    return msgspec.msgpack.decode(data, type=Index)


class Slice(msgspec.Struct, frozen=True, kw_only=True):
    """A virtual part of an object: byte ranges and what is needed to open them. Copies nothing, holds no credentials.

    Attributes:
        number, of: this slice's place, from 0, and how many there are.
        ranges: (start, end) pairs of bytes of the object, end exclusive, that opening it will read.
        units: how many units of the index it holds.
        data: the format's own part (JSON values), e.g. the header's range or the first row's number.
        index: ``bucket/key`` of the slice index, for formats that need more than fits here.

    """

    bucket: str
    key: str
    etag: str
    size: int
    format: str
    number: int
    of: int
    ranges: list[tuple[int, int]]
    units: int
    data: dict[str, Any] = {}
    index: str = ""

    @property
    def bytes(self) -> int:
        """How many bytes of the object this slice covers."""
        return sum(end - start for start, end in self.ranges)

    def open(
        self, objects: ObjectStore, *, columns: Sequence[str] | None = None, where: Where = ()
    ) -> AbstractContextManager[Any]:
        """What the domain's library gives for this part; a context manager, since some need a folder while open.

        Args:
            objects: where the object is.
            columns: only these, in this order. ``None`` is all.
            where: only rows that meet every condition (column, operator, value); see ``functions.formats.where``.

        Raises:
            Changed: the object is no longer the version that was cut.
            Broken: its content contradicts its format.
            Reject: columns or conditions that it does not have.

        """
        from functions.formats import by_name

        return by_name(self.format).open(self, objects, columns=columns, where=where)


class Part(msgspec.Struct, frozen=True):
    """What makes one slice of an index: its byte ranges, how many units it holds, and the format's own part."""

    ranges: list[tuple[int, int]]
    units: int
    data: dict[str, Any] = {}


def cut(index: Index, parts: list[Part], *, bucket: str, key: str, index_at: str = "") -> list[Slice]:
    """These parts as numbered slices of the object ``bucket``/``key``."""
    return [
        Slice(
            bucket=bucket,
            key=key,
            etag=index.etag,
            size=index.size,
            format=index.format,
            number=number,
            of=len(parts),
            ranges=part.ranges,
            units=part.units,
            data=part.data,
            index=index_at,
        )
        for number, part in enumerate(parts)
    ]


def index_of(part: Slice, objects: ObjectStore) -> Index:
    """The index that a slice was cut by, from where it is stored. Raises ``Changed`` if it is of another version."""
    bucket, _, key = part.index.partition("/")
    if not key:
        raise Reject(f"a slice of s3://{part.bucket}/{part.key} ({part.format}) does not say where its index is stored")
    info = objects.head(bucket, key)
    index = decode_index(objects.read(bucket, key, 0, info.size, etag=info.etag))
    if index.etag != part.etag:
        raise Changed(f"the index s3://{part.index} is of another version of s3://{part.bucket}/{part.key}; plan again")
    return index


class Scanner(Protocol):
    """Sees every byte of an object once, in order."""

    def feed(self, chunk: bytes) -> None: ...

    def result(self) -> dict[str, Any]:
        """JSON values, at most some kilobytes for a gigabyte. Called once, after the last chunk."""
        ...


class Format(Protocol):
    """One data format. Stateless: an instance stands in ``functions.formats.FORMATS``."""

    name: str
    media_type: str
    suffixes: tuple[str, ...]

    def sniff(self, head: bytes, name: str) -> bool:
        """Whether an object with these first bytes (up to 64 kB, the whole of a smaller one) and key is of this format."""
        ...

    def scanner(self) -> Scanner | None:
        """A new scanner, or ``None`` for formats that need none."""
        ...

    def describe(self, source: Source, scan: dict[str, Any]) -> dict[str, Any]:
        """Metadata for the catalogue, JSON values only. Raises ``Broken``."""
        ...

    def index(self, source: Source, scan: dict[str, Any]) -> Index | None:
        """The slice index, or ``None`` where there is nothing to slice. Raises ``Broken``."""
        ...

    def slices(self, index: Index, count: int, *, bucket: str, key: str, index_at: str = "") -> list[Slice]:
        """At most ``count`` slices, at least one, in order, that together hold every unit exactly once."""
        ...

    def open(
        self, part: Slice, objects: ObjectStore, *, columns: Sequence[str] | None = None, where: Where = ()
    ) -> AbstractContextManager[Any]:
        """See ``Slice.open``."""
        ...


def short(error: BaseException) -> str:
    """A library's message on one line, for a ``Broken``."""
    return " ".join(str(error).split())[:300]


def spans(units: int, count: int) -> Iterator[tuple[int, int]]:
    """``units`` cut into at most ``count`` runs (start, end) whose lengths differ by at most one; one run if there are none."""
    count = max(1, min(count, units))
    for number in range(count):
        yield units * number // count, units * (number + 1) // count


def balanced(weights: Sequence[int], count: int) -> list[tuple[int, int]]:
    """Units of these weights (bytes) cut into ``count`` runs (start, end) of about the same weight, or one run for each.

    Each border is the one nearest to an even share; so a cutting into twice as many has its borders too. Where units are so
    large that several shares have the same border, the heaviest runs are halved instead.
    """
    units = len(weights)
    if not units:
        return [(0, 0)]
    count = max(1, min(count, units))
    sums = list(accumulate((int(weight) + 1 for weight in weights), initial=0))  # units without bytes are work as well

    def nearest(share: float, low: int, high: int) -> int:
        """The border between ``low`` and ``high`` where the sum is nearest to this share."""
        place = bisect_left(sums, share, low, high)
        return place - 1 if place > low and share - sums[place - 1] <= sums[place] - share else place

    runs = set(pairwise(sorted({nearest(sums[-1] * number / count, 0, units) for number in range(1, count)} | {0, units})))
    heap = [(sums[low] - sums[high], low, high) for low, high in runs if high - low > 1]
    heapify(heap)
    while len(runs) < count:
        _, low, high = heappop(heap)
        middle = min(max(nearest((sums[low] + sums[high]) / 2, low, high), low + 1), high - 1)
        runs.remove((low, high))
        for start, end in ((low, middle), (middle, high)):
            runs.add((start, end))
            if end - start > 1:
                heappush(heap, (sums[start] - sums[end], start, end))
    return sorted(runs)
