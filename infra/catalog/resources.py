"""The catalogue's resources as the outside sees them: JSON with names in kebab case.

Times are RFC 3339 in UTC. ``revision`` counts the changes of a resource; an edit may ask for one (If-Match).
"""

from __future__ import annotations

import hashlib
import uuid
from typing import Any, Literal

import msgspec

from infra.catalog.acl import Acl

#: The languages of stored filters; without one a text is CQL2 text.
Language = Literal["", "cql2-text", "cql2-json", "cimi"]
State = Literal["NEW", "UPLOADING", "READY", "EXPIRED", "FAILED", "REMOVED"]
_NAMESPACE = uuid.UUID("6b8b4567-327b-43c6-9869-74b0dc51a3f1")


class Resource(msgspec.Struct, kw_only=True, rename="kebab", tag_field="resource-type"):
    """What every resource has. The server sets ``id``, ``created``, ``updated`` and ``revision``; ``acl`` unless given."""

    id: str = ""
    created: str = ""
    updated: str = ""
    revision: int = 0
    acl: Acl = Acl()
    name: str = ""
    description: str = ""
    tags: list[str] = []


class Described(Resource, kw_only=True, rename="kebab", tag_field="resource-type"):
    """What objects and records share: open attributes, a place (GeoJSON geometry) and a time or an interval."""

    content_type: str = ""
    metadata: dict[str, Any] = {}
    geometry: dict[str, Any] | None = None
    timestamp: str = ""
    timestamp_end: str = ""


class DataObject(Described, kw_only=True, rename="kebab", tag_field="resource-type", tag="data-object"):
    """The proxy of one object in a bucket of a provider (``""``: the lake's own store; else buckets are ``PROVIDER:BUCKET``).

    ``digest`` is the lake's own, ``digests`` further ones, by algorithm (``sha256``, ``crc32c`` ...), ``claims`` those that
    what is uploaded next shall have, ``expires`` when an upload that has not ended is given up, ``cause`` why it failed.
    """

    provider: str = ""
    bucket: str = ""
    key: str = ""
    state: State = "NEW"
    bytes: int = 0
    format: str = ""
    etag: str = ""
    version: str = ""
    digest: str = ""
    digests: dict[str, str] = {}
    claims: dict[str, str] = {}
    modified: str = ""
    user: dict[str, str] = {}
    index: str = ""
    cause: str = ""
    expires: str = ""
    upload: str = ""


class DataRecord(Described, kw_only=True, rename="kebab", tag_field="resource-type", tag="data-record"):
    """Metadata of a user, on an object (its id in ``object``) or on its own. ``metadata`` has names like ``prefix:key``."""

    object: str = ""


class Completeness(msgspec.Struct, kw_only=True, rename="kebab", omit_defaults=True, forbid_unknown_fields=True):
    """When a group of members is complete: after ``count`` members, when all ``members`` are there (by the value at
    ``member-by``), or when for ``quiet-s`` seconds none came. ``group-by`` is the path whose value names the group; without it
    the whole set is one.
    """

    group_by: str = ""
    count: int = 0
    members: list[str] = []
    member_by: str = "key"
    quiet_s: float = 0.0


class DataSet(Resource, kw_only=True, rename="kebab", tag_field="resource-type", tag="data-set"):
    """Filters over objects and records: CQL2-JSON, or a text in ``filter_lang``; ``None`` has no members of that kind."""

    object_filter: str | dict[str, Any] | None = None
    record_filter: str | dict[str, Any] | None = None
    filter_lang: Language = ""
    complete: Completeness | None = None


class Binding(Resource, kw_only=True, rename="kebab", tag_field="resource-type", tag="binding"):
    """The function that starts by itself for objects that match every condition given.

    One of ``content_types`` (``*`` matches any text), one of ``formats``, a key that begins with ``prefix`` (or with
    ``s3://BUCKET/PREFIX``), a ``filter`` (in ``filter_lang``). It only sees objects that an owner of the binding may view.
    """

    content_types: list[str] = []
    formats: list[str] = []
    prefix: str = ""
    function: str = ""
    parameters: dict[str, Any] = {}
    enabled: bool = True
    filter: str = ""
    filter_lang: Language = ""


class Prefix(Resource, kw_only=True, rename="kebab", tag_field="resource-type", tag="prefix"):
    """A prefix of metadata names, and the URI of whoever defines them."""

    prefix: str = ""
    uri: str = ""


class Key(Resource, kw_only=True, rename="kebab", tag_field="resource-type", tag="key"):
    """A metadata name (``prefix:key``, or a path such as ``wcs.ctype``): its type, and whether an index is kept for it.

    ``kind`` is whose metadata (``data-object``, ``data-record``). ``index`` is ``none``, ``building``, ``ready`` or ``failed``.
    """

    key: str = ""
    kind: Literal["data-object", "data-record"] = "data-object"
    type: Literal["string", "number", "boolean", "time", "any"] = "any"
    unit: str = ""
    queryable: bool = False
    index: Literal["none", "building", "ready", "failed"] = "none"


class Provider(Resource, kw_only=True, rename="kebab", tag_field="resource-type", tag="provider"):
    """An object store, whose buckets are written ``PROVIDER:BUCKET``; who may view it may make objects there.

    ``credential`` names the keys to it in each machine's configuration (``sluice.credentials``): the catalogue has none.
    ``source`` is how the sources of its notifications read (``*`` matches any text). One that is ``configured`` is what
    ``sluice.providers`` says; ``default`` is the lake's own store.
    """

    provider: str = ""
    endpoint: str = ""
    region: str = "us-east-1"
    credential: str = ""
    source: str = ""
    configured: bool = False


KINDS: dict[str, type[Resource]] = {
    "data-object": DataObject, "data-record": DataRecord, "data-set": DataSet, "binding": Binding,
    "prefix": Prefix, "key": Key, "provider": Provider,
}  # fmt: skip


def object_id(bucket: str, key: str) -> str:
    """The id of an object: the same for everybody who names it, so that a notification and an upload meet on one row."""
    made = bytearray(hashlib.sha1(_NAMESPACE.bytes + f"{bucket}/{key}".encode(), usedforsecurity=False).digest()[:16])
    made[6], made[8] = made[6] & 0x0F | 0x50, made[8] & 0x3F | 0x80
    text = made.hex()  # uuid.uuid5 of the two, for a third of the work: each object that is imported needs one
    return f"data-object/{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def provider_id(name: str) -> str:
    """The id of a provider."""
    return f"provider/{uuid.uuid5(uuid.NAMESPACE_URL, '/' + name)}"


def kind_of(id: str) -> str:
    """``data-record`` of ``data-record/…``; ``""`` if there is no such kind."""
    kind = id.partition("/")[0]
    return kind if kind in KINDS else ""
