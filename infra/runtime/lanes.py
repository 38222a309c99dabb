"""Jobs of an executor: started, looked after, ended. On this machine more than one of them at a time."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from typing import Any

from infra.runtime import capacity
from infra.runtime.failure import contained
from infra.runtime.journal import Journal, alive
from infra.runtime.lithops_folder import ALWAYS, JOBS_PREFIX, FunctionExecutor
from infra.runtime.measure import Worker

#: Seconds that a call may take to end once all of its slices are answered.
FINISH_S = 5.0
#: Lithops stops a job that runs if it is told of an exception.
STOPPED = RuntimeError("nobody waits for it")


@dataclass(frozen=True)
class Options:
    """What a planned map hands on to Lithops; ``chunksize`` is the most slices of one worker."""

    runtime_memory: int | None = None
    timeout: int | None = None
    chunksize: int = 0
    extra_env: dict[str, str] = field(default_factory=dict)
    include_modules: list[str] | None = None
    exclude_modules: list[str] = field(default_factory=list)


def options_of(given: Mapping[str, Any], memory: int | None) -> Options:
    """What of the arguments of Lithops' own ``map`` is for it, with this memory."""
    return Options(
        runtime_memory=memory,
        timeout=given.get("timeout"),
        chunksize=given.get("chunksize") or 0,
        extra_env=given.get("extra_env") or {},
        include_modules=given.get("include_modules") or None,
        exclude_modules=given.get("exclude_modules") or [],
    )


class Lanes:
    """The jobs of ``own``. ``another`` makes a further executor like it, ``environment`` is what every worker gets."""

    def __init__(self, own: Any, another: Callable[[], Any], environment: dict[str, str]) -> None:
        self._own, self._another, self._environment = own, another, environment
        self.local = own.mode == "localhost"
        #: Seconds between two looks at what has happened, and between two objects of a worker's answers.
        self.pause = 0.05 if own.config["lithops"]["storage"] == "localhost" else 1.0
        self._lanes: list[Any] = [own]
        self._calls: list[tuple[Any, Any]] = []

    def place(self, run: str) -> tuple[str, str]:
        """Bucket and prefix of the journal of a map."""
        return self._own.storage.bucket, f"{JOBS_PREFIX}/{self._own.executor_id}/{run}"

    def journal(self, run: str) -> Journal:
        """A new journal, of a map."""
        journal = Journal(self._own.storage, *self.place(run))
        journal.begin()
        return journal

    def submit(self, work: Any, calls: Sequence[tuple[Any, ...]], options: Options, memory: int | None) -> list[Any]:
        """Start a worker for each call."""
        lane, most = self._lane(), capacity.MOST_CALLS.get(self._own.backend) or max(len(calls), 1)
        futures: list[Any] = []
        for first in range(0, len(calls), most):
            futures += FunctionExecutor.map(
                lane,
                work,
                list(calls[first : first + most]),
                extra_env={**self._environment, **options.extra_env},
                runtime_memory=memory if capacity.heeds_memory(self._own.backend) else None,
                timeout=options.timeout,
                include_modules=options.include_modules,
                exclude_modules=options.exclude_modules,
            )
        ours = set(map(id, futures))  # get_result() without arguments is about the user's own
        lane.futures = [future for future in lane.futures if id(future) not in ours]
        self._calls += [(future, lane) for future in futures]
        return futures

    def poll(self, futures: Sequence[Any]) -> dict[int, BaseException | None]:
        """Those of these calls that have ended, by their ``id``, and what they died of."""
        ended: dict[int, BaseException | None] = {}
        for lane, own in self._by_lane(futures):
            done, _ = FunctionExecutor.wait(
                lane, own, throw_except=False, return_when=ALWAYS, download_results=True, show_progressbar=False
            )
            for future in done:
                try:
                    with contained() if future.error else nullcontext():  # the worker's error, or a Ctrl-C of the caller
                        future.result(internal_storage=lane.internal_storage)
                    ended[id(future)] = None
                except Exception as error:
                    ended[id(future)] = error
        return ended

    def finish(self, futures: Sequence[Any]) -> None:
        """Wait until calls that have done their work have ended, but not for long."""
        left, end = list(futures), time.monotonic() + FINISH_S
        while left and time.monotonic() < end:
            ended = self.poll(left)
            left = [future for future in left if id(future) not in ended]
            if left:
                time.sleep(self.pause)
        for lane, own in self._by_lane(left):
            lane.job_monitor.remove(own)

    def stop(self, workers: Sequence[Worker]) -> None:
        """End workers that nobody waits for any more, where the back end can: on this machine and on Kubernetes."""
        for lane, own in self._by_lane([worker.future for worker in workers]):
            lane.job_monitor.remove(own)
            if self.local or self._own.backend == "k8s":
                lane.compute_handler.clear({future.job_key for future in own}, exception=STOPPED)
        for worker in workers if self.local else ():
            if worker.began is not None and alive(worker.began):  # the job's own process had been killed
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(worker.began.pid, signal.SIGKILL)

    def _lane(self) -> Any:
        """A Lithops executor that can start a job now: on this machine one runs its jobs one after the other."""
        if not self.local:
            return self._own
        for lane in self._lanes:
            if not any(one is lane and not future.done for future, one in self._calls):
                return lane
        self._lanes.append(self._another())
        return self._lanes[-1]

    def _by_lane(self, futures: Sequence[Any]) -> list[tuple[Any, list[Any]]]:
        asked = set(map(id, futures))
        found = [(lane, [each for each, one in self._calls if one is lane and id(each) in asked]) for lane in self._lanes]
        return [(lane, own) for lane, own in found if own]

    def close(self) -> None:
        """Stop what still runs and remove what the jobs left in Lithops' storage."""
        storage = self._own.storage
        for lane in self._lanes:
            FunctionExecutor.__exit__(lane, None, None, None)
            for prefix in (f"{JOBS_PREFIX}/{lane.executor_id}-", f"{JOBS_PREFIX}/{lane.executor_id}/"):
                if keys := storage.list_keys(storage.bucket, prefix):
                    storage.delete_objects(storage.bucket, keys)
