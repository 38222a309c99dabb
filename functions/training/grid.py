"""An evacuation: people on a map with walls and exits, while fires grow. Many episodes side by side, in numpy.

A person moves one cell a step, or stays; then the fires grow. Who reaches an exit that does not burn is safe; whom the fire
reaches, or who takes more than ``LIMIT`` steps, is lost. The person sees the fires near by, and knows the way to the exits
as it is without any fire.
"""

from __future__ import annotations

from collections import deque
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from events.errors import Reject

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]

#: North, south, west, east, stay.
MOVES: Ints = np.array([(-1, 0), (1, 0), (0, -1), (0, 1), (0, 0)])
LIMIT = 64
#: How far a person sees, in cells.
SIGHT = 3
#: The nearest exits are part of what a person knows.
EXITS = 3
#: Length of an observation: the cells in sight, the ways to go, three numbers an exit, the time, the fires in sight.
FEATURES = (2 * SIGHT + 1) ** 2 + 4 + 3 * EXITS + 2
FAR = 10_000


class Plan(msgspec.Struct, frozen=True):
    """A map: ``walls`` (True is a wall) and for every cell the steps to each exit (exits, rows, columns), without fires."""

    walls: Any
    exits: Any
    steps: Any

    @property
    def nearest(self) -> Ints:
        """Steps from every cell to the nearest exit; ``FAR`` from where no way leads there."""
        found: Ints = self.steps.min(axis=0)
        return found

    @property
    def starts(self) -> Ints:
        """The cells (row, column) that people may start in, at least four steps from any exit."""
        return np.argwhere((self.nearest >= 4) & (self.nearest < FAR))


def generated(size: int, seed: int) -> Plan:
    """A map of ``size`` x ``size`` cells with three exits, always the same for the same seed."""
    if not 8 <= size <= 64:
        raise Reject(f"a map has 8 to 64 cells a side, not {size}")
    draw = np.random.default_rng(seed)
    while True:
        walls = draw.random((size, size)) < 0.12
        border = [(0, int(draw.integers(size))), (size - 1, int(draw.integers(size))), (int(draw.integers(size)), 0)]
        for cell in border:
            walls[cell] = False
        made = planned(walls, border)
        if len(made.starts) > 0.6 * size * size and len(set(border)) == EXITS:
            return made


def drawn(text: str) -> Plan:
    """A map drawn with ``#`` (wall), ``E`` (exit) and anything else (free), a line a row. Raises ``Reject``."""
    lines = [line for line in text.splitlines() if line.strip()]
    widths = {len(line) for line in lines}
    if len(widths) != 1 or not (4 <= len(lines) <= 256 and 4 <= widths.pop() <= 256):
        raise Reject("a map has 4 to 256 lines of the same length, 4 to 256 characters each")
    cells = np.array([list(line) for line in lines])
    exits = [(int(row), int(column)) for row, column in np.argwhere(cells == "E")]
    if not 1 <= len(exits) <= EXITS:
        raise Reject(f"a map has 1 to {EXITS} exits (the letter E); this one has {len(exits)}")
    made = planned(cells == "#", exits)
    if len(made.starts) < 10:
        raise Reject("fewer than 10 cells of the map are four or more steps from an exit and lead to one")
    return made


def planned(walls: Bools, exits: list[tuple[int, int]]) -> Plan:
    """The map, with the steps to its exits; one with fewer than ``EXITS`` has its last one repeated."""
    exits = [*exits, *[exits[-1]] * (EXITS - len(exits))]
    return Plan(walls, np.array(exits), np.stack([_steps(walls, cell) for cell in exits]))


def _steps(walls: Bools, exit: tuple[int, int]) -> Ints:
    found = np.full(walls.shape, FAR)
    found[exit] = 0
    waiting = deque([exit])
    while waiting:
        row, column = waiting.popleft()
        for down, right in MOVES[:4].tolist():
            near = row + down, column + right
            inside = 0 <= near[0] < walls.shape[0] and 0 <= near[1] < walls.shape[1]
            if inside and not walls[near] and found[near] == FAR:
                found[near] = found[row, column] + 1
                waiting.append(near)
    return found


