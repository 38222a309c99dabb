"""The ports: what a function may ask the world for. Each is a small Protocol; ``infra`` wires the backend by its type.

A port's writes belong to the event being handled: they commit with its inbox mark and its outgoing events, or not at all.
The object store is the exception (no store has transactions): what a function writes there, a repetition writes again alike.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import msgspec

from events.types import (
    DatasetCompleted,
    DatasetMemberAdded,
    DatasetMemberRemoved,
    DatasetScanned,
    OntologyChecked,
    Triple,
    WorkerSize,
)


class ObjectInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What a store says of an object. ``modified`` is RFC 3339; ``user`` is the user metadata, without ``x-amz-meta-``.

    ``digests`` are those that the store keeps of the whole object, hexadecimal, by algorithm (``sha256``, ``crc32c`` ...).
    """

    bucket: str
    key: str
    size: int
    etag: str
    modified: str = ""
    version: str = ""
    content_type: str = "application/octet-stream"
    user: dict[str, str] = {}
    digests: dict[str, str] = {}


class NotFound(LookupError):
    """The object, entry or version asked for does not exist (any more)."""


class Changed(LookupError):
    """The object is no longer the version asked for: its ETag differs (HTTP 412)."""


@runtime_checkable
class ObjectStore(Protocol):
    """Buckets of objects. Raises ``NotFound``, ``Changed``, or ``events.errors.Retry`` where the store cannot be reached."""

    def head(self, bucket: str, key: str, *, version: str = "") -> ObjectInfo: ...

    def read(self, bucket: str, key: str, start: int, end: int, *, etag: str = "") -> bytes:
        """Bytes ``start`` to ``end`` (exclusive, cut at the object's end); refused unless it still has ``etag``."""
        ...

    def stream(self, bucket: str, key: str, *, etag: str = "") -> Generator[bytes, None, None]:
        """The whole object in chunks; the connection is closed when the generator is."""
        ...

    def write(self, bucket: str, key: str, data: bytes, *, content_type: str = "application/octet-stream") -> ObjectInfo: ...

    def upload(self, bucket: str, key: str, file: Path, *, content_type: str, user: dict[str, str]) -> ObjectInfo:
        """Write a file of any size, with user metadata (ASCII)."""
        ...

    def delete(self, bucket: str, key: str) -> None:
        """Remove it; removing what is not there is no error."""
        ...

    def list(self, bucket: str, prefix: str = "") -> Iterator[ObjectInfo]: ...


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """The catalogue's memory of one object. ``state`` is ``ready``, ``failed`` (see ``cause``) or ``removed`` (a tombstone)."""

    bucket: str
    key: str
    state: str = "ready"
    etag: str = ""
    size: int = 0
    version: str = ""
    sequence: str = ""
    modified: str = ""
    digest: str = ""
    digests: dict[str, str] = {}
    format: str = ""
    content_type: str = ""
    metadata: dict[str, Any] = {}
    user: dict[str, str] = {}
    index: str = ""
    cause: str = ""
    updated: str = ""


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """A first search: every field given must match. ``name`` is a glob over the key; ``where`` compares metadata by path.

    ``where`` maps ``path`` or ``path>=``, ``path<=``, ``path>``, ``path<``, ``path!=`` to a value, e.g. ``{"rows>=": 100}``.
    ``after`` is the ``bucket/key`` to continue behind; results come sorted by bucket and key.
    """

    bucket: str = ""
    prefix: str = ""
    name: str = ""
    format: str = ""
    state: str = ""
    since: str = ""
    until: str = ""
    where: dict[str, Any] = {}
    limit: int = 100
    after: str = ""


@runtime_checkable
class Catalog(Protocol):
    """The catalogue: one entry an object. An older change (by ``sequence``) never replaces a newer one."""

    def upsert(self, entry: Entry) -> bool:
        """Store the entry; ``False`` and nothing done when what is there is newer."""
        ...

    def get(self, bucket: str, key: str) -> Entry | None:
        """The entry, tombstones included, or ``None``."""
        ...

    def search(self, query: Query) -> list[Entry]:
        """Entries that match, without tombstones unless ``query.state`` asks for them."""
        ...


@runtime_checkable
class Profiles(Protocol):
    """What earlier maps taught: a JSON document a key (task x format x backend), kept by ``functions/planner``."""

    def get(self, key: str) -> dict[str, Any] | None: ...

    def put(self, key: str, profile: dict[str, Any]) -> None: ...

    def keys(self, prefix: str = "") -> list[str]: ...


@runtime_checkable
class Series(Protocol):
    """The time series: points of a metric and its tags."""

    def record(self, metric: str, tags: dict[str, str], time: datetime, value: float) -> None:
        """Keep a point; it replaces the one of that series and millisecond. Raises ``Reject`` for a point no store takes."""
        ...


class GraphChange(msgspec.Struct, frozen=True, kw_only=True):
    """What changes in one named graph (an IRI without brackets). With ``replace``, nothing that was there before stays.

    Triples have no blank nodes: what has no name is given one.
    """

    graph: str
    remove: Sequence[Triple] = ()
    add: Sequence[Triple] = ()
    replace: bool = False


