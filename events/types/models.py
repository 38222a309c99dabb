"""What happens in model repositories."""

from __future__ import annotations

from typing import Any

from events.types.base import Data, event_type
from events.types.objects import ObjectVersion


class ModelVersion(Data, frozen=True, kw_only=True):
    """One version of a model in one repository; ``version`` counts from 1."""

    repository: str
    name: str
    version: int


@event_type("dev.sluice.model.submitted.v1")
class ModelSubmitted(ModelVersion, frozen=True, kw_only=True):
    """New content was uploaded to a model repository and got a number; it is checked and copied next.

    ``slow`` says that it was tried, and needs more time than others are made to wait for. ``metrics`` and ``datasets`` are what
    the uploader told: how good it is, and what it was trained on.
    """

    object: ObjectVersion
    digest: str
    format: str
    metadata: dict[str, Any] = {}
    slow: bool = False
    metrics: dict[str, float] = {}
    datasets: list[str] = []


class StoredModel(ModelVersion, frozen=True, kw_only=True):
    """A version in its own place; its sidecar is the object ``KEY.ALGORITHMasc`` beside it.

    ``digest`` reads ``algorithm:hex``; ``source`` is the upload it was made of (``s3://bucket/key``). ``metrics`` and
    ``datasets`` are what its uploader told.
    """

    bucket: str
    key: str
    etag: str
    digest: str
    size: int
    source: str = ""
    metadata: dict[str, Any] = {}
    metrics: dict[str, float] = {}
    datasets: list[str] = []


@event_type("dev.sluice.model.stored.v1")
class ModelStored(StoredModel, frozen=True, kw_only=True):
    """A version passed every check and lies in its own place, with its sidecar.

    ``upload`` is the digest by which the catalogue knows the same content.
    """

    upload: str = ""


@event_type("dev.sluice.model.published.v1")
class ModelPublished(StoredModel, frozen=True, kw_only=True):
    """A model repository has a new numbered version.

    Who is told of it gets a ``url`` to fetch it from without credentials until ``expires``.
    """

    url: str = ""
    expires: str = ""


@event_type("dev.sluice.model.adopted.v1")
class ModelAdopted(StoredModel, frozen=True, kw_only=True):
    """A version that an earlier lake published was verified in its bucket, and is to be this lake's own.

    ``upload`` is the digest by which the catalogue knows the same content; ``aliases`` are to mean the version.
    """

    upload: str
    aliases: list[str] = []


@event_type("dev.sluice.model.rejected.v1")
class ModelRejected(Data, frozen=True, kw_only=True):
    """What was uploaded to a repository is no usable model, or a version is no longer what was published; ``cause`` says why.

    ``version`` is 0 where none was given yet. ``wants`` is the object that an upload lacks, or that is wrong: it is tried again
    when that is there.
    """

    repository: str
    name: str
    bucket: str
    key: str
    cause: str
    version: int = 0
    etag: str = ""
    wants: str = ""


@event_type("dev.sluice.promotion.requested.v1")
class PromotionRequested(ModelVersion, frozen=True, kw_only=True):
    """Ask that an alias means this version; ``version`` 0 asks for the one it meant before (a rollback)."""

    alias: str = "champion"


@event_type("dev.sluice.model.promoted.v1")
class ModelPromoted(ModelVersion, frozen=True, kw_only=True):
    """An alias of a model means another version now. ``previous`` is the one before (0: none).

    The version is the object ``key`` of ``bucket``; who is told of it gets a ``url`` to fetch it from without credentials until
    ``expires``.
    """

    alias: str
    digest: str
    previous: int = 0
    bucket: str = ""
    key: str = ""
    url: str = ""
    expires: str = ""
