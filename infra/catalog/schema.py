"""The catalogue's tables, once for SQLite and PostgreSQL.

Statements are built from these and compiled to text (``database.py``). What one database has and the other has not (full text,
boxes, JSON indexes) is in the migrations. JSON is text in SQLite and JSONB in PostgreSQL; moments are milliseconds since 1970,
but ``modified``, which is what a store said, stays RFC 3339 text in UTC with microseconds, whose order is time order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Double,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
)
from sqlalchemy.dialects.postgresql import JSONB

metadata = MetaData()
#: Text is ordered by its UTF-8, whatever the database was set up with.
String = Text().with_variant(Text(collation="C"), "postgresql")
#: An integer that both databases can count up by themselves as a primary key.
Number = BigInteger().with_variant(Integer, "sqlite")
Document = JSON().with_variant(JSONB, "postgresql")


def _text(name: str, **more: Any) -> Column[Any]:
    return Column(name, String, nullable=False, server_default="", **more)


def _moment(name: str, **more: Any) -> Column[Any]:
    return Column(name, BigInteger, info={"moment": True}, **more)


def _document(name: str, empty: str = "{}") -> Column[Any]:
    return Column(name, Document, nullable=False, server_default=empty)


def _resource(name: str, *columns: Any, first: Sequence[Any] = ()) -> Table:
    """A kind of resource. ``n`` rises with time; ``acl`` is the number of its access list in ``acl``.

    What many questions read comes ``first``: a database finds a column of a row by going through those before it.
    """
    return Table(
        name,
        metadata,
        Column("n", Number, primary_key=True),
        Column("id", String, nullable=False, unique=True),
        Column("acl", Integer, nullable=False),
        *first,
        _moment("created", nullable=False),
        _moment("updated", nullable=False),
        Column("revision", Integer, nullable=False, server_default="1"),
        _text("name"),
        _text("description"),
        _document("tags", "[]"),
        *columns,
    )


def _place() -> tuple[Column[Any], ...]:
    """Time and bounds: see ``_described``."""
    return (
        _moment("t", nullable=False),
        _moment("told"),
        _moment("t_end"),
        *(Column(side, Double) for side in ("west", "south", "east", "north")),
    )


def _described() -> tuple[Column[Any], ...]:
    """Attributes, place and time. ``t`` is the moment they tell of: ``told``, or when the object was modified, the record made.

    ``west`` ... ``north`` bound ``geometry`` in degrees; ``words`` is what full text finds (``words.py``), ``label`` what
    of it comes from name, description and tags.
    """
    return (
        _text("content_type"),
        _document("metadata"),
        Column("geometry", Document),
        _text("label"),
        _text("words"),
    )


data_object = _resource(
    "data_object",
    _text("provider"),
    _text("bucket"),
    _text("key"),
    Column("bytes", BigInteger, nullable=False, server_default="0"),
    _text("format"),
    _text("etag"),
    _text("version"),
    _text("sequence"),
    _text("modified"),
    _text("digest"),
    _document("digests"),
    _document("user"),
    _text("index"),
    _text("cause"),
    _moment("expires"),
    _text("upload"),
    *_described(),
    _text("kept"),
    _document("claims"),
    Index("data_object_place", "bucket", "key"),
    Index("data_object_t", "t", "n"),
    Index("data_object_format", "format", "t", "n"),
    Index("data_object_digest", "digest"),
    first=(_text("state"), *_place()),
)
_expires = data_object.c.expires
Index("data_object_expires", _expires, sqlite_where=_expires.is_not(None), postgresql_where=_expires.is_not(None))
data_record = _resource(
    "data_record",
    _text("object"),
    *_described(),
    Index("data_record_object", "object"),
    Index("data_record_t", "t", "n"),
    first=_place(),
)
#: ``object_filter`` and ``record_filter`` are what the user wrote; ``objects`` and ``records`` the same as CQL2-JSON.
#: ``scanned`` is how far the filters have been held against what was there before: the last ``n``, NULL when done.
data_set = _resource(
    "data_set",
    Column("object_filter", Document),
    Column("record_filter", Document),
    Column("objects", Document),
    Column("records", Document),
    Column("complete", Document),
    Column("scanned", BigInteger),
    _text("filter_lang"),
)
#: ``failure`` is the last one: see ``failures.py``.
binding = _resource(
    "binding",
    _document("content_types", "[]"),
    _document("formats", "[]"),
    _text("prefix"),
    _text("function"),
    _document("parameters"),
    Column("enabled", Boolean, nullable=False),
    _text("filter"),
    _text("filter_lang"),
    Column("failure", Document),
)
prefix = _resource("prefix", _text("prefix"), _text("uri"))
key = _resource(
    "key",
    _text("key"),
    _text("kind"),
    _text("type"),
    _text("unit"),
    Column("queryable", Boolean, nullable=False),
    _text("index"),
)
provider = _resource(
    "provider",
    _text("provider"),
    _text("endpoint"),
    _text("region"),
    _text("credential"),
    _text("source"),
    Column("configured", Boolean, nullable=False),
)
#: kind -> its table
KINDS = {
    "data-object": data_object, "data-record": data_record, "data-set": data_set, "binding": binding,
    "prefix": prefix, "key": key, "provider": provider,
}  # fmt: skip

#: The distinct access lists, and for each principal those by which it may view. Lists are never changed, only replaced.
acl = Table("acl", metadata, Column("id", Integer, primary_key=True), Column("body", String, nullable=False, unique=True))
acl_view = Table(
    "acl_view",
    metadata,
    Column("principal", String, nullable=False),
    Column("acl", Integer, nullable=False),
    PrimaryKeyConstraint("principal", "acl"),
)

#: Who is in a data set now. ``resource`` is an id; ``cursor`` of the change that let it in.
member = Table(
    "member",
    metadata,
    Column("data_set", BigInteger, nullable=False),
    Column("resource", String, nullable=False),
    _text("grp"),
    Column("cursor", BigInteger, nullable=False),
    PrimaryKeyConstraint("data_set", "resource"),
    Index("member_resource", "resource"),
    Index("member_cursor", "data_set", "cursor"),
    Index("member_grp", "data_set", "grp"),
)
#: Every change of membership, never changed. ``change`` is ``added`` or ``removed``; ``acl`` is the resource's list then.
membership = Table(
    "membership",
    metadata,
    Column("cursor", Number, primary_key=True),
    Column("data_set", BigInteger, nullable=False),
    Column("resource", String, nullable=False),
    Column("acl", Integer, nullable=False),
    _text("change"),
    _text("grp"),
    _moment("at", nullable=False),
    _text("cause"),
    Index("membership_set", "data_set", "cursor"),
    Index("membership_resource", "resource", "cursor"),
    sqlite_autoincrement=True,
)
_grp = membership.c.grp
_by = [membership.c.data_set, _grp, membership.c.cursor]
Index("membership_grp", *_by, sqlite_where=_grp != "", postgresql_where=_grp != "")
#: How far each group of a data set has come. ``completed`` is when it was told of, once.
grouping = Table(
    "grouping",
    metadata,
    Column("data_set", BigInteger, nullable=False),
    Column("grp", String, nullable=False),
    Column("count", Integer, nullable=False),
    _moment("last", nullable=False),
    _moment("completed"),
    PrimaryKeyConstraint("data_set", "grp"),
    Index("grouping_open", "last"),
)

#: Lineage: one activity an invocation, what it used and what it generated (ids of resources, or ``s3://`` addresses).
activity = Table(
    "activity",
    metadata,
    Column("n", Number, primary_key=True),
    Column("id", String, nullable=False, unique=True),
    _text("function"),
    _text("agent"),
    _moment("started"),
    _moment("ended"),
    _document("detail"),
)


def _entities(name: str) -> Table:
    return Table(
        name,
        metadata,
        Column("activity", BigInteger, nullable=False),
        Column("entity", String, nullable=False),
        _text("version"),
        PrimaryKeyConstraint("activity", "entity", "version"),
        Index(f"{name}_entity", "entity", "activity"),
    )


used = _entities("used")
generated = _entities("generated")
#: Invocations that generated nothing, those of one event together: see ``lineage_silent.py``.
silent = Table(
    "silent",
    metadata,
    Column("n", Number, primary_key=True),
    Column("entity", String, nullable=False),
    Column("cause", String, nullable=False),
    Column("used", Document, nullable=False),
    Column("functions", Document, nullable=False),
    _moment("ended", nullable=False),
    Index("silent_entity", "entity", "n"),
)

#: Lives of ids that have ended, ``until`` then with the list ``acl`` (``tombstones.py``).
tombstone = Table(
    "tombstone",
    metadata,
    Column("id", String, nullable=False),
    Column("until", BigInteger, nullable=False),
    Column("acl", Integer, nullable=False),
    PrimaryKeyConstraint("id", "until"),
)

#: How far each reader of the event log has come.
reader = Table("reader", metadata, Column("name", String, primary_key=True), Column("position", BigInteger, nullable=False))

#: Credentials of programs: only the hash of each key is kept.
api_key = Table(
    "api_key",
    metadata,
    Column("id", String, primary_key=True),
    Column("digest", String, nullable=False, unique=True),
    _text("name"),
    _document("principals", "[]"),
    _document("scopes", "[]"),
    _text("created"),
    _text("expires"),
    _text("revoked"),
)
