"""The faults: what is done to a world while its load is sent.

A fault is stepped by the round now and then, and is ``over`` once it has happened. Everything in it is drawn from the round's
random numbers.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import NamedTuple, Protocol

from infra.chaos.load import Sending
from infra.chaos.world import World


class Act(Protocol):
    """A fault in a world."""

    over: bool

    def step(self) -> None:
        """Go on with it."""
        ...


class Calm:
    """Nothing happens: the load itself is the fault."""

    over = True

    def step(self) -> None:
        """Nothing."""


class Kills:
    """Processes die at one step after the other: (step, at which pass at most)."""

    def __init__(self, world: World, choose: random.Random, *steps: tuple[str, int]) -> None:
        self._world, self._choose, self._left = world, choose, list(steps)
        self._armed = ""
        self.over = False

    def step(self) -> None:
        """Arm the next step when the one before has been reached."""
        trap = self._world.trap
        if self._armed and trap.armed(self._armed):
            return
        self.over = not self._left
        if self._left:
            self._armed, most = self._left.pop(0)
            trap.arm(self._armed, self._choose.randint(1, most), f"{self._choose.getrandbits(32):08x}")


class Timed:
    """Something is done after a moment, and undone after another."""

    def __init__(self, choose: random.Random, do: Callable[[], None], undo: Callable[[], None] = lambda: None) -> None:
        now = time.monotonic()
        at = now + choose.uniform(0.02, 0.3)
        self._todo = [(at, do), (at + choose.uniform(0.3, 1.0), undo)]
        self.over = False

    def step(self) -> None:
        """Do what is due."""
        while self._todo and time.monotonic() >= self._todo[0][0]:
            self._todo.pop(0)[1]()
        self.over = not self._todo


class Fault(NamedTuple):
    """A named fault of one world. ``sweep``: the bucket told by an ephemeral topic is reconciled afterwards."""

    world: str
    name: str
    begin: Callable[[World, random.Random], Act]
    how: Sending = Sending()
    sweep: bool = False

    @property
    def full_name(self) -> str:
        """``WORLD.NAME``."""
        return f"{self.world}.{self.name}"


def kill(*steps: tuple[str, int]) -> Callable[[World, random.Random], Act]:
    """Kill -9 at these steps, one after the other."""
    return lambda world, choose: Kills(world, choose, *steps)


def kill_any(world: World, choose: random.Random) -> Act:
    """Kill -9 some process at some moment."""
    victim = choose.choice([each for _, each in sorted(world.victims.items())])
    return Timed(choose, victim.end)


def server(name: str) -> Callable[[World, random.Random], Act]:
    """Kill -9 a server, and start it again."""
    return lambda world, choose: Timed(choose, world.servers[name].kill, world.servers[name].start)


def refuse(world: World, choose: random.Random) -> Act:
    """Kill -9 the process that notifications are pushed to, and keep it away: its port refuses connections."""
    victim = world.victims["ingress"]

    def away() -> None:
        victim.away_until = time.monotonic() + 1.5
        victim.end()

    return Timed(choose, away)


def calm(_: World, __: random.Random) -> Act:
    """Nothing but the load."""
    return Calm()


FAULTS = (
    Fault("ceph", "server", server("ceph"), sweep=True),
    Fault("ceph", "refused", refuse, sweep=True),
    Fault("embedded", "accept", kill(("accept", 8))),
    Fault("embedded", "append", kill(("append", 8))),
    Fault("embedded", "appended", kill(("appended", 8))),
    Fault("embedded", "relay", kill(("relay", 4))),
    Fault("embedded", "run", kill(("run", 20))),
    Fault("embedded", "ran", kill(("ran", 20))),
    Fault("embedded", "settle", kill(("settle", 20))),
    Fault("embedded", "settled", kill(("settled", 20))),
    Fault("embedded", "takeover", kill(("settle", 8), ("takeover", 1))),
    Fault("embedded", "posted", kill(("posted", 8))),
    Fault("embedded", "bury", kill(("bury", 2)), Sending(kind="doomed")),
    Fault("embedded", "any moment", kill_any),
    Fault("embedded", "duplicates", kill_any, Sending(copies=3)),
    Fault("embedded", "reordering", calm, Sending(shuffled=True)),
    Fault("embedded", "endless 500s", calm, Sending(kind="doomed")),
    Fault("postgres", "server", server("postgres")),
    Fault("postgres", "log server", server("redis")),
    Fault("postgres", "marked", kill(("marked", 6))),
    Fault("postgres", "outbox", kill(("outbox", 6))),
    Fault("postgres", "settle", kill(("settle", 8))),
    Fault("postgres", "settled", kill(("settled", 8))),
    Fault("postgres", "takeover", kill(("settle", 8), ("takeover", 1))),
    Fault("postgres", "any moment", kill_any),
    Fault("redis", "accept", kill(("accept", 8))),
    Fault("redis", "append", kill(("append", 8))),
    Fault("redis", "appended", kill(("appended", 8))),
    Fault("redis", "run", kill(("run", 20))),
    Fault("redis", "ran", kill(("ran", 20))),
    Fault("redis", "outbox", kill(("outbox", 6))),
    Fault("redis", "settle", kill(("settle", 8))),
    Fault("redis", "settled", kill(("settled", 8))),
    Fault("redis", "takeover", kill(("settle", 8), ("takeover", 1))),
    Fault("redis", "claimed", kill(("settle", 8), ("claimed", 1))),
    Fault("redis", "posted", kill(("posted", 8))),
    Fault("redis", "bury", kill(("bury", 2)), Sending(kind="doomed")),
    Fault("redis", "any moment", kill_any),
    Fault("redis", "server", server("redis")),
    Fault("redis", "refused", refuse),
    Fault("redis", "reordering", calm, Sending(shuffled=True)),
    Fault("redis", "endless 500s", calm, Sending(kind="doomed")),
    Fault("redis", "500s", calm, Sending(kind="flaky")),
    Fault("redis", "duplicates", kill_any, Sending(copies=3)),
)
