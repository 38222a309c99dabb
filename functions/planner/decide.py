"""From a task's runs and the allowed configurations to a decision, in one pass over the grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from events.types import Choice, Discarded, Interval, Wave
from functions.planner.choice import choose, front
from functions.planner.grid import Load, Vector
from functions.planner.model import DEAD, GUESS_COPIES, GUESS_MB, Model, learn

#: Standard deviations to the bounds shown (nine runs in ten between) and to the one that a deadline must clear.
SHOWN, SURE = 1.645, 3.2
#: Seconds within which no worker of any back end has begun and answered, and bytes a second that none has worked on: of a task
#: that nobody has measured yet, what even this would not keep is known to be impossible.
LEAST_S, MOST_BYTES_S = 0.05, 20e9
#: Where none is thought to keep the deadline, those may that are thought to take at most so much longer than the fastest
#: (logarithm).
NEAR = 0.4
#: So many standard deviations beyond the deadline, nothing is thought of as what might keep it: then it is the fastest.
HOPELESS = -2.0
#: Most vCPUs that a plan without a basis asks for: its first wave has few workers, and the rest is planned by what it shows.
FIRST = 64
#: Most points of the front that are told.
FRONT = 12


@dataclass(frozen=True)
class Prices:
    """What a GB-second and a request cost, and what has to be spent ``before``, whatever is chosen."""

    gb_s: float
    request: float
    before: float = 0.0


@dataclass(frozen=True)
class Decision:
    """The configuration chosen, what is expected of it, and whether it keeps every condition.

    ``fits`` tells whether memory suffices; ``in_time`` whether the upper bound of the predicted time keeps the deadline,
    ``surely`` whether 99 runs in 100 would. Without a basis the predictions are ``None``, the front is empty, and ``in_time``
    tells whether there may be a task that keeps the deadline.
    """

    choice: Choice
    time: Interval | None = None
    cost: Interval | None = None
    peak: Interval | None = None
    front: tuple[Choice, ...] = ()
    discarded: tuple[Discarded, ...] = ()
    scale_out: Choice | None = None
    scale_up: Choice | None = None
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
        objective: ``time``, ``cost``, ``balanced`` or weights (see ``choice.weights``).
        deadline: seconds; configurations whose upper bound exceeds it are discarded while any stays.

    """
    model = learn(runs, load)
    if model is None:
        return _unmeasured(load, [wave for waves in runs for wave in waves if wave.out_of_memory], deadline)
    need = model.need_mb(load)
    fits = need <= load.memory_mb
    tight = not fits.any()
    if tight:  # the smallest slices in the largest workers are the nearest to fitting
        fits = need / load.memory_mb <= (need / load.memory_mb).min() * (1 + 1e-9)
    known = _predict(model, load, prices)
    allowed = np.flatnonzero(fits)
    upper = known.time * np.exp(SURE * known.doubt)
    if deadline is not None:
        sure = allowed[upper[allowed] <= deadline]
        # Nothing sure: the one most probably in time, which may be one unlike those that were late. If all are thought to be
        # late, that would be the most unsure of all, however slow: then it is among the fastest.
        room = np.log(deadline / known.time[allowed])
        odds = np.where(room >= min(room.max(), 0) - NEAR, room / known.doubt[allowed], -np.inf)
        nearest = int(allowed[np.argmax(odds) if odds.max() > HOPELESS else np.argmax(room)])
        kept = sure if len(sure) else np.array([nearest])
        late, allowed = _without(allowed, kept), kept
    best = int(allowed[choose(known.time[allowed], known.cost[allowed], load.slices[allowed], objective)])
    usable = np.flatnonzero(fits)
    line = usable[front(known.time[usable], known.cost[usable])]
    told = line[np.unique(np.linspace(0, len(line) - 1, min(FRONT, len(line))).round().astype(int))]
    small, large = _scaled(load, known, usable, objective)
    discarded = [
        _discarded("memory", load, known, np.flatnonzero(~fits), need / load.memory_mb),
        _discarded("deadline", load, known, late, upper) if deadline is not None else None,
        _discarded("beaten", load, known, _without(allowed, np.append(line, best)), _distance(known, best)),
    ]
    peak = float(model.peak_mb(load)[best])
    time = _interval(float(known.time[best]), float(known.doubt[best]))
    return Decision(
        choice=known.choice(load, best),
        time=time,
        cost=_interval(float(known.cost[best]), float(model.busy_doubt(load[np.array([best])])[0])),
        peak=Interval(value=peak, low=max(2 * peak - float(need[best]), 0.0), high=float(need[best])),
        front=tuple(known.choice(load, int(index)) for index in told),
        discarded=tuple(one for one in discarded if one is not None),
        scale_out=small,
        scale_up=large,
        fits=not tight,
        in_time=deadline is None or time.high <= deadline,
        surely=deadline is None or bool(upper[best] <= deadline),
    )


