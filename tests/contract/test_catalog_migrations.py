"""A catalogue of any age is brought forward when a lake starts on it, with everything that is in it."""

from __future__ import annotations

import re
import sqlite3
import threading
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine

from events.ports import Entry, Query
from infra.catalog import migrations
from infra.catalog.acl import NOBODY, SYSTEM
from infra.catalog.database import Database
from infra.catalog.entries import Entries
from infra.catalog.home import open_sqlite
from infra.catalog.migrations import HEAD, upgrade
from infra.catalog.query import parse
from infra.catalog.resources import KINDS, DataObject
from infra.catalog.schema import metadata
from infra.catalog.search import Search
from infra.catalog.store import Store
from infra.config import Config
from infra.lake import SCHEMA, Lake
from infra.objects.s3 import S3Store
from infra.postgres import connect

#: The lake's database as the first release made it: the catalogue's table, and what its history counts.
RELEASED = """
CREATE TABLE entry (
    bucket TEXT NOT NULL, key TEXT NOT NULL, state TEXT NOT NULL, etag TEXT NOT NULL, size INTEGER NOT NULL,
    version TEXT NOT NULL, sequence TEXT NOT NULL, modified TEXT NOT NULL, digest TEXT NOT NULL, format TEXT NOT NULL,
    content_type TEXT NOT NULL, metadata TEXT NOT NULL, user TEXT NOT NULL, "index" TEXT NOT NULL, cause TEXT NOT NULL,
    updated TEXT NOT NULL,
    PRIMARY KEY (bucket, key)
) WITHOUT ROWID;
CREATE INDEX entry_format ON entry (format, bucket, key);
CREATE INDEX entry_modified ON entry (modified);
CREATE INDEX entry_digest ON entry (digest);
INSERT INTO entry VALUES ('raw', 'ü/flood map.csv', 'ready', 'e', 7, 'v', '5', '2026-03-01T10:00:00.250000Z', 'blake3:1', 'csv',
    'text/csv', '{"rows":5,"columns":[{"name":"t"}]}', '{"who":"me"}', '.sluice/i', '', '2026-03-01T10:00:01.000000Z');
INSERT INTO entry VALUES ('raw', 'bad', 'failed', '', 0, '', '6', '', '', '', '', '{}', '{}', '', 'it is broken', '');
INSERT INTO entry VALUES ('raw', 'gone', 'removed', '', 0, '', '7', '', '', '', '', '{}', '{}', '', '', '');
"""


def old(path) -> None:
    connection = open_sqlite(path)
    connection.executescript(RELEASED)
    connection.close()


def check(connection):
    entries = Entries(Database(connection))
    found = [entries.get("raw", key) for key in ("ü/flood map.csv", "bad", "gone")]
    ready, bad, gone = (entry for entry in found if entry is not None)
    assert (ready.size, ready.version, ready.sequence, ready.digest, ready.format) == (7, "v", "5", "blake3:1", "csv")
    assert (ready.modified, ready.updated) == ("2026-03-01T10:00:00.250000Z", "2026-03-01T10:00:01.000Z")
    assert (ready.metadata, ready.user, ready.index) == ({"rows": 5, "columns": [{"name": "t"}]}, {"who": "me"}, ".sluice/i")
    assert (bad.state, bad.cause, gone.state) == ("failed", "it is broken", "removed")
    assert [each.key for each in entries.search(Query(where={"rows": 5}))] == ["ü/flood map.csv"]
    words = Search(filter={"op": "fulltext", "args": ["flood"]}, select=["key", "timestamp"])
    assert Store(Database(connection)).search("data-object", words, NOBODY).items[0]["key"] == "ü/flood map.csv"
    assert not entries.upsert(Entry(bucket="raw", key="gone", sequence="6"))


def test_a_lake_starts_on_the_first_release_s_database(tmp_path):
    objects = S3Store("http://127.0.0.1:9", "a", "b")
    Lake(Config(data=str(tmp_path)), objects).close()
    connection = open_sqlite(tmp_path / "lake.db")  # its other tables are what they were: make the catalogue's old again
    for name, kind in connection.execute(
        "SELECT name, type FROM sqlite_master WHERE name GLOB 'data_*_words' OR name GLOB 'data_*_box'"
    ).fetchall():
        connection.execute(f"DROP {kind} {name}")
    for table in [*metadata.tables, "statement", "fact_change", "graph_write", "ontology", "alembic_version"]:
        connection.execute(f'DROP TABLE "{table}"')
    connection.executescript(RELEASED)
    connection.close()
    lake = Lake(Config(data=str(tmp_path)), objects)
    try:
        assert lake.status()["catalog"]["ready"] == {"objects": 1, "bytes": 7}
        with lake.reading() as connection:
            assert connection.execute("PRAGMA user_version").fetchone()[0] == len(SCHEMA)
        lake.write(check).result()
    finally:
        lake.close()
        objects.close()


