"""What a map's waves took, as its workers measured themselves. A slice counts once, for the worker whose answer was taken."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from events.types import PlanReady, Wave, WorkerRan
from functions.formats.format import Slice
from functions.planner.coverage import volume
from infra.runtime.dealing import Placed
from infra.runtime.journal import Began, Measured, Outcome, Place

#: Most workers that are told of one by one.
MOST_TOLD = 1000


@dataclass
class Worker:
    """One call that Lithops was asked for.

    ``sign`` is when it was last heard of, ``lost`` that it died or was given up, ``open`` are the slices that it has not
    answered yet, in its order.
    """

    number: int
    wave: int
    part: list[Placed]
    future: Any
    began: Began | None = None
    sign: float = 0.0
    ended: bool = False
    lost: bool = False
    open: dict[Place, Slice] = field(init=False)

    def __post_init__(self) -> None:
        self.open = dict(self.part)


@dataclass
class Submitted:
    """A wave: its plan, its workers, and when they were asked for (seconds since the epoch).

    ``dead`` are the volumes of those slices that memory did not suffice for.
    """

    plan: PlanReady
    workers: list[Worker]
    at: float
    failed: int = 0
    dead: list[int] = field(default_factory=list)

    def silent(self, seconds: float) -> bool:
        """Whether some have not begun, though for so long no other has been at work that they might have to wait for."""
        waiting = any(worker.began is None and not worker.ended for worker in self.workers)
        busy = any(worker.began is not None and not worker.ended and worker.open for worker in self.workers)
        return waiting and not busy and time.time() - max(worker.sign for worker in self.workers) > seconds


def waves(
    submitted: Sequence[Submitted], outcomes: Mapping[Place, Outcome], parts: Mapping[Place, int], cores: float
) -> list[Wave]:
    """The statistics of each wave that answered or failed something. ``parts`` are the volumes of the slices.

    A probe's workers have slices of several sizes on purpose: those of one size are told apart from the others, since what they
    show together is lost in a sum. What failed is told with the first.
    """
    taken: dict[int, list[Outcome]] = {}
    for outcome in outcomes.values():
        if not outcome.error:
            taken.setdefault(outcome.worker, []).append(outcome)
    return [
        _wave(wave, [one for worker in wave.workers for one in taken.get(worker.number, ())], parts, cores)
        for whole in submitted
        for wave in _by_size(whole)
        if wave.failed or any(worker.number in taken for worker in wave.workers)
    ]


def _by_size(wave: Submitted) -> list[Submitted]:
    if wave.plan.basis != "none":
        return [wave]
    alike: dict[int, list[Worker]] = {}
    for worker in wave.workers:
        alike.setdefault(sum(volume(part) for _, part in worker.part).bit_length(), []).append(worker)
    first, *others = [replace(wave, workers=workers) for workers in alike.values() or [[]]]
    return [first, *(replace(other, failed=0, dead=[]) for other in others)]


def _wave(wave: Submitted, taken: Sequence[Outcome], parts: Mapping[Place, int], cores: float) -> Wave:
    measured = [one.measured for one in taken]
    useful = {one.worker for one in taken}
    begun = [worker.began for worker in wave.workers if worker.began and (worker.number in useful or not useful)]
    first = min((entry.at for entry in begun), default=wave.at)

    def total(name: str) -> Any:
        return sum(getattr(one, name) for one in measured)

    return Wave(
        workers=max(len(useful), 1),
        slices=len(taken),
        bytes=sum(parts[one.place] for one in taken),
        seconds=max(max((one.ended for one in measured), default=first) - wave.at, 0.0),
        memory_mb=wave.plan.memory_mb,
        vcpus=wave.plan.vcpus,
        cores=cores,
        start_s=max(first - wave.at, 0.0),
        wait_s=sum(max(entry.at - first, 0.0) for entry in begun),
        read_s=total("read_s") + total("write_s"),
        compute_s=total("compute_s"),
        cpu_s=total("cpu_s"),
        bytes_read=total("bytes_read"),
        # Where memory did not suffice, that is all a wave teaches, and of this size it did not.
        slice_bytes=min(wave.dead) if wave.dead else max((parts[one.place] for one in taken), default=0),
        peak_mb=max((one.peak_mb for one in measured), default=0.0),
        base_mb=max((entry.base_mb for entry in begun), default=0.0),
        cold=sum(_cold(worker) for worker in wave.workers),
        failed=wave.failed,
        out_of_memory=len(wave.dead),
    )


def workers(submitted: Sequence[Submitted], outcomes: Mapping[Place, Outcome], tried: Mapping[Place, int]) -> list[WorkerRan]:
    """What each worker did."""
    taken: dict[int, list[Outcome]] = {}
    for outcome in outcomes.values():
        taken.setdefault(outcome.worker, []).append(outcome)
    every = [(number, wave, worker) for number, wave in enumerate(submitted) for worker in wave.workers]
    return [_ran(number, wave, worker, taken.get(worker.number, []), tried) for number, wave, worker in every[:MOST_TOLD]]


def _ran(number: int, wave: Submitted, worker: Worker, taken: Sequence[Outcome], tried: Mapping[Place, int]) -> WorkerRan:
    measured: list[Measured] = [one.measured for one in taken]
    places = {one.place for one in taken}
    told = ("read_s", "compute_s", "write_s", "cpu_s", "bytes_read", "bytes_written", "disk_read", "disk_written")
    return WorkerRan(
        wave=number,
        memory_mb=wave.plan.memory_mb,
        vcpus=wave.plan.vcpus,
        slices=len(taken),
        bytes=sum(volume(part) for place, part in worker.part if place in places),
        wait_s=max(worker.began.at - wave.at, 0.0) if worker.began else 0.0,
        peak_mb=max((one.peak_mb for one in measured), default=0.0),
        retries=sum(tried[place] > 1 and number > 0 for place in places),
        cold=_cold(worker),
        lost=worker.lost,
        **{name: sum(getattr(one, name) for one in measured) for name in told},
    )


def _cold(worker: Worker) -> bool:
    return bool(worker.future.stats.get("worker_cold_start"))
