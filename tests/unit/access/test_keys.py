"""API keys: made, told apart, expired, revoked; nothing secret is kept."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy.dialects import sqlite
from sqlalchemy.schema import CreateTable

from events.errors import Reject, Retry
from events.ports import NotFound
from infra.access import keys
from infra.access.access import Access
from infra.access.errors import Denied, Unauthorized
from infra.access.keys import Keys, NewKey
from infra.access.scopes import ANYBODY
from infra.catalog.database import Database
from infra.catalog.schema import api_key
from infra.sqlite import connect


@pytest.fixture
def database(tmp_path) -> Iterator[Database]:
    connection = connect(tmp_path / "keys.db")
    connection.execute(str(CreateTable(api_key).compile(dialect=sqlite.dialect())))
    yield Database(connection)
    connection.close()


def known(database: Database) -> Keys:
    @contextmanager
    def reading() -> Iterator[Database]:
        yield database

    return Keys(reading)


def boss(database: Database) -> keys.MadeKey:
    return keys.create(database, NewKey(name="boss", scopes=["admin"]))


def test_a_key_names_its_bearer(database) -> None:
    boss(database)
    made = keys.create(database, NewKey(name="ann", principals=["user/ann", "group/optics"], scopes=["read", "events"]))
    caller = known(database).caller(made.token)
    assert caller.principals == {"user/ann", "group/optics", "group/anyone"}
    assert caller.scopes == {"read", "events"}
    assert not caller.admin


def test_an_admin_key_may_all(database) -> None:
    made = boss(database)
    caller = known(database).caller(made.token)
    assert caller.admin
    assert caller.scopes == {"read", "write", "events", "graph", "admin"}


def test_the_secret_is_not_kept(database, tmp_path) -> None:
    secret = boss(database).token.rpartition("_")[2]
    database.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert b"boss" in (tmp_path / "keys.db").read_bytes()
    assert secret.encode() not in (tmp_path / "keys.db").read_bytes()
    assert secret not in repr(keys.listed(database))


def test_a_revoked_or_expired_key_opens_nothing(database, monkeypatch) -> None:
    boss(database)
    ann = keys.create(database, NewKey(name="ann", scopes=["read"]))
    bob = keys.create(database, NewKey(name="bob", scopes=["read"], expires="2999-01-01"))
    assert keys.revoke(database, ann.id).revoked
    found = known(database)
    with pytest.raises(Unauthorized):
        found.caller(ann.token)
    assert found.caller(bob.token).scopes == {"read"}
    monkeypatch.setattr("infra.access.keys.time.time", lambda: 33e9)  # in the year 3015
    with pytest.raises(Unauthorized):
        found.caller(bob.token)
    with pytest.raises(NotFound):
        keys.revoke(database, "nothing")


WRONG = {
    "last": lambda token: token[:-1] + ("A" if token[-1] != "A" else "B"),
    "longer": lambda token: token + "x",
    "shorter": lambda token: token[:30],
    "empty": lambda _: "sluice__",
    "foreign": lambda _: "sluice_é_ü",
    "unknown": lambda token: token.replace(token.split("_")[1], "0" * 16),
}


@pytest.mark.parametrize("change", WRONG.values(), ids=WRONG)
def test_a_wrong_secret_opens_nothing(database, change) -> None:
    token = boss(database).token
    with pytest.raises(Unauthorized) as caught:
        known(database).caller(change(token))
    assert token.split("_")[1] not in str(caught.value)


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        ({"name": ""}, "name"),
        ({"name": "a\nb"}, "name"),
        ({"name": "a", "principals": ["ann"]}, "user/NAME"),
        ({"name": "a", "principals": ["role/x"]}, "user/NAME"),
        ({"name": "a", "scopes": ["fly"]}, "fly"),
        ({"name": "a", "scopes": []}, "at least one"),
        ({"name": "a", "scopes": ["admin"], "expires": "soon"}, "expires"),
        ({"name": "a", "scopes": ["admin"], "expires": "2001-01-01"}, "expires"),
        ({"name": "a", "scopes": ["read"]}, "first key"),
    ],
)
def test_keys_that_make_no_sense_are_refused(database, wanted, told) -> None:
    with pytest.raises(Reject, match=told):
        keys.create(database, NewKey(**wanted))
    assert keys.listed(database) == []


def test_a_lake_is_open_until_the_first_key_and_never_after(database) -> None:
    access = Access("", known(database))
    assert asyncio.run(access.caller(b"")) == ANYBODY
    made = boss(database)
    access = Access("", known(database))
    with pytest.raises(Denied, match="asks who calls"):
        asyncio.run(access.caller(b""))
    assert asyncio.run(access.caller(f"bearer  {made.token}".encode())).admin
    keys.revoke(database, made.id)
    access = Access("", known(database))
    with pytest.raises(Unauthorized):
        asyncio.run(access.caller(b""))


def test_nobody_is_let_in_while_the_keys_cannot_be_read(database, monkeypatch) -> None:
    access = Access("secret", known(database))
    monkeypatch.setattr(keys, "KNOWN_SECONDS", -1.0)
    monkeypatch.setattr(database, "rows", lambda _: 1 // 0)
    with pytest.raises(Retry, match=r"keys cannot be read now.*division"):
        asyncio.run(access.caller(b"Bearer secret"))
    monkeypatch.undo()
    assert asyncio.run(access.caller(b"Bearer secret")).admin


HEADERS = [b"Bearer", b"Bearer ", b"Bearer wrong", b"Basic secret", b"secret", b"Bearer a.b.c", b"\xff\x00"]


@pytest.mark.parametrize("header", HEADERS)
def test_the_configured_token_is_asked_for(header) -> None:
    access = Access("secret")
    assert asyncio.run(access.caller(b"Bearer secret")).admin
    with pytest.raises(Unauthorized) as caught:
        asyncio.run(access.caller(header))
    assert 'error="invalid_token"' in caught.value.challenge
