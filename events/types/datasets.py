"""Records of metadata, and data sets: defined, joined and left, complete."""

from __future__ import annotations

from events.types.base import Data, event_type


@event_type("dev.sluice.record.updated.v1")
class RecordUpdated(Data, frozen=True, kw_only=True):
    """A record of metadata changed: it was ``created``, ``edited`` or ``removed``. ``object`` is what it is about, if any."""

    id: str
    change: str
    object: str = ""


@event_type("dev.sluice.dataset.defined.v1")
class DatasetDefined(Data, frozen=True, kw_only=True):
    """A data set's filters changed: ``change`` is ``created``, ``edited`` or ``removed``."""

    id: str
    change: str


@event_type("dev.sluice.dataset.scanned.v1")
class DatasetScanned(Data, frozen=True, kw_only=True):
    """A data set's filters have been held against what was there before, as far as ``after`` among the resources of ``kind``.

    ``revision`` is that of the data set; a scan for an older one ends. The next page begins behind ``after``.
    """

    id: str
    revision: int
    kind: str
    after: int = 0


class MemberChange(Data, frozen=True, kw_only=True):
    """A change of membership. ``cursor`` rises from change to change; ``bucket`` and ``key`` are an object's, else empty."""

    dataset: str
    resource: str
    cursor: int
    bucket: str = ""
    key: str = ""
    group: str = ""


@event_type("dev.sluice.dataset.member.added.v1")
class DatasetMemberAdded(MemberChange, frozen=True, kw_only=True):
    """An object or record has become a member of a data set."""


@event_type("dev.sluice.dataset.member.removed.v1")
class DatasetMemberRemoved(MemberChange, frozen=True, kw_only=True):
    """An object or record is no longer a member of a data set."""


@event_type("dev.sluice.dataset.completed.v1")
class DatasetCompleted(Data, frozen=True, kw_only=True):
    """A group of a data set is complete, which is told once: by ``reason`` ``count``, ``members`` or ``quiet``.

    ``group`` is empty where the whole set is one. ``count`` members were there, of which ``cursor`` was the last change.
    """

    dataset: str
    reason: str
    count: int
    cursor: int
    group: str = ""
