"""Rows of some objects shared out to others: which rows of which pieces each part gets, and the workers that write them."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import msgspec
import pyarrow as pa
from pyarrow import parquet

from functions.formats.format import Slice
from functions.tables.concat import concat
from functions.tables.sql import as_table
from infra.runtime import task_code
from infra.runtime.journal import Place, Written
from infra.runtime.lithops import SluiceExecutor
from infra.runtime.planned_map import PlannedMap
from infra.runtime.probe import Work
from infra.runtime.results import Target

#: Rows of a piece: its number, the first row, and how many.
Share = tuple[int, int, int]


def shares(rows: Sequence[int], count: int) -> list[list[Share]]:
    """The rows of pieces shared out to ``count`` parts, in their order, whose numbers of rows differ by at most one."""
    total, found, piece, first = sum(rows), list[list[Share]](), 0, 0
    for number in range(count):
        wanted, part = total * (number + 1) // count - total * number // count, list[Share]()
        while wanted:
            taken = min(rows[piece] - first, wanted)
            if taken:
                part.append((piece, first, taken))
            wanted, first = wanted - taken, first + taken
            if first == rows[piece]:
                piece, first = piece + 1, 0
        found.append(part or [(0, 0, 0)])  # a part without rows has the columns all the same
    return found


@dataclass(frozen=True)
class Gather(Work):
    """A task whose slices are runs of rows (piece, first, how many) of Parquet objects, a list of them for each place."""

    runs: tuple[tuple[tuple[Written, int, int], ...], ...] = ()

    @contextmanager
    def opened(self, place: Place, part: Slice, store: Any) -> Iterator[pa.Table]:
        """The rows of the part at ``place``."""
        tables = [_rows(store, *run) for run in self.runs[place[0]]]
        yield concat(tables)


def _rows(store: Any, piece: Written, first: int, count: int) -> pa.Table:
    """Some rows of an object; of its row groups only those that have them are decoded."""
    file = parquet.ParquetFile(pa.BufferReader(store.read(piece.bucket, piece.key, 0, piece.size, etag=piece.etag)))
    groups, before, skipped = list[int](), 0, 0
    for group in range(file.num_row_groups):
        rows = file.metadata.row_group(group).num_rows
        if before + rows > first and before < first + count:
            skipped = before if not groups else skipped
            groups.append(group)
        before += rows
    return file.read_row_groups(groups).slice(first - skipped, count) if groups else file.schema_arrow.empty_table()


def gather(
    executor: SluiceExecutor, before: PlannedMap, pieces: Sequence[Written], wanted: Sequence[Sequence[Share]], place: Target
) -> list[Written]:
    """Write the parts, as a map of its own with the workers of ``before``: what fails is tried again, or nothing is left."""
    run = str(uuid.uuid4())
    runs = tuple(tuple((pieces[piece], first, count) for piece, first, count in part) for part in wanted)
    work = Gather(task_code.dumps(as_table), executor.lanes.place(run), into=place, runs=runs, path=before.work.path)
    slices = [
        Slice(
            bucket=place.bucket,
            key=f"{place.prefix}{number}",
            etag="",
            size=0,
            format="parquet",
            number=number,
            of=len(runs),
            ranges=[(0, sum(piece.size * count // max(piece.rows, 1) for piece, _, count in part))],
            units=sum(count for _, _, count in part),
        )
        for number, part in enumerate(runs)
    ]
    request = msgspec.structs.replace(before.request, task="gather", code=task_code.code_hash(Gather), slices=len(runs))
    plan = msgspec.structs.replace(before.plan, task="gather", format="parquet", basis="unplanned", time_s=None, cost=None)
    made: list[Written] = PlannedMap(executor, work, request, plan, slices, before.options, False, run).result()
    return made
