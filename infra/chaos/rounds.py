"""Rounds: a world with its load and one fault, until it is quiet again, and the verdict."""

from __future__ import annotations

import random
import time
from collections.abc import Iterable, Iterator
from itertools import count
from pathlib import Path
from types import TracebackType

from infra.chaos.faults import FAULTS, Fault
from infra.chaos.load import Load
from infra.chaos.processes import Ceph, Redis, Stuck
from infra.chaos.verdict import Verdict, check, check_queued
from infra.chaos.world import WORLDS, World

#: Rounds after which every world begins anew.
FRESH = 100


def play(world: World, fault: Fault, number: int, seed: int) -> Verdict:
    """One round in a running world. What stops it is a verdict too."""
    choose = random.Random(f"{seed}/{fault.full_name}")
    world.sink.forget()
    load = Load(world, number, choose, fault.how)
    act = fault.begin(world, choose)
    try:
        load.start(lambda: act.over)
        while not load.done:
            act.step()
            world.nurse()
            time.sleep(0.01)
        if not act.over:
            raise Stuck(f"{fault.full_name} never happened")
        world.quiet()
        if fault.sweep:
            world.reconcile("raw")
            world.quiet()
        return check(world, load)
    except Stuck as error:
        return Verdict(load.acknowledged, wrong=[str(error)])
    finally:
        load.close()


class Rounds:
    """The worlds, made when a round needs them, in a folder. Leave the ``with`` block to end all their processes."""

    def __init__(self, folder: Path, servers: Iterable[str]) -> None:
        self._folder, self._servers = folder, frozenset(servers)
        self._worlds: dict[str, World] = {}
        self._running: dict[str, Redis | Ceph] = {}
        self._made = count()

    def __enter__(self) -> Rounds:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._end([*self._worlds], [*self._running])

    def possible(self, only: str = "") -> list[Fault]:
        """The faults that the servers at hand allow, and ``only`` names: a fault's full name, its name, or its world's."""
        return [
            fault
            for fault in FAULTS
            if self._servers.issuperset(WORLDS[fault.world]) and only in ("", fault.full_name, fault.name, fault.world)
        ]

    def run(self, rounds: int, seed: int, only: str = "") -> Iterator[tuple[Fault, int, Verdict]]:
        """So many rounds, each with the seed that repeats it: every fault once, then any. At the end, Ceph's queue.

        A world that failed is not used again.
        """
        faults = self.possible(only)
        for number in range(rounds):
            fault = faults[number] if number < len(faults) else random.Random(f"{seed}/{number}").choice(faults)
            if number and number % FRESH == 0:
                yield from self._finish(seed)
                self._end([*self._worlds], [*self._running])
            verdict = play(self._world(fault.world), fault, number, seed + number)
            if not verdict.good:
                self._end([fault.world], ["ceph"] if fault.world == "ceph" else [])
            yield fault, seed + number, verdict
        yield from self._finish(seed)

    def _finish(self, seed: int) -> Iterator[tuple[Fault, int, Verdict]]:
        world = self._worlds.get("ceph")
        if world is not None:
            yield QUEUE, seed, check_queued(world)

    def _world(self, name: str) -> World:
        if name not in self._worlds:
            for server in WORLDS[name]:
                self._server(server)
            wanted = {server: self._running[server] for server in WORLDS[name]}
            self._worlds[name] = World(name, self._folder / f"{next(self._made)}-{name}", wanted)
            self._worlds[name].start()
        return self._worlds[name]

    def _server(self, name: str) -> None:
        if name not in self._running:
            folder = self._folder / f"{next(self._made)}-{name}-server"
            self._running[name] = Redis(folder) if name == "redis" else Ceph(folder)
            self._running[name].start()

    def _end(self, worlds: Iterable[str], servers: Iterable[str]) -> None:
        for name in worlds:
            self._worlds.pop(name).close()
        for name in servers:
            self._running.pop(name).close()


#: What is checked when all rounds are over: the uploads that Ceph queued the notifications of.
QUEUE = FAULTS[0]._replace(name="queued")
