"""One planned map, from its plan to its results: waves of workers, each with its part of the slices.

Slices are answered one by one (see ``journal``). What a worker that died had not answered yet goes to others, and so do, once,
slices that take suspiciously long: whoever answers first is taken. A slice that needs more memory than there is, is cut.
"""

from __future__ import annotations

import pickle
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from events.errors import Retry
from events.event import now
from events.types import PlanReady, PlanRequested, TaskExecuted
from functions.formats.format import Slice
from functions.planner.coverage import volume
from functions.planner.probe import probe_parts
from infra.delivery.retry import cause
from infra.runtime import measure
from infra.runtime.board import Board
from infra.runtime.dealing import Placed, partition, split
from infra.runtime.failure import FINAL, killed, noted
from infra.runtime.journal import Began, Journal, Outcome, Place, alive
from infra.runtime.lanes import Options
from infra.runtime.measure import Submitted, Worker
from infra.runtime.probe import Work
from infra.runtime.progress import Progress, seconds_left
from infra.runtime.recut import probe, recut
from infra.runtime.straggler import Paces

if TYPE_CHECKING:
    from infra.runtime.lithops import SluiceExecutor

#: How often a slice may fail before its map does.
TRIES = 2
#: Seconds after which a worker whose process is gone is taken to be dead, and one that does not begin to be lost.
GONE_S, START_S = 2.0, 300.0
#: Pauses between two looks are so much longer than a look takes: one at many answers takes a while.
PATIENCE = 3.0