class Solutions(msgspec.Struct, frozen=True):
    """The answer to SELECT: for each row the N-Triples terms of the ``variables``, ``None`` where one is not bound."""

    variables: list[str]
    rows: list[list[str | None]]


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What reasoners say of an ontology: subclass axioms that follow, classes nothing can be in, why it contradicts itself."""

    inferred: list[Triple] = []
    unsatisfiable: list[str] = []
    inconsistent: str = ""


@runtime_checkable
class OntologyChecker(Protocol):
    """Description logic reasoners."""

    def check(self, triples: Sequence[Triple]) -> Verdict:
        """Classify an ontology. Raises ``Reject`` where that cannot be done, with what to do about it."""
        ...


@runtime_checkable
class Ontologies(Protocol):
    """The versions of the ontology."""

    def activate(self, checked: OntologyChecked) -> int:
        """Make it the active one; its number."""
        ...


@runtime_checkable
class GraphStore(Protocol):
    """Named graphs of triples, asked in SPARQL 1.1."""

    def change(self, changes: Sequence[GraphChange]) -> None:
        """Make these changes together or not at all; in a graph, removals come first. To repeat them changes nothing."""
        ...

    def query(self, sparql: str, default: Sequence[str] = (), named: Sequence[str] = ()) -> Solutions | bool | list[Triple]:
        """The answer to SELECT, ASK, or CONSTRUCT and DESCRIBE, over these graphs or those that the query names, or else over
        the present: state, what is inferred, and the ontology. Raises ``Reject`` for what is no query or takes too much.
        """
        ...

    def graphs(self) -> list[str]:
        """The graphs that have triples, sorted."""
        ...


@runtime_checkable
class Vocabulary(Protocol):
    """The terms of the active ontology, as N-Triples terms."""

    def is_class(self, term: str) -> bool: ...

    def is_property(self, term: str) -> bool: ...


class Change(msgspec.Struct, frozen=True):
    """What has become true by inference, and what does not follow any more."""

    gained: list[Triple] = []
    lost: list[Triple] = []


@runtime_checkable
class Facts(Protocol):
    """What is known of the world: its present state, what follows from that, and what was observed.

    The state is kept by topic. What is said of one replaces what was said of it before, unless that was of a later ``order``.
    """

    def put(self, topic: str, order: str, triples: Sequence[Triple], evidence: Sequence[Triple] = ()) -> Change | None:
        """Change the state, and all that follows from it; ``None`` and nothing done when the state is of a later order.

        ``evidence`` is kept with the state, and nothing is inferred of it.
        """
        ...

    def renew(self, ontology: Sequence[Triple]) -> Change:
        """What another ontology makes of the state, in the transaction that activates it, before it does."""
        ...

    def describe(self, topic: str, order: str, triples: Sequence[Triple]) -> bool:
        """As ``put``, for what nothing is to be inferred of; whether it was taken."""
        ...

    def observe(self, time: datetime, triples: Sequence[Triple]) -> None:
        """Keep an observation, with those of its minute."""
        ...


#: What can happen to a data set.
SetChange = DatasetMemberAdded | DatasetMemberRemoved | DatasetCompleted


@runtime_checkable
class DataSets(Protocol):
    """Who is a member of which data set. Each method returns what has changed: the data of the events that tell of it.

    ``cause`` is the key of the event at hand, which the log of memberships remembers.
    """

    def place(self, resource: str, cause: str) -> list[SetChange]:
        """Hold a resource, as it is now, against every data set."""
        ...

    def place_object(self, bucket: str, key: str, cause: str) -> list[SetChange]:
        """The same for an object."""
        ...

    def define(self, id: str, cause: str) -> DatasetScanned | None:
        """Take note of a new, changed or removed data set; the beginning of its scan."""
        ...

    def scan(self, page: DatasetScanned, cause: str) -> tuple[list[SetChange], DatasetScanned | None]:
        """Hold a data set against the next resources that were there before; how to go on, ``None`` at the end."""
        ...


@runtime_checkable
class Stopping(Protocol):
    """Whether this process is about to end. A function that asks for it may take minutes: it runs beside all others, for one
    event at a time, and raises ``Retry`` soon after it is told. Nor is it run to find out what a replay would do.
    """

    def is_set(self) -> bool: ...


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What functions may know of the configuration (``sluice:`` in ``lithops_config.yaml``).

    ``workers`` are the worker sizes that plans may choose, ``cores`` the vCPUs of the whole cluster (0 = no limit).
    ``announce`` are the classes and properties (N-Triples terms) of which it is told what becomes one, or is one no more.
    """

    bucket: str = "sluice"
    digest: str = "blake3"
    workers: list[WorkerSize] = []
    cores: float = 0.0
    price_per_gb_s: float = 0.0
    price_per_request: float = 0.0
    ontologies: str = "s3://ontologies/"
    announce: list[str] = []
