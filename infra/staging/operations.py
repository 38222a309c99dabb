"""The staging operations. Each is a planned map whose results are a new data set: all of it, or none of it.

    with SluiceExecutor() as executor:
        bright = Output("s3://lake/bright", dataset="bright")
        staged = filter(executor, ["s3://lake/stars.csv"], bright, where=[("flux", ">", 1.5)])

What is written lies below a prefix of its run, so nobody reads it by chance; the data set is made, or given the new objects for
its old ones, when the catalogue has all of them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from io import BytesIO
from typing import Any

import pyarrow as pa

from events.errors import Reject
from events.types import ObjectDerived, ObjectVersion, PlanReady
from functions.formats.format import Slice
from functions.formats.where import Where
from functions.tables.aggregate import Aggregate, Value
from functions.tables.concat import concat
from functions.tables.sql import JOINS, Joined, Rows, Shaped, as_table
from infra.runtime.journal import Written
from infra.runtime.lithops import SluiceExecutor
from infra.runtime.planned_map import PlannedMap
from infra.runtime.results import Target, target
from infra.staging.parts import gather, shares

#: The largest right side of a join: every worker gets all of it.
JOIN_BYTES = 256 << 20
#: Pieces of a repartition whose client was killed are removed by the next one, once they are this old.
ABANDONED = timedelta(days=1)


@dataclass(frozen=True)
class Output:
    """Where the result goes: below ``into`` (``s3://bucket/prefix``), as tables of this form, as the data set of this name."""

    into: str
    dataset: str = ""
    form: str = "parquet"


@dataclass(frozen=True)
class Staged:
    """What was made, in the order of the input: its objects, and the plan of the map that made it."""

    objects: list[Written]
    plan: PlanReady
    run: str

    @property
    def rows(self) -> int:
        """Rows of all objects."""
        return sum(one.rows for one in self.objects)


def filter(
    executor: SluiceExecutor, inputs: Sequence[str], output: Output, *, where: Where = (), sql: str = "", **plan: Any
) -> Staged:
    """The rows that meet all conditions ``where`` (which formats may skip by) and the condition ``sql``."""
    if not where and not sql:
        raise Reject("nothing to filter by: give conditions")
    return _mapped(executor, Rows(where=sql), inputs, output, "filter", where=where, **plan)


def select(executor: SluiceExecutor, inputs: Sequence[str], output: Output, *, columns: Sequence[str], **plan: Any) -> Staged:
    """These columns, in this order: names, or SQL expressions such as ``flux * 2 AS double``."""
    if not columns:
        raise Reject("nothing to select: give columns")
    if all(name.isidentifier() for name in columns):
        return _mapped(executor, Rows(), inputs, output, "select", columns=columns, **plan)
    return _mapped(executor, Rows(", ".join(columns)), inputs, output, "select", **plan)


def convert(executor: SluiceExecutor, inputs: Sequence[str], output: Output, **plan: Any) -> Staged:
    """The same rows in the form of the output."""
    return _mapped(executor, Rows(), inputs, output, "convert", **plan)


def union(executor: SluiceExecutor, inputs: Sequence[str], output: Output, *, schema: pa.Schema, **plan: Any) -> Staged:
    """The rows of all tables, with the columns of ``schema``; what one has not is null."""
    return _mapped(executor, Shaped(schema), inputs, output, "union", **plan)


def join(
    executor: SluiceExecutor,
    inputs: Sequence[str],
    others: Sequence[str],
    output: Output,
    *,
    on: Sequence[str],
    how: str = "inner",
    **plan: Any,
) -> Staged:
    """Each row of ``inputs`` with those of ``others`` that have the same values in the columns ``on``.

    ``how`` is ``inner``, ``left``, ``semi`` (rows that have a partner) or ``anti`` (that have none). All workers get all of
    ``others``, which must fit.
    """
    if how not in JOINS or not on:
        raise Reject(f"a join needs columns, and is one of {', '.join(JOINS)}: put the larger side first")
    other = concat(executor.map(as_table, list(others), name="read").result())
    if other.nbytes > JOIN_BYTES:
        raise Reject(
            f"the right side of the join has {other.nbytes} bytes, more than {JOIN_BYTES}: select what is needed of it first"
        )
    sink = BytesIO()
    with pa.ipc.new_stream(sink, other.schema) as writer:
        writer.write_table(other)
    return _mapped(executor, Joined(sink.getvalue(), tuple(on), how), inputs, output, "join", **plan)


def aggregate(
    executor: SluiceExecutor,
    inputs: Sequence[str],
    output: Output,
    *,
    values: Sequence[Value],
    by: Sequence[str] = (),
    **plan: Any,
) -> Staged:
    """Aggregates of the groups by the columns ``by``, of each slice and then of all: one object."""
    if not values:
        raise Reject("nothing to aggregate: give values such as n=count(*)")
    task = Aggregate(tuple(by), tuple(values))
    columns = task.columns or None
    reduced = executor.map_reduce(task, list(inputs), task.combine, columns=columns, name="aggregate", **plan)
    table = reduced.result()
    place = target(output.into, reduced.run, output.form)
    _ensure(executor, place)
    written = place.write(executor.objects, (0,), table)
    return _kept(executor, reduced, [written], reduced.slices, output, "aggregate")


def repartition(
    executor: SluiceExecutor, inputs: Sequence[str], output: Output, *, parts: int = 0, size: int = 0, **plan: Any
) -> Staged:
    """The same rows in ``parts`` objects of as many rows each (within one), or in as many as make about ``size`` bytes."""
    if (parts > 0) == (size > 0):
        raise Reject("say either how many parts there shall be, or of how many bytes each")
    own = Output(f"s3://{executor.settings.bucket}/staging", form="parquet")
    old = (datetime.now(UTC) - ABANDONED).isoformat()
    executor.discard(Target(executor.settings.bucket, "staging/"), until=old)
    first = executor.map(as_table, list(inputs), into=own.into, name="repartition", keep=False, **plan)
    pieces: list[Written] = first.result()
    try:
        rows = sum(one.rows for one in pieces)
        count = parts or max(1, math.ceil(sum(one.size for one in pieces) / size))
        place = target(output.into, first.run, output.form)
        _ensure(executor, place)
        wanted = shares([one.rows for one in pieces], count)
        written = gather(executor, first, pieces, wanted, place)
    finally:
        executor.discard(target(own.into, first.run, own.form))
    if sum(one.rows for one in written) != rows:
        executor.discard(place)
        raise Reject(f"{sum(one.rows for one in written)} rows were written where {rows} were read")
    return _kept(
        executor, first, written, first.slices, output, "repartition", [[piece for piece, _, _ in each] for each in wanted]
    )


def _mapped(executor: SluiceExecutor, task: Any, inputs: Sequence[str], output: Output, name: str, **plan: Any) -> Staged:
    made = executor.map(task, list(inputs), into=output.into, form=output.form, keep=False, name=name, **plan)
    written: list[Written] = made.result()
    return _kept(executor, made, written, made.slices, output, name, [[number] for number in range(len(written))])


def _kept(
    executor: SluiceExecutor,
    made: PlannedMap,
    written: list[Written],
    slices: list[Slice],
    output: Output,
    name: str,
    of: list[list[int]] | None = None,
) -> Staged:
    """Tell which objects each result was made of (``of``: the numbers of its slices; else all), and make the data set.

    Raises ``Reject`` where no result is an object: without rows, JSON Lines are none.
    """
    objects = [one for one in written if one.size]
    if not objects:
        raise Reject(f"the result has no rows, and {output.form} without rows is no object: choose parquet or csv")
    told = {}
    for number, one in enumerate(written):
        if not one.size:
            continue
        for at in of[number] if of else range(len(slices)):
            part = slices[at]
            told[one.key, part.bucket, part.key] = ObjectDerived(
                of=ObjectVersion(bucket=part.bucket, key=part.key, etag=part.etag, size=part.size),
                result=ObjectVersion(bucket=one.bucket, key=one.key, etag=one.etag, size=one.size),
                function=name,
            )
    executor.keep(made.run, name, list(told.values()), output.dataset, target(output.into, made.run, output.form))
    return Staged(objects, made.plan, made.run)


def _ensure(executor: SluiceExecutor, place: Target) -> None:
    executor.objects.ensure(place.bucket)  # type: ignore[attr-defined]
