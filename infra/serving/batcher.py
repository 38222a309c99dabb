"""Micro-batching: what comes in one turn of the event loop, or while the model is busy, is inferred together.

Nobody waits for a batch to fill. Batches of a quick model (see ``OnnxModel.row_seconds``) are inferred in the event loop,
which is less work than asking a thread; all others in a thread of the model's own, so that the loop stays free.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from queue import SimpleQueue
from typing import Protocol

import msgspec
import numpy as np

from infra.batches import batches
from infra.serving.model import OnnxModel
from infra.serving.tensors import Array

#: Most requests, and most rows, inferred together.
MOST, ROWS = 64, 4096
#: The longest that one turn of the event loop may infer.
QUICK_SECONDS = 0.001


class Reply(Protocol):
    """Who waits for the outputs: a future, or as much of one as is needed in the event loop."""

    def done(self) -> bool: ...

    def set_result(self, outputs: dict[str, Array], /) -> None: ...

    def set_exception(self, error: Exception, /) -> None: ...


class _Job(msgspec.Struct):
    """What is asked. Jobs of one ``kind`` can be joined."""

    inputs: dict[str, Array]
    outputs: tuple[str, ...] | None
    done: Reply
    rows: int
    loop: asyncio.AbstractEventLoop
    kind: tuple[object, ...] | None


class Closed(Exception):
    """It takes no more: another has its place."""


class Batcher:
    """One model's batches, for one event loop. ``close``, from any thread, lets what waits be answered first."""

    def __init__(self, model: OnnxModel) -> None:
        self.model, self._wide = model, model.wide
        self._gathered: list[_Job] = []
        self._queue: SimpleQueue[_Job | None] = SimpleQueue()
        self._lock, self._closed = threading.Lock(), False
        self._thread = threading.Thread(target=self._run, name=f"infer-{model.name}-{model.version}", daemon=True)
        self._thread.start()

    def infer(self, inputs: dict[str, Array], outputs: tuple[str, ...] | None) -> asyncio.Future[dict[str, Array]]:
        """The outputs of checked inputs, in the running event loop. Raises ``Closed``."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[dict[str, Array]] = loop.create_future()
        if not self.offer(inputs, outputs, done, loop):
            with self._lock:  # nothing may be put behind the end: nobody would answer it
                if self._closed:
                    raise Closed
                rows = len(next(iter(inputs.values()))) if self.model.joins else 1
                self._queue.put(_Job(inputs, outputs, done, rows, loop, self._kind(inputs, outputs)))
        return done

    def offer(
        self, inputs: dict[str, Array], outputs: tuple[str, ...] | None, done: Reply, loop: asyncio.AbstractEventLoop
    ) -> bool:
        """Have checked inputs inferred in the next turn of the loop, if that is quick; whether it is. Raises ``Closed``."""
        if self.model.row_seconds > QUICK_SECONDS:
            return False
        rows = len(next(iter(inputs.values())))
        if self.model.row_seconds * rows > QUICK_SECONDS:
            return False
        if self._closed:
            raise Closed
        if not self._gathered:
            loop.call_soon(self._turn)
        self._gathered.append(_Job(inputs, outputs, done, rows, loop, self._kind(inputs, outputs)))
        return True

    def flush(self) -> None:
        """In the event loop: infer now what the next turn would."""
        while self._gathered:
            self._turn()

    def close(self) -> None:
        """End the thread once everything that was asked is answered; returns at once."""
        with self._lock:
            self._closed = True
            self._queue.put(None)

    def _kind(self, inputs: dict[str, Array], outputs: tuple[str, ...] | None) -> tuple[object, ...] | None:
        if not self._wide:
            return outputs
        return (outputs, *((name, array.shape[1:]) for name, array in sorted(inputs.items())))

    def _turn(self) -> None:
        """In the event loop: infer what came in this turn, and leave to the next what would take too long."""
        if not self._gathered:
            return
        loop, rows, count = self._gathered[0].loop, 0, 0
        for job in self._gathered[:MOST]:
            rows += job.rows
            if count and rows * self.model.row_seconds > QUICK_SECONDS:
                break
            count += 1
        jobs, self._gathered = self._gathered[:count], self._gathered[count:]
        if self._gathered:
            loop.call_soon(self._turn)
        for joined in self._joined(jobs):
            _tell(joined, self._answers(joined))

    def _run(self) -> None:
        for waiting in batches(self._queue, MOST):
            for jobs in self._joined(waiting):
                answers = self._answers(jobs)
                jobs[0].loop.call_soon_threadsafe(_tell, jobs, answers)

    def _joined(self, waiting: list[_Job]) -> list[list[_Job]]:
        if len(waiting) == 1 or not self.model.joins:
            return [[job] for job in waiting]
        if sum([job.rows for job in waiting]) <= ROWS and len({job.kind for job in waiting}) == 1:
            return [waiting]
        groups: dict[tuple[object, ...] | None, list[list[_Job]]] = {}
        for job in waiting:
            lots = groups.setdefault(job.kind, [[]])
            if lots[-1] and sum([each.rows for each in lots[-1]]) + job.rows > ROWS:
                lots.append([])
            lots[-1].append(job)
        return [jobs for lots in groups.values() for jobs in lots]

    def _answers(self, jobs: list[_Job]) -> Sequence[dict[str, Array] | Exception]:
        if len(jobs) == 1:
            return [self._one(jobs[0])]
        inputs = {name: np.concatenate([job.inputs[name] for job in jobs]) for name in jobs[0].inputs}
        try:
            found = self.model.run(inputs, jobs[0].outputs)
            rows = sum([job.rows for job in jobs])
            if any(len(array) != rows for array in found.values()):
                raise ValueError("the outputs do not have a row for each row of the inputs")
        except Exception:  # one of them may be at fault: the others must not pay for it
            return [self._one(job) for job in jobs]
        answers, end = [], 0
        for job in jobs:
            start, end = end, end + job.rows
            answers.append({name: array[start:end] for name, array in found.items()})
        return answers

    def _one(self, job: _Job) -> dict[str, Array] | Exception:
        try:
            return self.model.run(job.inputs, job.outputs)
        except Exception as error:
            return error


def _tell(jobs: list[_Job], answers: Sequence[dict[str, Array] | Exception]) -> None:
    """In the event loop: resolve, unless who asked has gone."""
    for job, answer in zip(jobs, answers, strict=True):
        if job.done.done():
            continue
        if isinstance(answer, Exception):
            job.done.set_exception(answer)
        else:
            job.done.set_result(answer)
