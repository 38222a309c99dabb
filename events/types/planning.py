"""Planning: what may run where, what a run showed of itself, and the plan made of both."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from events.types.base import Data, event_type

Count = Annotated[int, msgspec.Meta(ge=0)]
Positive = Annotated[int, msgspec.Meta(ge=1)]
Amount = Annotated[float, msgspec.Meta(ge=0)]
Share = Annotated[float, msgspec.Meta(gt=0)]


class WorkerSize(Data, frozen=True, kw_only=True):
    """A worker configuration a plan may choose. ``max_workers`` of them may run at once.

    ``deploy_s`` is what making the size available takes first, where it is a deployment of its own.
    """

    memory_mb: Positive
    vcpus: Share = 1.0
    max_workers: Positive = 1
    deploy_s: Amount = 0.0


class Interval(Data, frozen=True, kw_only=True):
    """A prediction and the bounds that nine runs in ten stay within."""

    value: float
    low: float
    high: float


class Wave(Data, frozen=True, kw_only=True):
    """One wave of a map, as its workers measured it; sums are over the workers, memory is the largest worker's.

    ``seconds`` is the wall time from submission to the last result, ``start`` what passed of it before the first worker began
    its first slice, ``wait_s`` how much later than that first one the others began. ``read_s`` is time in the object store,
    ``compute_s`` the rest of the wall time of the calls. ``bytes`` is what the slices cover, at least one a unit;
    ``slice_bytes`` the largest slice's, or that of the smallest that memory did not suffice for; ``base_mb`` a worker's memory
    before its first slice. A wave with ``failed`` calls teaches no duration; ``out_of_memory`` of them died of theirs.
    """

    workers: Positive
    slices: Count
    bytes: Count
    seconds: Amount
    memory_mb: Count = 0
    vcpus: Share = 1.0
    cores: Amount = 0.0
    start_s: Amount = 0.0
    wait_s: Amount = 0.0
    read_s: Amount = 0.0
    compute_s: Amount = 0.0
    cpu_s: Amount = 0.0
    bytes_read: Count = 0
    slice_bytes: Count = 0
    peak_mb: Amount = 0.0
    base_mb: Amount = 0.0
    cold: Count = 0
    failed: Count = 0
    out_of_memory: Count = 0

    @property
    def busy_s(self) -> float:
        """Seconds that workers were paid for: start, reading and computing of each of them."""
        return self.start_s * self.workers + self.read_s + self.compute_s


class WorkerRan(Data, frozen=True, kw_only=True):
    """What one worker of a map did, as it measured it itself; only slices whose result was taken count.

    Its size, its ``slices`` and their ``bytes``; ``wait_s`` from submission to its first slice, ``cold`` if a container
    had to start; time reading, computing and writing, CPU time, bytes moved in the object store and on disks, and
    peak memory. ``retries`` of its slices had been tried before; ``lost`` says that it died or was given up.
    """

    wave: Count
    memory_mb: Count = 0
    vcpus: Share = 1.0
    slices: Count = 0
    bytes: Count = 0
    wait_s: Amount = 0.0
    read_s: Amount = 0.0
    compute_s: Amount = 0.0
    write_s: Amount = 0.0
    cpu_s: Amount = 0.0
    bytes_read: Count = 0
    bytes_written: Count = 0
    disk_read: Count = 0
    disk_written: Count = 0
    peak_mb: Amount = 0.0
    retries: Count = 0
    cold: bool = False
    lost: bool = False


@event_type("dev.sluice.task.executed.v1")
class TaskExecuted(Data, frozen=True, kw_only=True):
    """A map ran. ``run`` is unique to it: a repetition of this event counts once. ``predicted_s`` is 0 without a prediction.

    ``task`` is the function's name, ``code`` a hash of its code; ``finished`` is RFC 3339. ``ran`` tells of each worker, of the
    first thousand.
    """

    run: str
    task: str
    finished: str
    waves: list[Wave]
    code: str = ""
    format: str = ""
    backend: str = ""
    image: str = ""
    seconds: float = 0.0
    predicted_s: float = 0.0
    cost: float = 0.0
    predicted_cost: float = 0.0
    error: str = ""
    ran: list[WorkerRan] = []


@event_type("dev.sluice.profile.updated.v1")
class ProfileUpdated(Data, frozen=True, kw_only=True):
    """A run was folded into its task's profile. ``throughput`` is bytes a second of this run, end to end.

    ``error`` is this run's predicted over measured time less one (absent without a prediction), ``median_error`` the median
    of its size over the ``runs`` remembered.
    """

    key: str
    run: str
    task: str
    code: str = ""
    format: str = ""
    backend: str = ""
    image: str = ""
    runs: int = 0
    throughput: float = 0.0
    error: float | None = None
    median_error: float | None = None


@event_type("dev.sluice.plan.requested.v1")
class PlanRequested(Data, frozen=True, kw_only=True):
    """Ask how to run a task over a data set: ``objects`` (``s3://bucket/key``) or the fields of a catalogue ``query``.

    ``workers``, ``memory_mb`` and ``slices`` (over all objects) are constraints where they are not 0; ``sizes`` and ``cores``
    (vCPUs of the whole cluster, 0 = no limit) replace the configured ones. ``measured`` are waves of this very map that ran
    already, so that what is left can be planned from them; ``done`` is the part of the bytes, 0 to 1, that they did.

    ``image`` is what the workers run in, as far as it matters to the task's speed. ``objective`` is ``time``, ``cost``,
    ``balanced`` or weights (``time=3,cost=1``). ``before_s`` and ``before_cost`` are what ingesting, indexing or partitioning
    takes first: part of the prediction and of the deadline.
    """

    task: str
    code: str = ""
    backend: str = ""
    image: str = ""
    objects: list[str] = []
    query: dict[str, Any] = {}
    objective: str = "balanced"
    deadline_s: float | None = None
    sizes: list[WorkerSize] = []
    cores: float | None = None
    workers: int = 0
    memory_mb: int = 0
    slices: int = 0
    measured: list[Wave] = []
    done: float = 0.0
    before_s: Amount = 0.0
    before_cost: Amount = 0.0


class Choice(Data, frozen=True, kw_only=True):
    """One way to run the task, with the predicted wall time and cost."""

    workers: int
    memory_mb: int
    vcpus: float
    slices: int
    time_s: float
    cost: float


class Discarded(Data, frozen=True, kw_only=True):
    """Configurations that were not chosen for one ``reason`` (``memory``, ``deadline``, ``beaten``), and the nearest of them.

    ``beaten`` ones are both slower and dearer than another.
    """

    reason: str
    count: int
    nearest: Choice


class PlannedObject(Data, frozen=True, kw_only=True):
    """One object of a plan: which version, and into how many of its ``units`` it is cut. ``index`` as in the catalogue."""

    bucket: str
    key: str
    etag: str
    size: int
    format: str
    slices: int
    units: int = 1
    index: str = ""


@event_type("dev.sluice.plan.ready.v1")
class PlanReady(Data, frozen=True, kw_only=True):
    """How to run a task. ``basis`` is ``profile`` (of ``runs`` runs), ``probe`` (waves of this map), ``none``, or
    ``unplanned`` (no planner answered; a map ran all the same).

    Without a basis nothing is predicted, and whoever runs the plan should measure a first wave and ask again. ``feasible``
    is false when no configuration keeps the deadline by the upper bound of its time, or the memory; the plan is then the best
    there is. Without a basis it is false when no task could keep the deadline. ``sure`` says that 99 runs in 100 should keep it
    (true without one, false without a basis for it). Cost is in the unit of the configured prices.

    ``probe`` are the slices of that first wave, one worker each: 1 is one of the planned slices, 4 a quarter of one, so that
    two or three sizes are measured. Otherwise slices are dealt out largest first to whichever worker has least, which gives
    each at most ``slices_per_worker``. ``scale_out`` and ``scale_up`` are the best plans with the smallest and with the largest
    workers, where there is a choice.
    """

    task: str
    basis: str
    workers: int
    memory_mb: int
    vcpus: float
    slices: int
    bytes: int
    objects: list[PlannedObject]
    explanation: str
    objective: str = "balanced"
    code: str = ""
    format: str = ""
    backend: str = ""
    image: str = ""
    runs: int = 0
    feasible: bool = True
    sure: bool = True
    deadline_s: float | None = None
    time_s: Interval | None = None
    cost: Interval | None = None
    peak_mb: Interval | None = None
    front: list[Choice] = []
    probe: list[int] = []
    slices_per_worker: int = 0
    discarded: list[Discarded] = []
    scale_out: Choice | None = None
    scale_up: Choice | None = None
