"""One planned map, from its plan to its results: waves of workers, each with its part of the slices."""

from __future__ import annotations

import heapq
import pickle
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from events.event import now
from events.types import PlanReady, PlanRequested, TaskExecuted, Wave
from functions.formats.format import Slice
from infra.runtime.probe import Outcome, Report, Work
from infra.runtime.progress import Progress

if TYPE_CHECKING:
    from infra.runtime.lithops import SluiceExecutor

#: Slices of the first wave of a task without a history: real work, measured.
PROBE = 2
Placed = tuple[int, Slice]


@dataclass(frozen=True)
class Options:
    """What a planned map hands on to Lithops."""

    runtime_memory: int | None = None
    timeout: int | None = None
    extra_env: dict[str, str] = field(default_factory=dict)
    include_modules: list[str] | None = None
    exclude_modules: list[str] = field(default_factory=list)


@dataclass
class Submitted:
    """A wave under way."""

    plan: PlanReady
    parts: list[list[Placed]]
    futures: list[Any]
    at: float


class PlannedMap:
    """The results to come of a planned map, as Lithops' futures are of a plain one: ``result()`` waits for them.

    The first wave runs when it is made. With a history that is the whole map; without one it is a probe of real slices, and
    ``result()`` (or the executor's ``wait`` or ``get_result``) plans the rest by what it measured and runs that.

    Attributes:
        plan: the plan of the latest wave.
        statistics: what the run took, once it has ended; also when it failed.
        slices: the slices, in the order of the results.

    """

    def __init__(
        self,
        executor: SluiceExecutor,
        work: Work,
        request: PlanRequested,
        plan: PlanReady,
        slices: list[Slice],
        options: Options,
        progress: bool | Callable[[int, int], None] | None,
    ) -> None:
        self.plan, self.slices = plan, slices
        self.statistics: TaskExecuted | None = None
        self._executor, self._work, self._request, self._options = executor, work, request, options
        self._progress = progress
        self.reduce: Callable[[list[Any]], Any] | None = None
        self._run = str(uuid.uuid4())
        self._waves: list[Wave] = []
        self._outcomes: dict[int, Outcome] = {}
        self._results: Any = None
        self._ended = False
        self._error: BaseException | None = None
        placed = list(enumerate(slices))
        probe = _probe(placed, plan) if plan.basis == "none" else placed
        self._rest = [one for one in placed if one not in probe] if len(probe) < len(placed) else []
        self._under_way: Submitted | None = self._submit(probe)

    def __len__(self) -> int:
        return len(self.slices)

    @property
    def done(self) -> bool:
        """Whether it has ended, well or not."""
        return self._ended

    def result(self) -> Any:
        """One result a slice, in the order of the slices; or what ``reduce``, if set, makes of them.

        Raises:
            Exception: the first one that the function raised, with a note of its slice; all others have then ended too.

        """
        if not self.done:
            self._finish()
        if self._error is not None:
            raise self._error
        return self._results

    get_result = result

    def wait(self) -> None:
        """Run it to its end, without raising what the function raised."""
        if not self.done:
            self._finish()

    def _finish(self) -> None:
        with Progress(self._progress, self.plan.task, len(self.slices)) as progress:
            while self._under_way is not None:
                wave, self._under_way = self._under_way, None
                self._collect(wave, progress)
                if self._rest and not any(outcome.error for outcome in self._outcomes.values()):
                    rest, self._rest = self._rest, []
                    self._replan(rest)
                    self._under_way = self._submit(rest)
        failed = [self._outcomes[place] for place in sorted(self._outcomes) if self._outcomes[place].error]
        self._error = self._told(failed[0]) if failed else None
        self._ended = True
        self._publish()
        if not failed:
            results = [pickle.loads(self._outcomes[place].result) for place in range(len(self.slices))]  # noqa: S301 - our worker's
            self._results = self.reduce(results) if self.reduce else results

    def _submit(self, placed: Sequence[Placed]) -> Submitted:
        parts = partition(placed, self.plan.workers)
        at = time.time()
        memory = self._options.runtime_memory or (None if self._executor.local else self.plan.memory_mb)
        futures = self._executor.submit(self._work, [msgspec.json.encode(part) for part in parts], self._options, memory)
        return Submitted(self.plan, parts, futures, at)

    def _collect(self, wave: Submitted, progress: Progress) -> None:
        """Wait for a wave; keep what came back, and measure it."""
        reports: list[Report] = []
        for at, answer in self._executor.collect(wave.futures):
            if isinstance(answer, Report):
                reports.append(answer)
                self._outcomes.update((outcome.place, outcome) for outcome in answer.outcomes)
            else:  # the worker died or was stopped: it says so for all it had
                place = wave.parts[at][0][0]
                self._outcomes[place] = Outcome(place, error=pickle.dumps(answer), trace=f"{type(answer).__name__}: {answer}")
            progress.update(len(self._outcomes))
        self._waves.append(measure(wave, reports, self._executor.cores))

    def _replan(self, rest: Sequence[Placed]) -> None:
        """Plan what is left by what has been measured; on no answer, go on as planned."""
        volume = sum(part.bytes for part in self.slices)
        done = 1 - sum(part.bytes for _, part in rest) / volume if volume else 0.0
        deadline = self._request.deadline_s
        left = max(deadline - sum(wave.seconds for wave in self._waves), 0.001) if deadline else None
        request = msgspec.structs.replace(
            self._request, measured=self._waves, done=min(max(done, 0.0), 0.999999), slices=len(rest), deadline_s=left
        )
        answer = self._executor.ask(request)
        if answer is not None:
            self.plan = msgspec.structs.replace(answer, deadline_s=deadline)
            self._executor.plan = self.plan

    def _publish(self) -> None:
        """Tell the planner what the run took."""
        plan, settings = self.plan, self._executor.settings
        seconds = sum(wave.seconds for wave in self._waves)
        before = sum(wave.seconds for wave in self._waves[:-1])
        cost = sum(
            wave.busy_s * wave.memory_mb / 1000 * settings.price_per_gb_s + wave.workers * settings.price_per_request
            for wave in self._waves
        )
        self.statistics = TaskExecuted(
            run=self._run,
            task=plan.task,
            code=self._request.code,
            format=plan.format,
            backend=self._request.backend,
            finished=now(),
            waves=self._waves,
            seconds=seconds,
            predicted_s=before + plan.time_s.value if plan.time_s and self._error is None else 0.0,
            cost=cost,
            predicted_cost=plan.cost.value if plan.cost and self._error is None and not before else 0.0,
            error=f"{type(self._error).__name__}: {self._error}"[:500] if self._error else "",
        )
        self._executor.publish(self.statistics)

    def _told(self, outcome: Outcome) -> BaseException:
        """The exception of a slice, saying which one."""
        part = self.slices[outcome.place]
        try:
            error = pickle.loads(outcome.error)  # noqa: S301 - from our own worker
        except Exception:
            error = RuntimeError(outcome.trace.strip().rsplit("\n", 1)[-1])
        error.add_note(
            f"in slice {outcome.place} of {len(self.slices)}: part {part.number} of {part.of} of s3://{part.bucket}/{part.key}"
        )
        error.add_note(outcome.trace)
        return error  # type: ignore[no-any-return]


