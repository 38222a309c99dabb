"""The manifest of the embedded store: which segments there are, as one object that is replaced as a whole.

A reader that takes the manifest and then the segments it names sees one state of the store: what a newer manifest no longer
names is deleted one round later. The list of all series, with their last points, is a Parquet object the manifest names.
"""

from __future__ import annotations

import io

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from events.ports import NotFound, ObjectStore
from infra.series.batch import Floats, Ints, Series
from infra.series.segments import Segment, tag_text, tags_of

KEY = "manifest.json"


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """``number`` is the last one given to an object, ``buffer`` the last file of the write buffer whose points are in segments.

    ``names`` is the key of the list of series, ``garbage`` what the round after this manifest deletes.
    """

    number: int = 0
    buffer: int = 0
    names: str = ""
    segments: list[Segment] = []
    garbage: list[str] = []


def load(objects: ObjectStore, bucket: str) -> Manifest:
    """The manifest in a bucket; an empty one where there is none."""
    try:
        return msgspec.json.decode(b"".join(objects.stream(bucket, KEY)), type=Manifest)
    except NotFound:
        return Manifest()


def save(objects: ObjectStore, bucket: str, manifest: Manifest) -> None:
    """Replace the manifest."""
    objects.write(bucket, KEY, msgspec.json.encode(manifest), content_type="application/json")


def encode_names(names: list[Series], time: Ints, value: Floats) -> bytes:
    """The list of series, with the time and value of their last points."""
    table = pa.table(
        {
            "metric": pa.array([each.metric for each in names], pa.string()),
            "tags": pa.array([tag_text(each.tags) for each in names], pa.string()),
            "last_time": pa.array(time).cast(pa.timestamp("ms", "UTC")),
            "last_value": pa.array(value),
        }
    )
    return _parquet(table)


def decode_names(data: bytes) -> tuple[list[Series], Ints, Floats]:
    """What ``encode_names`` gave, sorted."""
    table = pq.read_table(io.BytesIO(data))
    pairs = zip(table["metric"].to_pylist(), table["tags"].to_pylist(), strict=True)
    names = [Series(metric, tags_of(tags)) for metric, tags in pairs]
    order = sorted(range(len(names)), key=names.__getitem__)
    time, value = table["last_time"].cast(pa.int64()).to_numpy(), table["last_value"].to_numpy()
    return [names[place] for place in order], time[order], value[order]


def describe(names: list[Series]) -> bytes:
    """The series of one metric as Parquet: a row each, a column for every tag that one of them has."""
    tags = [dict(each.tags) for each in names]
    columns = sorted({name for each in tags for name in each})
    table = pa.table(
        {"metric": [each.metric for each in names], **{f"tag.{name}": [each.get(name) for each in tags] for name in columns}}
    )
    return _parquet(table)


def _parquet(table: pa.Table) -> bytes:
    out = io.BytesIO()
    pq.write_table(table, out, compression="zstd")
    return out.getvalue()