class Evacuations:
    """``count`` episodes side by side on one plan; each that ends begins anew from one of ``starts``.

    ``growth`` is the chance that a burning cell sets a neighbour on fire in one step, ``fires`` how many break out.
    """

    def __init__(self, plan: Plan, starts: Ints, count: int, seed: int, *, growth: float = 0.07, fires: int = 3) -> None:
        self.plan, self._starts, self._growth, self._fires = plan, starts, growth, fires
        self._draw = np.random.default_rng(seed)
        self._free = np.argwhere(~plan.walls)
        self._index = np.arange(count)
        self._padded = np.pad(plan.walls, 1, constant_values=True)
        self._wide = np.pad(plan.walls, SIGHT, constant_values=True).astype("f4")
        self._nearest = np.pad(plan.nearest, 1, constant_values=FAR)
        self.burning = np.zeros((count, *plan.walls.shape), bool)
        self.at = np.zeros((count, 2), np.int64)
        self.time = np.zeros(count, np.int64)
        self._begin(np.ones(count, bool))

    @property
    def state(self) -> dict[str, Any]:
        """Everything that the future depends on."""
        return {"burning": self.burning, "at": self.at, "time": self.time, "draw": self._draw.bit_generator.state}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a ``state``."""
        self.burning, self.at, self.time = (state[name].copy() for name in ("burning", "at", "time"))
        self._draw.bit_generator.state = state["draw"]

    def step(self, moves: Ints) -> tuple[Floats, Bools, Bools]:
        """One step of everybody: rewards, whose episode ended, and who of these is safe. Who ended begins anew."""
        before = self._way(self.at)
        wanted = self.at + MOVES[moves]
        blocked = self._padded[wanted[:, 0] + 1, wanted[:, 1] + 1]
        self.at = np.where(blocked[:, None], self.at, wanted)
        self.time += 1
        lost = self.burning[self._index, self.at[:, 0], self.at[:, 1]]
        safe = (self._way(self.at) == 0) & ~lost
        self._grow()
        lost |= self.burning[self._index, self.at[:, 0], self.at[:, 1]] & ~safe
        lost |= (self.time >= LIMIT) & ~safe
        reward = 0.03 * (before - self._way(self.at)) + 1.0 * safe - 1.0 * lost - 0.01
        ended = safe | lost
        if ended.any():
            self._begin(ended)
        return reward.astype("f4"), ended, safe

    def observe(self) -> Floats:
        """What everybody sees and knows: (count, ``FEATURES``)."""
        count, reach = len(self._index), 2 * SIGHT + 1
        rows, columns = self.at[:, 0, None, None] + np.arange(reach)[:, None], self.at[:, 1, None, None] + np.arange(reach)
        fires = np.pad(self.burning, ((0, 0), (SIGHT, SIGHT), (SIGHT, SIGHT)))[self._index[:, None, None], rows, columns]
        sight = (fires.astype("f4") * 2 - self._wide[rows, columns]).reshape(count, -1)
        here = self._way(self.at)
        ways = [self._nearest[self.at[:, 0] + 1 + down, self.at[:, 1] + 1 + right] - here for down, right in MOVES[:4]]
        found = [sight, np.clip(np.stack(ways, 1), -2, 2)]
        scale = max(self.plan.walls.shape)
        for exit, steps in zip(self.plan.exits, self.plan.steps, strict=True):
            burns = self.burning[:, exit[0], exit[1]]
            found.append(np.concatenate([(exit - self.at) / scale, np.where(burns, -1.0, self._of(steps) / scale)[:, None]], 1))
        found += [(self.time / LIMIT)[:, None], fires.mean(axis=(1, 2))[:, None]]
        return np.concatenate(found, 1, dtype="f4", casting="unsafe")

    def _of(self, steps: Ints) -> Any:
        return np.minimum(steps[self.at[:, 0], self.at[:, 1]], 4 * len(steps))

    def _way(self, at: Ints) -> Ints:
        found: Ints = self._nearest[at[:, 0] + 1, at[:, 1] + 1]
        return found

    def _grow(self) -> None:
        near = np.zeros(self.burning.shape, np.uint8)
        near[:, 1:] += self.burning[:, :-1]
        near[:, :-1] += self.burning[:, 1:]
        near[:, :, 1:] += self.burning[:, :, :-1]
        near[:, :, :-1] += self.burning[:, :, 1:]
        exposed = np.flatnonzero((near > 0) & ~self.burning & ~self.plan.walls)
        chance = 1 - (1 - self._growth) ** near.ravel()[exposed]
        self.burning.ravel()[exposed[self._draw.random(len(exposed)) < chance]] = True

    def _begin(self, which: Bools) -> None:
        index = np.flatnonzero(which)
        self.at[index] = self._starts[self._draw.integers(len(self._starts), size=len(index))]
        self.time[index] = 0
        self.burning[index] = False
        for _ in range(self._fires):
            fire = self._free[self._draw.integers(len(self._free), size=len(index))]
            apart = np.abs(fire - self.at[index]).sum(axis=1) > SIGHT
            self.burning[index[apart], fire[apart, 0], fire[apart, 1]] = True


def greedy(episodes: Evacuations) -> Ints:
    """Everybody takes the shortest way to an exit, round what burns: the nearest of the next cells."""
    plan, near = episodes.plan, episodes.at[:, None, :] + MOVES
    padded = np.pad(plan.nearest, 1, constant_values=FAR)
    ways = padded[near[:, :, 0] + 1, near[:, :, 1] + 1]
    burning = np.pad(episodes.burning, ((0, 0), (1, 1), (1, 1)))
    index = np.arange(len(near))[:, None]
    moves: Ints = (ways + 2 * FAR * burning[index, near[:, :, 0] + 1, near[:, :, 1] + 1]).argmin(axis=1)
    return moves


def shortest(episodes: Evacuations) -> Ints:
    """Everybody takes the shortest way to an exit, whatever burns."""
    near = episodes.at[:, None, :] + MOVES
    padded = np.pad(episodes.plan.nearest, 1, constant_values=FAR)
    moves: Ints = padded[near[:, :, 0] + 1, near[:, :, 1] + 1].argmin(axis=1)
    return moves


def success(episodes: Evacuations, moves: Any, count: int) -> float:
    """The share of at least ``count`` episodes that end in safety when ``moves(episodes)`` says who goes where.

    Every lane of ``episodes`` plays the same number of them, so that the short ones do not count more.
    """
    wanted = -(-count // len(episodes.at))
    left = np.full(len(episodes.at), wanted)
    safe = 0
    while left.any():
        _, ended, saved = episodes.step(moves(episodes))
        safe += int((saved & (left > 0)).sum())
        left -= ended & (left > 0)
    return safe / (wanted * len(episodes.at))
