"""Which configuration is best: the Pareto front of time and cost, and a choice on it by objective."""

from __future__ import annotations

import re
from math import inf

import numpy as np
from numpy.typing import NDArray

from events.errors import Reject
from functions.planner.grid import Vector

OBJECTIVES = ("time", "cost", "balanced")
#: What a weighted objective looks like.
WEIGHTS = re.compile(r"time=(\d+(?:\.\d*)?(?:e[+-]?\d+)?),cost=(\d+(?:\.\d*)?(?:e[+-]?\d+)?)", re.ASCII | re.IGNORECASE)
#: A configuration this close to the best in the one respect may win by the other: no hundred workers for a millisecond.
TIE = 0.01
#: And one this close to the best wins by fewer slices: whoever runs the map makes, sends and hears of each.
SAME = 0.003


def front(time: Vector, cost: Vector) -> NDArray[np.intp]:
    """The indices of the configurations that no other beats in both time and cost, fastest first."""
    order = np.lexsort((cost, time))
    best_before = np.minimum.accumulate(np.concatenate(([np.inf], cost[order][:-1])))
    chosen: NDArray[np.intp] = order[cost[order] < best_before]
    return chosen


def weights(objective: str) -> tuple[float, float] | None:
    """The weights of time and cost, ``None`` for ``time`` and ``cost`` alone. Raises ``Reject`` for what is no objective."""
    if objective == "balanced":
        return 1.0, 1.0
    if objective in OBJECTIVES:
        return None
    told = WEIGHTS.fullmatch(objective.replace(" ", ""))
    time, cost = (float(told[1]), float(told[2])) if told else (0.0, 0.0)
    largest = max(time, cost)
    if not 0 < largest < inf:
        raise Reject(
            f"no objective is called {objective!r}; there are {', '.join(OBJECTIVES)}, and weights such as time=3,cost=1"
        )
    return time / largest, cost / largest  # only their ratio counts, and so no product of them can overflow


def check_deadline(seconds: float | None) -> None:
    """Raises ``Reject`` for what is no deadline. JSON has no number for some of it: it must be asked before it is sent."""
    if seconds is not None and not 0 < seconds < inf:
        raise Reject(f"a deadline of {seconds} s cannot be kept: give seconds from now, more than 0")


def choose(time: Vector, cost: Vector, slices: Vector, objective: str) -> int:
    """The index of the best configuration; among those that are nearly as good, one with few ``slices``.

    ``balanced`` is the least distance to the origin of (time / best time, cost / best cost): in raw units the plane's
    larger numbers would always win, which degenerates to the cheapest plan. Weights stretch the two axes.
    """
    weighed = weights(objective)
    if weighed is not None:
        value = np.hypot(weighed[0] * time / time.min(), weighed[1] * _relative(cost))
        close = np.flatnonzero(value <= value.min() * (1 + SAME))
        return int(close[np.lexsort((value[close], slices[close]))[0]])
    first, second = (time, cost) if objective == "time" else (cost, time)
    close = np.flatnonzero(first <= first.min() * (1 + TIE))
    close = close[second[close] <= second[close].min() * (1 + SAME)]
    return int(close[np.lexsort((first[close], second[close], slices[close]))[0]])


def _relative(cost: Vector) -> Vector:
    """Cost over the least cost; all equal where nothing costs anything."""
    least = float(cost.min())
    return cost / least if least > 0 else np.ones_like(cost)
