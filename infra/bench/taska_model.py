"""What more workers would take than there are cores for, from CPU seconds that were measured."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Cost(NamedTuple):
    """Seconds, and vCPU seconds paid, of so many workers of one vCPU."""

    workers: int
    time: float
    cost: float


def modelled(workers: int, shares: Sequence[float], whole: float, cut: float, slices: int) -> Cost:
    """The cost of workers that run at once, each with its share of the data.

    A slice takes what starting the program takes, and its share of the work: two unknowns that the CPU seconds of the whole
    and of the same cut into so many ``slices`` tell.
    """
    start = max((cut - whole) / (slices - 1), 0.0) if slices > 1 else 0.0
    spent = [start + share * (whole - start) for share in shares]
    return Cost(workers, max(spent), sum(spent))


def front(costs: Sequence[Cost]) -> list[Cost]:
    """Those that no other beats in both time and cost, the cheapest first."""
    found: list[Cost] = []
    for one in sorted(costs, key=lambda one: (one.cost, one.time)):
        if not found or one.time < found[-1].time:
            found.append(one)
    return found
