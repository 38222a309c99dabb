"""Slices dealt to workers, and slices cut again where they turn out to be too large."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from itertools import accumulate

from functions.formats import by_name
from functions.formats.format import Index, Slice
from functions.planner.coverage import volume
from infra.runtime.journal import Place

Placed = tuple[Place, Slice]
#: How many times finer than the slice itself a cutting is tried that has its borders too.
FINER = 8


def partition(placed: Sequence[Placed], workers: int, most: int = 0) -> list[list[Placed]]:
    """The slices dealt to at most ``workers`` workers, largest first to whoever has least; each worker's in their order.

    With ``most`` there are more workers where one would else have more than so many slices.
    """
    wanted = max(workers, -(-len(placed) // most) if most else 0)
    loads = [(0, worker) for worker in range(max(1, min(wanted, len(placed))))]
    parts: list[list[Placed]] = [[] for _ in loads]
    for one in sorted(placed, key=lambda one: (-volume(one[1]), one[0])):
        load, worker = heapq.heappop(loads)
        parts[worker].append(one)
        if not most or len(parts[worker]) < most:
            heapq.heappush(loads, (load + volume(one[1]), worker))
    return [sorted(part, key=lambda one: one[0]) for part in parts]


def split(part: Slice, index: Index, pieces: int = 2) -> list[Slice]:
    """At least ``pieces`` slices that together hold what ``part`` holds, in its order; only ``part`` where there are none.

    ``index`` is what ``part`` was cut by, into ``part.of`` slices. A finer cutting serves if it has both its borders.
    """
    form = by_name(part.format)

    def cut(count: int) -> list[Slice]:
        return form.slices(index, count, bucket=part.bucket, key=part.key, index_at=part.index)

    before = sum(one.units for one in cut(part.of)[: part.number])
    for count in dict.fromkeys([*(part.of * pieces * finer for finer in range(1, FINER + 1)), index.units]):
        fine = cut(min(count, max(index.units, 1)))
        borders = list(accumulate((one.units for one in fine), initial=0))
        if before in borders and before + part.units in borders:
            first, last = borders.index(before), borders.index(before + part.units)
            if last - first >= pieces and all(one.units for one in fine[first:last]):
                return fine[first:last]
    return [part]
