"""Rounds: a world with its load and one fault, until it is quiet again, and the verdict."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterable, Iterator
from itertools import count
from pathlib import Path
from queue import SimpleQueue
from types import TracebackType

from infra.chaos.faults import FAULTS, Fault
from infra.chaos.load import Load
from infra.chaos.processes import SERVERS, Server, Stuck
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


class Lane(threading.Thread):
    """The rounds of one world, one after the other, beside those of the other worlds: nothing is shared with them.

    ``found`` takes fault, seed and verdict of each round, at the end ``None``, or the error that ended it.
    """

    def __init__(self, name: str, folder: Path, plan: list[tuple[int, Fault]], seed: int, found: SimpleQueue[Found]) -> None:
        super().__init__(name=f"chaos-{name}", daemon=True)
        self._world_name, self._folder, self._plan, self._seed, self._found = name, folder, plan, seed, found
        self._world: World | None = None
        self._servers: dict[str, Server] = {}
        self._made = count()
        self.stopping = threading.Event()

    def run(self) -> None:
        """Play them all."""
        try:
            for played, (number, fault) in enumerate(self._plan):
                if played and played % FRESH == 0:
                    self._finish()
                    self._end()
                world = self._world or self._start()
                verdict = play(world, fault, number, self._seed + number)
                if self.stopping.is_set():
                    break
                if not verdict.good:
                    self._end()
                self._found.put((fault, self._seed + number, verdict))
            self._finish()
            self._found.put(None)
        except BaseException as error:
            self._found.put(error)
        finally:
            self._end()

    def stop(self) -> None:
        """End it soon, and wait until its processes are gone."""
        self.stopping.set()
        self.join()

    def _start(self) -> World:
        for name in WORLDS[self._world_name]:
            folder = self._folder / f"{next(self._made)}-{name}-server"
            self._servers[name] = SERVERS[name][0](folder)
            self._servers[name].start()
        self._world = World(self._world_name, self._folder / f"{next(self._made)}-{self._world_name}", self._servers)
        self._world.stopping = self.stopping
        self._world.start()
        return self._world

    def _finish(self) -> None:
        """What can only be checked when all is over."""
        if self._world and self._world.ceph and not self.stopping.is_set():
            self._found.put((QUEUE, self._seed, check_queued(self._world)))

    def _end(self) -> None:
        if self._world:
            self._world.close()
        for server in self._servers.values():
            server.close()
        self._world, self._servers = None, {}


class Rounds:
    """The rounds of all worlds, in a folder. Leave the ``with`` block to end all their processes."""

    def __init__(self, folder: Path, servers: Iterable[str]) -> None:
        self._folder, self._servers = folder, frozenset(servers)
        self._lanes: list[Lane] = []

    def __enter__(self) -> Rounds:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for lane in self._lanes:
            lane.stop()

    def possible(self, only: str = "") -> list[Fault]:
        """The faults that the servers at hand allow, and ``only`` names: a fault's full name, its name, or its world's."""
        return [
            fault
            for fault in FAULTS
            if self._servers.issuperset(WORLDS[fault.world]) and only in ("", fault.full_name, fault.name, fault.world)
        ]

    def run(self, rounds: int, seed: int, only: str = "") -> Iterator[tuple[Fault, int, Verdict]]:
        """So many rounds, each with the seed that repeats it: every fault once, then any. At the end, Ceph's queue.

        The worlds play beside each other. One that failed is not used again.
        """
        faults = self.possible(only)
        plans: dict[str, list[tuple[int, Fault]]] = {}
        for number in range(rounds):
            fault = faults[number] if number < len(faults) else random.Random(f"{seed}/{number}").choice(faults)
            plans.setdefault(fault.world, []).append((number, fault))
        found: SimpleQueue[Found] = SimpleQueue()
        self._lanes = [Lane(name, self._folder / name, plan, seed, found) for name, plan in plans.items()]
        for lane in self._lanes:
            lane.start()
        playing = len(self._lanes)
        while playing:
            what = found.get()
            if isinstance(what, BaseException):
                raise what
            if what is None:
                playing -= 1
            else:
                yield what


#: What is checked when all rounds are over: the uploads that Ceph queued the notifications of.
QUEUE = FAULTS[0]._replace(name="queued")
Found = tuple[Fault, int, Verdict] | BaseException | None
