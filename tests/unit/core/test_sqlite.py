"""The writer: durable in groups, each piece of work on its own."""

from __future__ import annotations

import sqlite3
import threading

import pytest

from infra.sqlite import Writer, connect, migrate

SCHEMA = ["CREATE TABLE t (x INTEGER PRIMARY KEY)"]


def insert(value):
    return lambda connection: connection.execute("INSERT INTO t VALUES (?)", (value,)).rowcount


@pytest.fixture
def writer(tmp_path):
    made = Writer(tmp_path / "t.db", SCHEMA)
    yield made
    made.close()


def rows(tmp_path):
    connection = connect(tmp_path / "t.db")
    found = [row[0] for row in connection.execute("SELECT x FROM t ORDER BY x")]
    connection.close()
    return found


def test_what_is_answered_is_committed(writer, tmp_path):
    assert writer.submit(insert(1)).result() == 1
    assert rows(tmp_path) == [1]


def test_one_failure_undoes_its_own_writes_only(writer, tmp_path):
    gate = threading.Event()
    writer.submit(lambda _: gate.wait(5))  # hold the first transaction until all three wait for the next

    def fails(connection):
        insert(2)(connection)
        raise ValueError("no")

    good, bad, last = writer.submit(insert(1)), writer.submit(fails), writer.submit(insert(3))
    gate.set()
    assert good.result() == last.result() == 1
    with pytest.raises(ValueError, match="no"):
        bad.result()
    assert rows(tmp_path) == [1, 3]


def test_those_who_wait_share_a_commit(writer):
    gate = threading.Event()
    writer.submit(lambda _: gate.wait(5))
    commits = []
    futures = [writer.submit(lambda connection: commits.append(connection.total_changes)) for _ in range(10)]
    seen = [writer.submit(lambda connection: connection.in_transaction) for _ in range(10)]
    gate.set()
    assert [future.result() for future in futures] == [None] * 10
    assert all(future.result() for future in seen)


def test_who_stops_waiting_before_the_work_began_stops_nobody_else(writer, tmp_path):
    gate = threading.Event()
    writer.submit(lambda _: gate.wait(5))
    gone, stays = writer.submit(insert(1)), writer.submit(insert(2))
    assert gone.cancel()
    gate.set()
    assert stays.result(5) == 1
    assert rows(tmp_path) == [2]


def test_close_finishes_what_was_submitted(tmp_path):
    writer = Writer(tmp_path / "t.db", SCHEMA)
    futures = [writer.submit(insert(x)) for x in range(100)]
    writer.close()
    assert sum(future.result() for future in futures) == 100
    assert rows(tmp_path) == list(range(100))
    with pytest.raises(RuntimeError, match="closed"):
        writer.submit(insert(1))


def test_migrations_run_once_each_and_undo_a_failing_one(tmp_path):
    connection = connect(tmp_path / "m.db")
    migrate(connection, SCHEMA)
    migrate(connection, [*SCHEMA, "CREATE TABLE u (y)"])
    with pytest.raises(sqlite3.Error):
        migrate(connection, [*SCHEMA, "CREATE TABLE u (y)", "CREATE TABLE v (z); CREATE TABLE v (z)"])
    names = {row["name"] for row in connection.execute("SELECT name FROM sqlite_master")}
    assert {"t", "u"} <= names
    assert "v" not in names
    assert connection.execute("PRAGMA user_version").fetchone()[0] == 2
    connection.close()
