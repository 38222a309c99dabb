"""Which configuration is best: the Pareto front of time and cost, and a choice on it by objective."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from events.errors import Reject
from functions.planner.grid import Vector

OBJECTIVES = ("time", "cost", "balanced")
#: What a weighted objective looks like.
WEIGHTS = re.compile(r"time=(\d+(?:\.\d+)?),cost=(\d+(?:\.\d+)?)")
#: A configuration this close to the best in the one respect may win by the other: no hundred workers for a millisecond.
TIE = 0.01


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
    if told is None or not float(told[1]) + float(told[2]):
        raise Reject(
            f"no objective is called {objective!r}; there are {', '.join(OBJECTIVES)}, and weights such as time=3,cost=1"
        )
    return float(told[1]), float(told[2])


def choose(time: Vector, cost: Vector, objective: str) -> int:
    """The index of the best configuration.

    ``balanced`` is the least distance to the origin of (time / best time, cost / best cost): in raw units the plane's
    larger numbers would always win, which degenerates to the cheapest plan. Weights stretch the two axes.
    """
    weighed = weights(objective)
    if weighed is not None:
        return int(np.argmin(np.hypot(weighed[0] * time / time.min(), weighed[1] * _relative(cost))))
    first, second = (time, cost) if objective == "time" else (cost, time)
    close: NDArray[Any] = first <= first.min() * (1 + TIE)
    return int(np.flatnonzero(close)[np.lexsort((first[close], second[close]))[0]])


def _relative(cost: Vector) -> Vector:
    """Cost over the least cost; all equal where nothing costs anything."""
    least = float(cost.min())
    return cost / least if least > 0 else np.ones_like(cost)
