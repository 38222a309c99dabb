"""From a task's runs and the allowed configurations to a decision, in one pass over the grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from events.types import Choice, Interval, Wave
from functions.planner.choice import choose, front
from functions.planner.grid import Load, Vector
from functions.planner.model import GUESS_COPIES, GUESS_MB, busy_features, learn, time_features

#: Standard deviations to the bounds shown (nine runs in ten between) and to the one a deadline must clear (99 in 100 below).
SHOWN, SURE = 1.645, 2.6
#: Most points of the front that are told.
FRONT = 12


@dataclass(frozen=True)
class Prices:
    """What a GB-second and a request cost."""

    gb_s: float
    request: float


@dataclass(frozen=True)
class Decision:
    """The configuration chosen, what is expected of it, and whether it keeps every condition.

    ``fits`` tells whether memory suffices; ``in_time`` whether the prediction keeps the deadline, ``surely`` whether 99 runs
    in 100 would. Without a basis the predictions are ``None`` and the front is empty.
    """

    choice: Choice
    time: Interval | None = None
    cost: Interval | None = None
    peak: Interval | None = None
    front: tuple[Choice, ...] = ()
    fits: bool = True
    in_time: bool = True
    surely: bool = True


def decide(
    runs: Sequence[Sequence[Wave]], load: Load, prices: Prices, *, objective: str = "balanced", deadline: float | None = None
) -> Decision:
    """Choose among the configurations of ``load``.

    Args:
        runs: the waves of earlier runs, newest run first; empty if there are none.
        load: the configurations, at least one (see ``grid.configurations``).
        prices: of memory time and requests.
        objective: ``time``, ``cost`` or ``balanced``.
        deadline: seconds; configurations whose upper bound exceeds it are discarded while any stays.

    """
    model = learn(runs)
    if model is None:
        return _unmeasured(load)
    fits = model.need_mb(load) <= load.memory_mb
    tight = not fits.any()
    if tight:  # the smallest slices in the largest workers are the nearest to fitting
        lacking = model.need_mb(load) / load.memory_mb
        fits = lacking <= lacking.min() * (1 + 1e-9)
    load = load[fits]
    features = time_features(load)
    time = model.time.predict(features)
    doubt = model.time.spread(features, time)
    paid = busy_features(load)
    busy = model.busy.predict(paid)
    unit = load.memory_mb / 1000 * prices.gb_s
    cost = busy * unit + load.workers * prices.request
    upper = time * np.exp(SURE * doubt)
    allowed = np.arange(len(load))
    if deadline is not None:
        sure = np.flatnonzero(upper <= deadline)
        # Nothing sure: the one most probably in time, or if even that is not to be expected the fastest.
        odds = np.log(deadline / time) / doubt
        nearest = int(np.argmax(odds)) if odds.max() > 0 else int(np.argmin(time))
        allowed = sure if len(sure) else np.array([nearest])
    best = int(allowed[choose(time[allowed], cost[allowed], objective)])
    line = front(time, cost)
    line = line[np.unique(np.linspace(0, len(line) - 1, min(FRONT, len(line))).round().astype(int))]
    cost_doubt = float(model.busy.spread(paid[[best]], busy[[best]])[0])
    peak, need = float(model.peak_mb(load)[best]), float(model.need_mb(load)[best])
    return Decision(
        choice=_choice(load, best, time, cost),
        time=_interval(float(time[best]), float(doubt[best])),
        cost=_interval(float(cost[best]), cost_doubt),
        peak=Interval(value=peak, low=2 * peak - need if 2 * peak > need else 0.0, high=need),
        front=tuple(_choice(load, int(index), time, cost) for index in line),
        fits=not tight,
        in_time=deadline is None or bool(time[best] <= deadline),
        surely=deadline is None or bool(upper[best] <= deadline),
    )


def _unmeasured(load: Load) -> Decision:
    """Nothing is known: all cores, the smallest memory that a rule of thumb allows, and slices small enough to probe with."""
    need = GUESS_MB + GUESS_COPIES * load.slice_bytes / 1e6
    fits = need <= load.memory_mb
    short = np.maximum(need / load.memory_mb, 1.0)
    useful = np.minimum(load.workers * load.vcpus, load.cores)
    rounds = load.slices / load.workers
    # Best first: memory, then cores in use, then no more workers than that takes, then about four slices each.
    order = np.lexsort((load.memory_mb, np.abs(np.log2(rounds / 4)), load.workers, -useful, short))
    best = int(order[0])
    nothing = np.zeros(len(load))
    return Decision(choice=_choice(load, best, nothing, nothing), fits=bool(fits[best]))


def _choice(load: Load, at: int, time: Vector, cost: Vector) -> Choice:
    return Choice(
        workers=int(load.workers[at]),
        memory_mb=int(load.memory_mb[at]),
        vcpus=float(load.vcpus[at]),
        slices=int(load.slices[at]),
        time_s=float(time[at]),
        cost=float(cost[at]),
    )


def _interval(value: float, doubt: float) -> Interval:
    factor = float(np.exp(SHOWN * doubt))
    return Interval(value=value, low=value / factor, high=value * factor)