class PlannedMap:
    """The results to come of a planned map, as Lithops' futures are of a plain one: ``result()`` waits for them.

    The first wave runs when it is made. With a history that is the whole map; without one it is a probe of real slices, and
    ``result()`` (or iterating, or the executor's ``wait`` or ``get_result``) plans the rest by what it measured and runs that.

    Attributes:
        plan: the plan of the latest wave.
        run: unique to this map.
        request, work, options: what was asked for.
        then: what is done with all results (and their slices) at the end: a reduction, a data set made of them.
        statistics: what the run took, once it has ended; also when it failed.

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
        run: str,
    ) -> None:
        self.plan, self.run = plan, run
        self.statistics: TaskExecuted | None = None
        self.then: list[Callable[[Any, list[Slice]], Any]] = []
        self._executor, self.work, self.request, self.options = executor, work, request, options
        self._progress = progress
        self._journal: Journal = executor.lanes.journal(run)
        self._board = Board(slices)
        self._waves: list[Submitted] = []
        self._workers: list[Worker] = []
        self._tried, self._asked, self._paces = Counter[Place](), Counter[Place](), Paces()
        self._again: list[Place] = []
        self._doubled: set[Place] = set()
        self._gone: dict[int, float] = {}
        self._results: Any = None
        self._error: BaseException | None = None
        self._ended, self._told, self._before = False, "", 0.0
        self._began = time.time()
        self._steps = self._drive()
        first = self._board.order
        if plan.basis == "none":
            first = probe(self._board, probe_parts(max(plan.workers, 1), fixed=bool(request.slices)), executor.index)
        probed = set(first)
        self._rest = [place for place in self._board.order if place not in probed]
        self._submit(first)

    def __len__(self) -> int:
        return len(self._board)

    def __iter__(self) -> Iterator[Any]:
        """The results in the order of the slices, each as soon as it and those before it are there."""
        last: Place = ()
        while (place := self._board.after(last)) is not None:
            if (outcome := self._board.outcomes.get(place)) and not outcome.error:
                yield self._result(place)
                last = place
            elif self._ended:
                break
            else:
                next(self._steps, None)
        self.wait()
        if self._error is not None:
            raise self._error

    @property
    def slices(self) -> list[Slice]:
        """The slices, in the order of the results. A slice that ran out of memory is replaced by its pieces."""
        return [self._board.parts[place] for place in self._board.order]

    @property
    def done(self) -> bool:
        """Whether it has ended, well or not."""
        return self._ended

    def as_completed(self) -> Iterator[tuple[Slice, Any]]:
        """Each slice and its result, as they end. Raises what ``result`` raises, after those that ended before."""
        for place in [place for place, outcome in self._board.outcomes.items() if not outcome.error]:
            yield self._board.parts[place], self._result(place)
        for place in self._steps:
            yield self._board.parts[place], self._result(place)
        if self._error is not None:
            raise self._error

    def result(self) -> Any:
        """One result a slice, in the order of the slices; or what the functions in ``then`` make of them.

        With ``into`` the results are ``Written`` objects.

        Raises:
            Exception: the first that the function raised twice for a slice, with a note of which; all others have ended.

        """
        self.wait()
        if self._error is not None:
            raise self._error
        if self._results is None:
            results = [self._result(place) for place in self._board.order]
            for then in self.then:
                results = then(results, self.slices)
            self._results = results
        return self._results

    get_result = result

    def wait(self) -> None:
        """Run it to its end, without raising what the function raised."""
        for _ in self._steps:
            pass

    def _result(self, place: Place) -> Any:
        outcome = self._board.outcomes[place]
        return outcome.written or pickle.loads(outcome.result)  # noqa: S301 - from our own worker

    # The run.

    def _drive(self) -> Iterator[Place]:
        """Run it to its end; yields each slice that is answered."""
        try:
            with Progress(self._progress, self.plan.task) as progress:
                while self._error is None and not self._board.complete:
                    if self._executor.stopping():
                        raise Retry("this process is about to end")
                    looked = time.monotonic()
                    answered = self._step()
                    pause = max(self._executor.lanes.pause, PATIENCE * (time.monotonic() - looked))
                    if answered:
                        progress.update(len(self._board.outcomes), len(self._board), self._left())
                    yield from answered
                    if self._error is None and self._rest and len(self._board.outcomes) + len(self._rest) == len(self._board):
                        rest, self._rest = self._rest, []
                        self._submit(self._replan(rest))
                    elif not self._board.complete:
                        time.sleep(pause)
        finally:
            self._end()

    def _step(self) -> list[Place]:
        """Look what has happened since, and see to whatever went wrong. Returns what has been answered."""
        running = [worker for worker in self._workers if not worker.ended]
        stopped = self._executor.lanes.poll([worker.future for worker in running])
        answered = [place for entry in self._journal.news() if (place := self._heard(entry)) is not None]
        silent = {number for number, wave in enumerate(self._waves) if wave.silent(START_S)}
        for worker in running:
            if id(worker.future) in stopped:
                self._stopped(worker, stopped[id(worker.future)])
            elif worker.began is None and worker.wave in silent:
                self._stopped(
                    worker, RuntimeError(f"a worker has not begun for {START_S:.0f} s: is there room for it, and its image?")
                )
            elif self._vanished(worker):
                self._stopped(worker, MemoryError("the worker's process is gone: it was killed, perhaps for want of memory"))
        self._double()
        if self._again and self._error is None:
            again, self._again = list(dict.fromkeys(self._again)), []
            self._submit([place for place in again if self._board.waits(place)], every=0.0)
        return answered

    def _heard(self, entry: Began | Outcome) -> Place | None:
        """Take note of an entry of the journal; the slice that it answers, if it is the first to."""
        worker = self._workers[entry.worker]
        worker.sign = time.time()
        if isinstance(entry, Began):
            worker.began = entry
            return None
        place = entry.place
        worker.open.pop(place, None)
        if not self._board.waits(place):
            return None
        if entry.error:
            self._waves[worker.wave].failed += 1
            self._tried[place] += 1
            self._failing(worker, place, entry.raised(), entry)
            return None
        self._board.answer(place, entry)
        self._paces.add(volume(self._board.parts[place]), entry.measured.ended - entry.measured.started)
        return place

    def _failing(self, worker: Worker, place: Place, error: BaseException, outcome: Outcome) -> None:
        """Give the slice to another worker, cut it where memory did not suffice, or let the map fail."""
        size = volume(self._board.parts[place])
        if isinstance(error, MemoryError) and not killed(error):
            self._waves[worker.wave].dead.append(size)
            if self._shrink(place):
                return
        elif isinstance(error, MemoryError) and self._tried[place] >= TRIES and self._shrink(place):
            self._waves[worker.wave].dead.append(size)
            return
        if isinstance(error, FINAL) or self._tried[place] >= TRIES:
            which = f"in slice {self._board.order.index(place)} of {len(self._board)}"
            self._board.answer(place, outcome)
            self._error = noted(error, outcome, self._board.parts[place], which)
            return
        self._again.append(place)

    def _stopped(self, worker: Worker, error: BaseException | None) -> None:
        """A call has ended: what it has not answered goes to others. The slice it was at may have been why."""
        worker.ended = True
        left = list(filter(self._board.waits, worker.open))
        if not left or self._error is not None:
            return
        worker.lost = True
        self._waves[worker.wave].failed += 1
        why = error or RuntimeError("the worker ended without an answer")
        blamed = left[:1] if worker.began else left
        for place in blamed:
            self._tried[place] += 1
            self._failing(worker, place, why, Outcome(worker.number, place, error=pickle.dumps(why), trace=cause(why)))
        self._again += left[len(blamed) :]

    def _vanished(self, worker: Worker) -> bool:
        """Whether the process of a worker on this machine has been gone for some seconds."""
        moment = time.time()
        if worker.began is None or not self._executor.lanes.local or alive(worker.began):
            return False
        return moment - self._gone.setdefault(worker.number, moment) > GONE_S

    def _double(self) -> None:
        """Give late slices to a further worker each, once, when workers are free."""
        busy = [worker for worker in self._workers if not worker.ended and worker.open]
        free = self.plan.workers - len(busy)
        prior = self.plan.time_s.high if self.plan.time_s else 0.0
        for worker in busy:
            if free <= 0 or worker.began is None:
                continue
            waited = time.time() - worker.sign
            if self._paces.late(waited, volume(next(iter(worker.open.values()))), prior):
                left = list(filter(self._board.waits, worker.open))
                self._again += [place for place in left if place not in self._doubled]
                self._doubled.update(left)
                free -= 1

    def _shrink(self, place: Place) -> bool:
        """Cut a slice that ran out of memory and let workers be larger, as far as the caller left that open."""
        part, executor = self._board.parts[place], self._executor
        pieces = [part] if self.request.slices else split(part, executor.index(part))
        larger = 0 if self.options.runtime_memory else executor.larger(self.plan.memory_mb)
        if len(pieces) == 1 and not larger:
            return False
        self._again += self._board.replace(place, pieces)
        what = f"cut into {len(pieces)}" if len(pieces) > 1 else "is tried again"
        told = f" A slice ran out of memory and {what}{f', with {larger} MB' if larger else ''}."
        self._told += told
        self.plan = msgspec.structs.replace(
            self.plan, explanation=self.plan.explanation + told, memory_mb=larger or self.plan.memory_mb
        )
        executor.plan = self.plan
        return True

    def _submit(self, places: Sequence[Place], every: float | None = None) -> None:
        """Start a wave; its workers tell ``every`` so many seconds, by default as often as somebody looks.

        What is tried again is told slice by slice: so it is known for sure in the end which of them kills workers.
        """
        placed: list[Placed] = [(place, self._board.parts[place]) for place in sorted(places)]
        if not placed:
            return
        every = self._executor.lanes.pause if every is None else every
        parts = partition(placed, self.plan.workers, self.options.chunksize)
        memory = self.options.runtime_memory or self.plan.memory_mb
        first, at = len(self._workers), time.time()
        calls = [(first + number, msgspec.json.encode(part), every) for number, part in enumerate(parts)]
        futures = self._executor.lanes.submit(self.work, calls, self.options, memory)
        workers = [
            Worker(first + number, len(self._waves), part, future, sign=at)
            for number, (part, future) in enumerate(zip(parts, futures, strict=True))
        ]
        self._waves.append(Submitted(self.plan, workers, at))
        self._workers += workers
        self._asked.update(place for place, _ in placed)

    def _replan(self, rest: Sequence[Place]) -> Sequence[Place]:
        """Plan what is left by what has been measured, and cut it anew; on no answer, go on as planned."""
        deadline = self.request.deadline_s
        left = max(deadline - (time.time() - self._began), 0.001) if deadline else None
        request = msgspec.structs.replace(
            self.request,
            measured=self._measured(),
            done=min(self._board.share, 0.999999),
            slices=len(rest) if self.request.slices else 0,
            deadline_s=left,
        )
        answer = self._executor.ask(request)
        if answer is not None:
            self._before = time.time() - self._began
            rest = rest if self.request.slices else recut(self._board, rest, answer.slices, self._executor.index)
            workers = min(answer.workers, len(rest))
            self.plan = msgspec.structs.replace(
                answer,
                deadline_s=deadline,
                slices=len(rest),
                workers=workers,
                slices_per_worker=-(-len(rest) // workers),
                explanation=answer.explanation + self._told,
            )
            self._executor.plan = self.plan
        return rest

    def _left(self) -> float | None:
        return seconds_left(self._board.share, time.time() - self._began, self.plan.time_s.value if self.plan.time_s else None)

    def _measured(self) -> list[Any]:
        sizes = {place: volume(part) for place, part in self._board.parts.items()}
        return measure.waves(self._waves, self._board.outcomes, sizes, self._executor.cores)

    # The end.

    def _end(self) -> None:
        """Stop who is not needed any more, and tell the planner what the run took."""
        if self._ended:
            return
        self._ended = True
        self._executor.lanes.finish([worker.future for worker in self._workers if not worker.ended and not worker.open])
        open_ = [worker for worker in self._workers if not worker.ended and worker.open]
        self._executor.lanes.stop(open_)
        for worker in open_:
            worker.lost = True
        self._journal.remove()
        complete = self._board.complete and self._error is None
        if not complete and self.work.into is not None:  # half a data set is of no use to anybody
            self._executor.discard(self.work.into)
        if complete or self._error is not None:  # and not broken off by the caller
            self.statistics = self._executed()
            self._executor.publish(self.statistics)

    def _executed(self) -> TaskExecuted:
        waves, plan, settings = self._measured(), self.plan, self._executor.settings
        ends = [outcome.measured.ended for outcome in self._board.outcomes.values()]
        well = self._error is None
        paid = [wave.busy_s * wave.memory_mb / 1000 * settings.price_per_gb_s for wave in waves]
        return TaskExecuted(
            run=self.run,
            task=plan.task,
            code=self.request.code,
            format=plan.format,
            backend=self.request.backend,
            image=self.request.image,
            finished=now(),
            waves=waves,
            seconds=max(max(ends, default=0.0) - self._began, 0.0) or time.time() - self._began,
            predicted_s=self._before + plan.time_s.value if plan.time_s and well else 0.0,
            cost=sum(paid) + len(self._workers) * settings.price_per_request,
            predicted_cost=plan.cost.value if plan.cost and well and not self._before else 0.0,
            error=cause(self._error)[:500] if self._error else "",
            ran=measure.workers(self._waves, self._board.outcomes, self._asked),
        )