COLUMNS = (
    "bucket, key, state, etag, size, version, sequence, modified, digest, format, content_type, metadata, "
    '"user", "index", cause, updated'
)
REVISIONS = sorted(path.name[:4] for path in (Path(migrations.__file__).parent / "versions").glob("0*.py"))
RESOURCE = "id, acl, created, updated, revision, name"
FIRST = "?, 1, 5, 6, 1, ''"
#: Revision -> what people have in its tables by then. Objects, of the first release, are in RELEASED.
ROWS: dict[str, list[tuple[str, tuple[object, ...]]]] = {
    "0001": [],
    "0002": [
        (f"INSERT INTO data_record ({RESOURCE}, t, object, metadata, words) VALUES (?, 1, 5, 6, 2, 'r', 7, ?, ?, 'seen')",
         ("data-record/1", "data-object/1", {"rows": 7})),
        (f"INSERT INTO data_set ({RESOURCE}, object_filter, objects) VALUES (?, 1, 5, 6, 1, 's', ?, ?)",
         ("data-set/1", {"op": "=", "args": [{"property": "rows"}, 5]}, {"op": "=", "args": [{"property": "rows"}, 5]})),
        (f"INSERT INTO binding ({RESOURCE}, formats, function, parameters, enabled) VALUES (?, 1, 5, 6, 1, 'b', ?, 'f', ?, ?)",
         ("binding/1", ["csv"], {"convert": "parquet"}, True)),
        (f"INSERT INTO prefix ({RESOURCE}, prefix, uri) VALUES ({FIRST}, 'per', 'http://per')", ("prefix/1",)),
        (f"INSERT INTO key ({RESOURCE}, key, kind, type, queryable) VALUES ({FIRST}, 'rows', 'data-object', 'number', ?)",
         ("key/1", False)),
        ("INSERT INTO member (data_set, resource, grp, cursor) VALUES (1, ?, '', 1)", ("data-object/1",)),
        ("INSERT INTO membership (data_set, resource, acl, change, grp, at, cause) VALUES (1, ?, 1, 'added', '', 5, 'c')",
         ("data-object/1",)),
        ("INSERT INTO grouping (data_set, grp, count, last) VALUES (1, ?, 1, 5)", ("",)),
        ("INSERT INTO activity (id, function, agent, started, ended, detail) VALUES (?, 'f', 'sluice', 1, 2, ?)",
         ("activity/1", {"cause": "c"})),
        ("INSERT INTO used (activity, entity, version) VALUES (1, ?, 'e')", ("s3://raw/a",)),
        ("INSERT INTO generated (activity, entity, version) VALUES (1, ?, 'e')", ("s3://raw/b",)),
        ("INSERT INTO api_key (id, digest, name, principals, scopes, created) VALUES (?, 'd', 'ann', ?, ?, '')",
         ("k", ["user/ann"], ["read"])),
    ],
    "0003": [
        ("UPDATE binding SET filter = ?", ("rows > 1",)),
        ("INSERT INTO reader (name, position) VALUES (?, 7)", ("lineage",)),
        ("INSERT INTO tombstone (id, until, acl) VALUES (?, 5, 1)", ("data-record/0",)),
    ],
    "0004": [
        ("INSERT INTO statement (topic, ordered, change, body) VALUES (?, 'o', 1, ?)", ("t", b"1")),
        ("INSERT INTO fact_change (change, token) VALUES (1, ?)", ("x",)),
        ("INSERT INTO graph_write (body) VALUES (?)", (b"2",)),
    ],
    "0005": [("INSERT INTO ontology (version, bucket, key, etag, body) VALUES (1, 'b', 'k', 'e', ?)", (b"3",))],
    "0006": [],
    "0007": [
        (f"INSERT INTO provider ({RESOURCE}, provider, endpoint, configured) VALUES ({FIRST}, 'far', 'http://far', ?)",
         ("provider/1", False)),
    ],
    "0008": [
        ("UPDATE data_set SET filter_lang = ?", ("cql2-json",)),
        ("UPDATE binding SET filter_lang = ?", ("cql2-text",)),
    ],
    "0009": [
        ("UPDATE data_object SET kept = ? WHERE key = 'gone'", ("e",)),
        ("UPDATE binding SET failure = ?", ({"cause": "c", "object": "data-object/1", "at": ""},)),
    ],
    "0010": [
        ("INSERT INTO silent (entity, cause, used, functions, ended) VALUES ('s3://b/k', 'e', ?, ?, 1)",
         ([["s3://b/k", ""]], [["f", 0, 1]])),
    ],
}  # fmt: skip
#: Tables whose rows no resource shows.
OTHERS = {
    "0002": ("member", "membership", "grouping", "activity", "used", "generated", "api_key"), "0003": ("reader", "tombstone"),
    "0004": ("statement", "fact_change", "graph_write"), "0005": ("ontology",), "0006": ("subscription",), "0010": ("silent",),
}  # fmt: skip


