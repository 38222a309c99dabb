"""The data of every event type: one Struct each, from which JSON Schemas and the AsyncAPI document are generated.

Incoming S3 changes keep the CloudEvents adapter's form (one element of ``Records``, see ``events/s3.py``). Ours are called
``dev.sluice.<noun>.<past tense>.v1``. Sizes are bytes, times RFC 3339, durations seconds, memory MB (10^6 bytes).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, TypeVar

import msgspec

S3_CREATED = "com.amazonaws.s3.ObjectCreated:*"
S3_REMOVED = "com.amazonaws.s3.ObjectRemoved:*"

#: Event type name -> Struct of its data. Filled by ``@event_type``.
TYPES: dict[str, type[msgspec.Struct]] = {}
S = TypeVar("S", bound=type[msgspec.Struct])


def event_type(name: str) -> Callable[[S], S]:
    """Give the Struct below it the event type ``name`` and enter it in ``TYPES``."""

    def enter(kind: S) -> S:
        kind.__event_type__ = name  # type: ignore[attr-defined]
        TYPES[name] = kind
        return kind

    return enter


class Data(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Base of all event data: immutable, by keyword, defaults left out on the wire."""


class S3Bucket(Data, frozen=True, kw_only=True):
    """The bucket of an S3 record."""

    name: str


class S3Object(Data, frozen=True, kw_only=True):
    """The object of an S3 record; ``key`` is decoded, whatever encoding its store uses on the wire."""

    key: str
    size: int = 0
    eTag: str = ""
    versionId: str = ""
    sequencer: str = ""


class S3Entity(Data, frozen=True, kw_only=True):
    """The ``s3`` part of an S3 record."""

    bucket: S3Bucket
    object: S3Object


class S3Record(Data, frozen=True, kw_only=True):
    """One S3 change as its notification told it. Read it with ``event.read(S3Record)``."""

    eventName: str
    eventTime: str
    s3: S3Entity


class ObjectVersion(Data, frozen=True, kw_only=True):
    """One version of one object: what identifies it, and where it stands in its key's order of changes.

    ``sequence`` compares as text within one key: the later change has the greater one (see ``events/s3.py``).
    """

    bucket: str
    key: str
    etag: str = ""
    size: int = 0
    version: str = ""
    sequence: str = ""
    modified: str = ""


@event_type("dev.sluice.object.ingested.v1")
class ObjectIngested(ObjectVersion, frozen=True, kw_only=True):
    """An object was read once, hashed, and its format recognised from its content.

    ``digest`` reads ``algorithm:hex``. ``scan`` is what the format noted on the way (see ``functions/formats``).
    """

    digest: str
    format: str
    content_type: str = "application/octet-stream"
    user: dict[str, str] = {}
    scan: dict[str, Any] = {}


@event_type("dev.sluice.metadata.extracted.v1")
class MetadataExtracted(ObjectVersion, frozen=True, kw_only=True):
    """An object was described. ``index`` is the key of its slice index in the lake's own bucket, empty if it has none."""

    digest: str
    format: str
    content_type: str
    metadata: dict[str, Any] = {}
    user: dict[str, str] = {}
    index: str = ""


@event_type("dev.sluice.catalog.updated.v1")
class CatalogUpdated(ObjectVersion, frozen=True, kw_only=True):
    """The catalogue's entry of an object changed. ``change`` is ``upserted``, ``removed`` or ``failed``."""

    change: str
    digest: str = ""
    format: str = ""
    metadata: dict[str, Any] = {}


@event_type("dev.sluice.index.retired.v1")
class IndexRetired(Data, frozen=True, kw_only=True):
    """Nothing in the catalogue names the slice index ``index`` (a key in the lake's own bucket) of an object any more."""

    bucket: str
    key: str
    index: str


@event_type("dev.sluice.model.published.v1")
class ModelPublished(Data, frozen=True, kw_only=True):
    """A model repository has a new numbered version."""

    repository: str
    name: str
    version: int
    bucket: str
    key: str
    etag: str
    digest: str
    size: int
    metadata: dict[str, Any] = {}


@event_type("dev.sluice.delivery.failed.v1")
class DeliveryFailed(Data, frozen=True, kw_only=True):
    """An event became a dead letter: function ``function`` will not see it again unless somebody replays it."""

    event: str
    type: str
    function: str
    cause: str
    attempts: int
    object: ObjectVersion | None = None


# Planning: what may run where, what a run showed of itself, and the plan made of both.


Count = Annotated[int, msgspec.Meta(ge=0)]
Positive = Annotated[int, msgspec.Meta(ge=1)]
Amount = Annotated[float, msgspec.Meta(ge=0)]
Share = Annotated[float, msgspec.Meta(gt=0)]


class WorkerSize(Data, frozen=True, kw_only=True):
    """A worker configuration a plan may choose. ``max_workers`` of them may run at once."""

    memory_mb: Positive
    vcpus: Share = 1.0
    max_workers: Positive = 1


class Interval(Data, frozen=True, kw_only=True):
    """A prediction and the bounds that nine runs in ten stay within."""

    value: float
    low: float
    high: float


class Wave(Data, frozen=True, kw_only=True):
    """One wave of a map, as its workers measured it; sums are over the workers, memory is the largest worker's.

    ``seconds`` is the wall time from submission to the last result, ``start`` what passed of it before the first worker began
    its first slice, ``wait_s`` how much later than that first one the others began. ``read_s`` is time in the object store,
    ``compute_s`` the rest of the wall time of the calls. ``slice_bytes`` is the largest slice's size; ``base_mb`` a worker's
    memory before its first slice. A wave with ``failed`` calls teaches no duration.
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

    @property
    def busy_s(self) -> float:
        """Seconds that workers were paid for: start, reading and computing of each of them."""
        return self.start_s * self.workers + self.read_s + self.compute_s


@event_type("dev.sluice.task.executed.v1")
class TaskExecuted(Data, frozen=True, kw_only=True):
    """A map ran. ``run`` is unique to it: a repetition of this event counts once. ``predicted_s`` is 0 without a prediction.

    ``task`` is the function's name, ``code`` a hash of its code; ``finished`` is RFC 3339.
    """

    run: str
    task: str
    finished: str
    waves: list[Wave]
    code: str = ""
    format: str = ""
    backend: str = ""
    seconds: float = 0.0
    predicted_s: float = 0.0
    cost: float = 0.0
    predicted_cost: float = 0.0
    error: str = ""


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
    """

    task: str
    code: str = ""
    backend: str = ""
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


class Choice(Data, frozen=True, kw_only=True):
    """One way to run the task, with the predicted wall time and cost."""

    workers: int
    memory_mb: int
    vcpus: float
    slices: int
    time_s: float
    cost: float


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
    is false when no configuration keeps the deadline or the memory; the plan is then the best there is. Cost is in the unit
    of the configured prices.
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
    runs: int = 0
    feasible: bool = True
    deadline_s: float | None = None
    time_s: Interval | None = None
    cost: Interval | None = None
    peak_mb: Interval | None = None
    front: list[Choice] = []
