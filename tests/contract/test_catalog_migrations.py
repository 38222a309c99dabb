"""A catalogue of any age is brought forward when a lake starts on it, with everything that is in it."""

from __future__ import annotations

import threading

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine

from events.ports import Entry, Query
from infra.catalog.acl import NOBODY
from infra.catalog.database import Database
from infra.catalog.entries import Entries
from infra.catalog.home import open_sqlite
from infra.catalog.migrations import HEAD, upgrade
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


@pytest.mark.parametrize("revision", ["0001", "0002"])
def test_every_revision_is_brought_forward(tmp_path, revision):
    path = tmp_path / "lake.db"
    old(path)
    assert upgrade(lambda: open_sqlite(path), revision)
    upgrade(lambda: open_sqlite(path))
    assert not upgrade(lambda: open_sqlite(path))
    connection = open_sqlite(path)
    check(connection)
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
