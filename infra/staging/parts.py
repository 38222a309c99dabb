"""Rows of some objects shared out to others: which rows of which pieces each part gets, and the workers that write them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from infra.objects.s3 import S3Store
from infra.runtime.journal import Written
from infra.runtime.lanes import Options
from infra.runtime.lithops_folder import FunctionExecutor
from infra.runtime.probe import ENVIRONMENT
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
class Gather:
    """Writes the part that it is called with: runs of rows of Parquet objects as one object."""

    place: Target

    def __call__(self, number: int, runs: list[tuple[Written, int, int]]) -> Written:
        store = S3Store(**{name: os.environ.get(variable, "") for name, variable in ENVIRONMENT.items()})
        try:
            tables = [_rows(store, *run) for run in runs]
            return self.place.write(store, (number,), pa.concat_tables(tables, promote_options="permissive"))
        finally:
            store.close()


def _rows(store: S3Store, piece: Written, first: int, count: int) -> pa.Table:
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


def gather(executor: Any, pieces: Sequence[Written], wanted: Sequence[Sequence[Share]], place: Target) -> list[Written]:
    """Write the parts, a worker each. What has been written of them is removed where one fails."""
    calls = [(number, [(pieces[piece], first, count) for piece, first, count in part]) for number, part in enumerate(wanted)]
    futures = executor.lanes.submit(Gather(place), calls, Options(), None)
    try:
        written: list[Written] = FunctionExecutor.get_result(executor, futures, show_progressbar=False)
    except Exception:
        for one in list(executor.objects.list(place.bucket, place.prefix)):
            executor.objects.delete(one.bucket, one.key)
        raise
    return written