@dataclass(frozen=True)
class _Predicted:
    """What every configuration would take; ``doubt`` is relative, of the time."""

    time: Vector
    cost: Vector
    doubt: Vector

    def choice(self, load: Load, at: int) -> Choice:
        return _choice(load, at, self.time, self.cost)


def _predict(model: Model, load: Load, prices: Prices) -> _Predicted:
    work, doubt, busy = model.predict(load)
    time = work + load.before_s
    cost = busy * load.memory_mb / 1000 * prices.gb_s + load.workers * prices.request + prices.before
    return _Predicted(time, cost, doubt * work / time)


def _without(these: NDArray[np.intp], others: NDArray[np.intp]) -> NDArray[np.intp]:
    """Those of ``these`` that are not among ``others``; numpy's own way sorts them."""
    left = np.zeros(max(these.max(initial=0), others.max(initial=0)) + 1, dtype=bool)
    left[these] = True
    left[others] = False
    return np.flatnonzero(left)


def _distance(known: _Predicted, best: int) -> Vector:
    """How far each configuration is from the chosen one, in the worse of time and cost."""
    dearer = known.cost / known.cost[best] if known.cost[best] > 0 else np.ones(len(known.cost))
    worse: Vector = np.maximum(known.time / known.time[best], dearer)
    return worse


def _discarded(reason: str, load: Load, known: _Predicted, which: NDArray[np.intp], misses: Vector) -> Discarded | None:
    """Those configurations, and the one of them that misses by least."""
    if not len(which):
        return None
    nearest = int(which[np.argmin(misses[which])])
    return Discarded(reason=reason, count=len(which), nearest=known.choice(load, nearest))


def _scaled(load: Load, known: _Predicted, usable: NDArray[np.intp], objective: str) -> tuple[Choice | None, Choice | None]:
    """The best with the smallest workers and the best with the largest; nothing where all are alike."""
    size = load.vcpus[usable] * 1e9 + load.memory_mb[usable]
    if size.min() == size.max():
        return None, None
    ends = []
    for end in (size.min(), size.max()):
        those = usable[size == end]
        best = choose(known.time[those], known.cost[those], load.slices[those], objective)
        ends.append(known.choice(load, int(those[best])))
    return ends[0], ends[1]


def _unmeasured(load: Load, died: Sequence[Wave], deadline: float | None) -> Decision:
    """Nothing is known: all cores, the smallest memory that a rule of thumb allows, and slices small enough to probe with."""
    need = GUESS_MB + GUESS_COPIES * load.slice_bytes / 1e6
    for wave in died:
        need = np.maximum(need, wave.memory_mb * DEAD * np.minimum(load.slice_bytes / max(wave.slice_bytes, 1), 1))
    fits = need <= load.memory_mb
    short = np.maximum(need / load.memory_mb, 1.0)
    useful = np.minimum(np.minimum(load.workers * load.vcpus, load.cores), FIRST)
    rounds = load.slices / load.workers
    least = load.before_s + LEAST_S + load.bytes / load.workers / MOST_BYTES_S
    late = least > (np.inf if deadline is None else deadline)
    # Best first: memory, then what may be in time (a size that is not deployed yet may not be), then cores in use, then no more
    # workers than that takes, then about four slices each.
    order = np.lexsort((load.memory_mb, np.abs(np.log2(rounds / 4)), load.workers, -useful, late, short))
    best = int(order[0])
    nothing = np.zeros(len(load))
    return Decision(
        choice=_choice(load, best, nothing, nothing), fits=bool(fits[best]), in_time=not late[best], surely=deadline is None
    )


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