def fill(connection, revision: str) -> None:
    """What people had at a revision, whatever it is."""
    sqlite = isinstance(connection, sqlite3.Connection)
    for step, rows in ROWS.items():
        for statement, values in rows if step <= revision else ():
            connection.execute(statement if sqlite else statement.replace("?", "%s"), values)
    if revision >= "0006" and not sqlite:  # in SQLite the lake's own database has it
        connection.execute("INSERT INTO subscription (id, body) VALUES ('s', '{}')")


def check_all(connection, revision: str) -> None:
    """Everything is still there, and can be read and changed as today's."""
    check(connection)
    store = Store(Database(connection))
    for kind in KINDS if revision >= "0002" else ():
        found = [each for each in store.all(kind) if isinstance(each, DataObject) or each.id.endswith("/1")]
        assert bool(found) == (kind != "provider" or revision >= "0007"), kind
    if revision >= "0002":
        made: Any = store.get("data-record/1", SYSTEM)
        assert (made.revision, made.metadata, made.object) == (2, {"rows": 7}, "data-object/1")
        bound: Any = store.edit("binding/1", {"name": "c"}, SYSTEM)
        wanted = (["csv"], {"convert": "parquet"}, True, "rows > 1" if revision >= "0003" else "")
        assert (bound.formats, bound.parameters, bound.enabled, bound.filter) == wanted
        assert store.search("data-record", Search(filter=parse("rows = 7")), SYSTEM).items[0]["id"] == "data-record/1"
    for step, tables in OTHERS.items():
        for table in tables if step <= revision else ():
            if table != "subscription" or not isinstance(connection, sqlite3.Connection):
                assert connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] >= 1, table


def test_every_revision_has_rows_to_bring_forward():
    assert list(ROWS) == REVISIONS, "say in ROWS what people have in the tables of a new revision"
    assert REVISIONS[-1] == HEAD


@pytest.mark.parametrize("store", ["sqlite", pytest.param("postgresql", marks=pytest.mark.server)])
@pytest.mark.parametrize("revision", REVISIONS)
def test_every_revision_is_brought_forward(request, tmp_path, revision, store):
    path, url = tmp_path / "lake.db", ""
    if store == "postgresql":
        url = request.getfixturevalue("postgres").new()

    def opened() -> Any:
        return connect(url) if url else open_sqlite(path)

    if url:
        assert upgrade(opened, "0001")
    else:
        old(path)
    connection = opened()
    for line in re.findall(r"INSERT INTO entry.*?;", RELEASED, re.DOTALL) if url else ():
        connection.execute(line.replace("entry VALUES", f"entry ({COLUMNS}) VALUES"))
    upgrade(opened, revision)
    fill(connection, revision)
    connection.close()
    assert upgrade(opened) == (revision != HEAD)
    assert not upgrade(opened)
    connection = opened()
    check_all(connection, revision)
    connection.close()


def test_a_step_that_fails_leaves_the_database_as_it_was(tmp_path):
    path = tmp_path / "lake.db"
    old(path)
    connection = open_sqlite(path)
    connection.execute("UPDATE entry SET metadata = '{' WHERE key = 'gone'")
    with pytest.raises(ValueError, match="Expecting"):
        upgrade(lambda: open_sqlite(path))
    assert connection.execute("SELECT count(*) FROM entry").fetchone()[0] == 3
    connection.execute("UPDATE entry SET metadata = '{}' WHERE key = 'gone'")
    upgrade(lambda: open_sqlite(path))
    check(connection)
    connection.close()


@pytest.mark.server
def test_two_lakes_that_start_at_once_bring_postgresql_forward_once(postgres):
    url = postgres.new()
    failures: list[BaseException] = []

    def start() -> None:
        try:
            upgrade(lambda: connect(url))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=start) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert failures == []
    with connect(url) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [(HEAD,)]


def test_the_history_ends_in_the_schema(database):
    dialect = "sqlite://" if database.dialect == "sqlite" else "postgresql+psycopg://"
    engine = create_engine(dialect, creator=lambda: database.connection)
    mine = set(metadata.tables)
    with engine.connect() as connection:
        options = {"include_name": lambda name, kind, _: kind != "table" or name in mine, "compare_type": False}
        found = compare_metadata(MigrationContext.configure(connection, opts=options), metadata)
        own = [
            each for each in found if not (each[0] == "remove_index" and each[1].name.endswith(("_box", "_words", "_metadata")))
        ]
        connection.detach()
    assert own == []
