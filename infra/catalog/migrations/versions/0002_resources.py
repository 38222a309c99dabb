"""Objects with an identity, an access list, a place and a time; records, data sets, and what belongs to them."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from alembic import op

from infra.catalog import times
from infra.catalog.migrations.tables_0002 import metadata
from infra.catalog.resources import object_id
from infra.catalog.words import indexed

revision, down_revision = "0002", "0001"
PORTION = 5000
_KEPT = ("bucket", "key", "etag", "version", "sequence", "modified", "digest", "format", "content_type", "index", "cause")


def upgrade() -> None:
    """Make the tables, carry the entries over, then build what needs all rows."""
    bind = op.get_bind()
    metadata.create_all(bind)
    everyone = '{"owners":["group/admin"],"view":["group/anyone"]}'
    bind.execute(sa.text("INSERT INTO acl (id, body) VALUES (1, :body)"), {"body": everyone})
    for principal in ("group/admin", "group/anyone"):
        bind.execute(sa.text("INSERT INTO acl_view (principal, acl) VALUES (:principal, 1)"), {"principal": principal})
    for rows in _portions(bind):
        bind.execute(sa.insert(metadata.tables["data_object"]), rows)
    op.drop_table("entry")
    for statement in SQLITE if bind.dialect.name == "sqlite" else POSTGRESQL:
        op.execute(statement)


def _portions(bind: sa.Connection) -> Iterator[list[dict[str, Any]]]:
    entry = sa.Table("entry", sa.MetaData(), autoload_with=bind)
    place, present = ("", ""), time.time_ns() // 1_000_000
    while True:
        behind = sa.or_(entry.c.bucket > place[0], sa.and_(entry.c.bucket == place[0], entry.c.key > place[1]))
        found = bind.execute(sa.select(entry).where(behind).order_by(entry.c.bucket, entry.c.key).limit(PORTION)).all()
        if not found:
            return
        yield [_object(row._mapping, present) for row in found]
        place = (found[-1].bucket, found[-1].key)


def _object(old: Any, present: int) -> dict[str, Any]:
    attributes, user = json.loads(old["metadata"]), json.loads(old["user"])
    updated, modified = times.ms(old["updated"]), times.ms(old["modified"])
    return {
        **{name: old[name] for name in _KEPT},
        "id": object_id(old["bucket"], old["key"]),
        "acl": 1,
        "created": updated or present,
        "updated": updated or 0,
        "state": old["state"].upper(),
        "bytes": old["size"],
        "metadata": attributes,
        "user": user,
        "t": present if modified is None else modified,
        "words": indexed(old["key"], attributes, user),
    }


def _sqlite(table: str) -> list[str]:
    """Boxes in an R*Tree, words in FTS5, both kept by triggers: whatever changes a row changes them."""
    box = f"{table}_box"
    words = f"{table}_words"
    new_box = f"INSERT INTO {box} VALUES (new.n, new.west, new.east, new.south, new.north)"
    old_words = f"INSERT INTO {words} ({words}, rowid, words) VALUES ('delete', old.n, old.words)"
    new_words = f"INSERT INTO {words} (rowid, words) VALUES (new.n, new.words)"
    return [
        f"CREATE VIRTUAL TABLE {box} USING rtree (n, west, east, south, north)",
        f"CREATE VIRTUAL TABLE {words} USING fts5 (words, content='{table}', content_rowid='n', detail=none, "
        "tokenize='unicode61 remove_diacritics 0')",
        f"INSERT INTO {words} ({words}) VALUES ('rebuild')",
        f"CREATE TRIGGER {box}_add AFTER INSERT ON {table} WHEN new.west IS NOT NULL BEGIN {new_box}; END",
        f"CREATE TRIGGER {box}_change AFTER UPDATE OF west, south, east, north ON {table} BEGIN "
        f"DELETE FROM {box} WHERE n = old.n; "
        f"INSERT INTO {box} SELECT new.n, new.west, new.east, new.south, new.north WHERE new.west IS NOT NULL; END",
        f"CREATE TRIGGER {box}_remove AFTER DELETE ON {table} WHEN old.west IS NOT NULL BEGIN "
        f"DELETE FROM {box} WHERE n = old.n; END",
        f"CREATE TRIGGER {words}_add AFTER INSERT ON {table} BEGIN {new_words}; END",
        f"CREATE TRIGGER {words}_change AFTER UPDATE OF words ON {table} WHEN old.words <> new.words BEGIN "
        f"{old_words}; {new_words}; END",
        f"CREATE TRIGGER {words}_remove AFTER DELETE ON {table} BEGIN {old_words}; END",
    ]


def _postgresql(table: str) -> list[str]:
    return [
        f"CREATE INDEX {table}_box ON {table} USING gist (box(point(west, south), point(east, north))) WHERE west IS NOT NULL",
        f"CREATE INDEX {table}_words ON {table} USING gin (to_tsvector('simple', words))",
        f"CREATE INDEX {table}_metadata ON {table} USING gin (metadata jsonb_path_ops)",
    ]


SQLITE = [*_sqlite("data_object"), *_sqlite("data_record")]
POSTGRESQL = [
    "SELECT setval('acl_id_seq', 1)",
    *_postgresql("data_object"),
    *_postgresql("data_record"),
    "CREATE TABLE model (repository TEXT NOT NULL, name TEXT NOT NULL, version BIGINT NOT NULL, body TEXT NOT NULL, "
    "state TEXT NOT NULL, upload TEXT NOT NULL, PRIMARY KEY (repository, name, version))",
    "CREATE TABLE alias (repository TEXT NOT NULL, name TEXT NOT NULL, alias TEXT NOT NULL, version BIGINT NOT NULL, "
    "previous BIGINT NOT NULL, PRIMARY KEY (repository, name, alias))",
    "CREATE TABLE outbox (mark TEXT PRIMARY KEY, at DOUBLE PRECISION NOT NULL, events BYTEA NOT NULL)",
    "CREATE INDEX outbox_at ON outbox (at)",
    "CREATE TABLE observation (seq BIGSERIAL PRIMARY KEY, body BYTEA NOT NULL)",
]
