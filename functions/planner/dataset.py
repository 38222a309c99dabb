"""The data set of a plan: which objects of the catalogue it names, and how they can be cut."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from events.errors import Reject
from events.ports import Catalog, Entry, NotFound, ObjectStore, Query
from events.types import PlannedObject, PlanRequested
from functions.formats.format import decode_index
from functions.planner.coverage import Coverage, even, kept

#: Most objects one plan covers: a plan names each of them.
MOST = 10_000
PAGE = 1_000


def entries(request: PlanRequested, catalog: Catalog) -> list[Entry]:
    """The catalogue's entries of the objects asked for, in the order asked. Raises ``Reject`` for what is unknown or broken."""
    if bool(request.objects) == bool(request.query):
        raise Reject("a plan needs either objects (a list of s3://bucket/key) or a catalogue query, and not both")
    found = [_entry(address, catalog) for address in request.objects] if request.objects else _search(request, catalog)
    if not found:
        raise Reject(f"no object in the catalogue matches the query {msgspec.json.encode(request.query).decode()}")
    return found


def split_address(address: str) -> tuple[str, str]:
    """Bucket and key of ``s3://bucket/key``. Raises ``Reject``."""
    bucket, slash, key = address.removeprefix("s3://").partition("/")
    if not (address.startswith("s3://") and bucket and slash and key):
        raise Reject(f"{address!r} names no object: write s3://bucket/key")
    return bucket, key


def cut(entry: Entry, objects: ObjectStore, bucket: str) -> Coverage:
    """How the object can be cut. ``bucket`` is the lake's own. Raises ``Reject`` for one without an index."""
    if not entry.index:
        what = f"s3://{entry.bucket}/{entry.key} (format {entry.format or 'unknown'})"
        why = entry.metadata.get("unsliceable") or "its format is not one that is cut"
        raise Reject(f"{what} has no slice index, so it cannot be handed out to workers: {why}")
    known = kept(entry.metadata, entry.size)
    if known is not None:
        return known
    try:
        info = objects.head(bucket, entry.index)
        units = decode_index(objects.read(bucket, entry.index, 0, info.size)).units
    except NotFound as error:
        what = f"the slice index of s3://{entry.bucket}/{entry.key} is missing (s3://{bucket}/{entry.index})"
        raise Reject(f"{what}: upload the object again") from error
    return even(units, entry.size)


def share_out(found: Sequence[Entry], cuts: Sequence[Coverage], slices: int) -> list[PlannedObject]:
    """``slices`` over the objects by what is read of them: at least one each, never more than an object's units."""
    parts = []
    for entry, one, count in zip(found, cuts, _shares(cuts, slices), strict=True):
        parts.append(
            PlannedObject(
                bucket=entry.bucket,
                key=entry.key,
                etag=entry.etag,
                size=entry.size,
                format=entry.format,
                slices=count,
                units=one.units,
                index=entry.index,
            )
        )
    return parts


def _shares(cuts: Sequence[Coverage], slices: int) -> list[int]:
    """The slices of each, in all as many as asked for where that can be: by its bytes, the largest remainders rounded up."""
    volume = np.array([max(one.bytes, 1) for one in cuts], dtype=float)
    units = np.array([one.units for one in cuts])
    total = max(len(cuts), min(slices, int(units.sum())))
    low, high = 1 / volume.max(), float((units / volume).max())  # slices a byte: one slice each, and as many as there are units
    for _ in range(64):  # halves the logarithm of the distance, which may be wide, to less than a double tells
        middle = float(np.sqrt(low * high))
        low, high = (middle, high) if np.clip(middle * volume, 1, units).sum() <= total else (low, middle)
    shares = np.clip(low * volume, 1, units)
    counts = np.floor(shares).astype(int)
    counts[np.argsort(counts - shares, kind="stable")[: total - counts.sum()]] += 1
    return [int(count) for count in counts]


def _entry(address: str, catalog: Catalog) -> Entry:
    entry = catalog.get(*split_address(address))
    if entry is None or entry.state == "removed":
        what = "was removed" if entry else "is not in the catalogue: upload it, or wait until it is ingested"
        raise Reject(f"{address} {what}")
    if entry.state != "ready":
        raise Reject(f"{address} cannot be planned, it is broken: {entry.cause}")
    return entry


def _search(request: PlanRequested, catalog: Catalog) -> list[Entry]:
    try:
        query = msgspec.convert(request.query, Query)
    except msgspec.ValidationError as error:
        raise Reject(f"the query of the plan does not fit: {error}") from error
    wanted = query.limit if "limit" in request.query else MOST + 1
    found: list[Entry] = []
    while len(found) < wanted:
        page = catalog.search(msgspec.structs.replace(query, limit=min(PAGE, wanted - len(found))))
        found += [entry for entry in page if entry.state == "ready"]
        if not page:
            break
        query = msgspec.structs.replace(query, after=f"{page[-1].bucket}/{page[-1].key}")
    if len(found) > MOST:
        raise Reject(f"the query matches more than {MOST} objects, the most one plan covers: narrow it, or plan it in parts")
    return found