def partition(placed: Sequence[Placed], workers: int) -> list[list[Placed]]:
    """The slices dealt to at most ``workers`` workers, largest first to whoever has least; each worker's in their order."""
    loads = [(0, worker) for worker in range(max(1, min(workers, len(placed))))]
    parts: list[list[Placed]] = [[] for _ in loads]
    for one in sorted(placed, key=lambda one: (-one[1].bytes, one[0])):
        load, worker = heapq.heappop(loads)
        parts[worker].append(one)
        heapq.heappush(loads, (load + max(one[1].bytes, 1), worker))
    return [sorted(part, key=lambda one: one[0]) for part in parts]


def measure(wave: Submitted, reports: Sequence[Report], cores: float) -> Wave:
    """A wave's statistics, from what its workers measured of themselves."""
    slices = [part for placed in wave.parts for _, part in placed]
    started = [report.started for report in reports]
    first = min(started, default=wave.at)
    return Wave(
        workers=len(wave.parts),
        slices=len(slices),
        bytes=sum(part.bytes for part in slices),
        seconds=max(max((report.ended for report in reports), default=time.time()) - wave.at, 0.0),
        memory_mb=wave.plan.memory_mb,
        vcpus=wave.plan.vcpus,
        cores=cores,
        start_s=max(first - wave.at, 0.0),
        wait_s=sum(start - first for start in started),
        read_s=sum(report.read_s for report in reports),
        compute_s=sum(report.compute_s for report in reports),
        cpu_s=sum(report.cpu_s for report in reports),
        bytes_read=sum(report.bytes_read for report in reports),
        slice_bytes=max((part.bytes for part in slices), default=0),
        peak_mb=max((report.peak_mb for report in reports), default=0.0),
        base_mb=max((report.base_mb for report in reports), default=0.0),
        cold=sum(1 for future in wave.futures if future.stats.get("worker_cold_start")),
        failed=len(wave.parts) - len(reports) + sum(1 for report in reports for one in report.outcomes if one.error),
    )


def _probe(placed: Sequence[Placed], plan: PlanReady) -> list[Placed]:
    """The slices to measure first: no more than there are workers, spread over the data, and all where few are left."""
    count = min(PROBE, max(plan.workers, 1))
    if len(placed) <= count:
        return list(placed)
    return [placed[len(placed) * number // count] for number in range(count)]
