"""A segment: the points of one hour (or of a day, for roll-ups) as a Parquet object.

Columns ``metric``, ``tags`` (``name=value,...``), ``time`` (timestamp, ms, UTC), ``scale``, ``scaled``, ``value``, sorted by
the first three. A series whose values are decimals has them as whole numbers, ``scaled / 10 ** scale``, which is exact and
small; any other has them in ``value``: so a value is ``coalesce(value, scaled / pow(10, scale))``.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import duckdb
import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from infra.series.batch import Floats, Ints, Series
from infra.series.run import Run

#: Most decimals tried; beyond 2**53 a whole number is no longer exact in 64 bits of floating point.
MOST_SCALE, EXACT = 9, 2**53
GROUP_ROWS = 131_072


class Segment(msgspec.Struct, frozen=True):
    """What the manifest says of a segment: ``first`` and ``last`` are its times (ms); a later ``number`` wins."""

    key: str
    number: int
    first: int
    last: int
    points: int
    size: int


def encode(run: Run, names: Sequence[Series]) -> bytes:
    """The Parquet of a run; ``names[i]`` is the series with id ``i``."""
    order = sorted(range(len(run.ids)), key=lambda place: names[int(run.ids[place])])
    rows = np.concatenate([np.arange(run.starts[place], run.starts[place + 1]) for place in order])
    lengths = np.array([run.starts[place + 1] - run.starts[place] for place in order])
    ordered = [names[run.ids[place]] for place in order]
    time, value = run.time[rows], run.value[rows]
    ends = np.cumsum(lengths)
    scale = np.full(len(value), -1, np.int8)
    scaled = np.zeros(len(value), np.int64)
    for low, high in zip((ends - lengths).tolist(), ends.tolist(), strict=True):
        found = _scaled(value[low:high])
        if found is not None:
            scale[low:high], scaled[low:high] = found
    plain = scale < 0
    table = pa.table(
        {
            "metric": _texts([each.metric for each in ordered], lengths),
            "tags": _texts([tag_text(each.tags) for each in ordered], lengths),
            "time": pa.array(time).cast(pa.timestamp("ms", "UTC")),
            "scale": pa.array(scale, mask=plain),
            "scaled": pa.array(scaled, mask=plain),
            "value": pa.array(value, mask=~plain),
        }
    )
    out = io.BytesIO()
    pq.write_table(
        table,
        out,
        compression="zstd",
        compression_level=6,
        row_group_size=GROUP_ROWS,
        use_dictionary=["metric", "tags", "scale"],
        column_encoding={"time": "DELTA_BINARY_PACKED", "scaled": "DELTA_BINARY_PACKED", "value": "PLAIN"},
        write_statistics=["metric", "tags", "time"],
    )
    return out.getvalue()


def _texts(texts: list[str], lengths: Ints) -> pa.Array:
    return pa.DictionaryArray.from_arrays(
        pa.array(np.repeat(np.arange(len(texts), dtype=np.int32), lengths)), pa.array(texts)
    ).cast(pa.string())


def _scaled(value: Floats) -> tuple[int, Ints] | None:
    """The fewest decimals that all values have, and the values as whole numbers; ``None`` if they are no such decimals."""
    if np.signbit(value[value == 0]).any():
        return None  # -0.0 is no whole number
    for scale in range(MOST_SCALE + 1):
        whole = np.rint(value * 10.0**scale)
        if np.abs(whole).max() > EXACT:
            return None
        if np.array_equal(whole / 10.0**scale, value):
            return scale, whole.astype(np.int64)
    return None


def tag_text(tags: Sequence[tuple[str, str]]) -> str:
    """Tags as a segment has them; a backslash, ``,`` or ``=`` in a name or value stands behind a backslash."""
    return ",".join(f"{_escape(name)}={_escape(value)}" for name, value in tags)


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace(",", "\\,").replace("=", "\\=")


def tags_of(text: str) -> tuple[tuple[str, str], ...]:
    """What ``tag_text`` gave."""
    parts, escaped = [""], False
    for each in text:
        if escaped or each not in "\\,=":
            parts[-1] += each
            escaped = False
        elif each == "\\":
            escaped = True
        else:
            parts.append("")
    return tuple(zip(parts[::2], parts[1::2], strict=True)) if text else ()


class Reader:
    """Reads segments with DuckDB. Any thread may."""

    def __init__(self) -> None:
        self._connection = duckdb.connect(":memory:", config={"threads": 2, "preserve_insertion_order": True})
        self._connection.execute("SET TimeZone='UTC'")

    def close(self) -> None:
        """Free its memory."""
        self._connection.close()

    def read(
        self, file: Path, ids: dict[Series, int], wanted: Sequence[Series] | None = None, start: int = 0, end: int = 0
    ) -> Run:
        """The points of a file, or only those of the ``wanted`` series (of one metric) from ``start`` to before ``end``.

        ``ids`` numbers every series in it.
        """
        source = "read_parquet($file)"
        parameters: dict[str, object] = {"file": str(file)}
        if wanted is not None:
            source += (
                " WHERE metric = $metric AND list_contains($tags, tags)"
                " AND time >= make_timestamptz($start * 1000) AND time < make_timestamptz($end * 1000)"
            )
            tags = [tag_text(each.tags) for each in wanted]
            parameters |= {"metric": wanted[0].metric, "tags": tags, "start": start, "end": end}
        with self._connection.cursor() as cursor:
            counts = cursor.execute(
                f"SELECT metric, tags, count(*) FROM {source} GROUP BY ALL ORDER BY metric, tags",  # noqa: S608 - only our own text
                parameters,
            )
            names = counts.fetchall()
            columns = cursor.execute(
                f"SELECT epoch_ms(time) AS time, coalesce(value, scaled / pow(10, scale)) AS value FROM {source}",  # noqa: S608
                parameters,
            ).fetchnumpy()
        number = np.array([ids[Series(metric, tags_of(tags))] for metric, tags, _ in names], np.int64)
        lengths = np.array([count for _, _, count in names], np.int64)
        time, value = (np.asarray(columns[name]) for name in ("time", "value"))
        return Run.of(np.repeat(number, lengths), time.astype(np.int64), value.astype(np.float64))
