"""What the registry of prefixes and keys takes, whom it tells, and what it cannot lose, on every database."""

from __future__ import annotations

from typing import Any

import pytest

from events.errors import Reject
from infra.catalog.acl import SYSTEM, Acl, Caller, Forbidden
from infra.catalog.resources import DataObject, DataRecord, Key, Prefix
from infra.catalog.search import Search
from infra.catalog.store import Conflict, Store

ANN = Caller(frozenset(("user/ann", "group/anyone")))
BOB = Caller(frozenset(("user/bob", "group/anyone")))
BOSS = Caller(frozenset(("user/boss", "group/admin", "group/anyone")))


@pytest.fixture
def store(database):
    return Store(database)


@pytest.mark.parametrize("prefix", ["O b", "", "A", "-a", "a-", "9a", "a:b", "a\n"])
def test_a_prefix_is_one_that_names_can_begin_with(store, prefix: str) -> None:
    with pytest.raises(Reject, match="prefix"):
        store.create(Prefix(prefix=prefix), SYSTEM)


@pytest.mark.parametrize("prefix", ["a", "obs", "obs-2"])
def test_others_are_taken(store, prefix: str) -> None:
    assert store.create(Prefix(prefix=prefix), SYSTEM).prefix == prefix


@pytest.mark.parametrize("name", ["bob", "users/bob", "user/", "group/ ", "user/a\nb", ""])
@pytest.mark.parametrize("part", ["owners", "view", "edit", "manage", "delete"])
def test_lists_name_users_and_groups(store, name: str, part: str) -> None:
    acl = {"owners": ["user/ann"], part: ["user/ann", name]}
    with pytest.raises(Reject, match="user/NAME"):
        store.create(DataRecord(acl=Acl(**acl)), ANN)
    made = store.create(DataRecord(), ANN)
    with pytest.raises(Reject, match="user/NAME"):
        store.edit(made.id, {"acl": acl}, ANN)


def test_what_is_in_use_is_not_deleted(store) -> None:
    prefix = store.create(Prefix(prefix="per"), SYSTEM)
    key = store.create(Key(key="per:zone", kind="data-record", type="string"), SYSTEM)
    plain = store.create(Key(key="rows", kind="data-object", type="number"), SYSTEM)
    with pytest.raises(Conflict, match="per:zone"):
        store.delete(prefix.id, SYSTEM)
    record = store.create(DataRecord(metadata={"per:zone": "a"}), ANN)
    with pytest.raises(Conflict, match="data-record") as told:
        store.delete(key.id, SYSTEM)
    assert told.value.status == 409
    store.edit(record.id, {"metadata": {"deep": [{"per:x": "y"}]}}, ANN)
    store.delete(key.id, SYSTEM)
    with pytest.raises(Conflict, match="data-record"):
        store.delete(prefix.id, SYSTEM)
    store.edit(record.id, {"metadata": {"note": 'it says "per:x": so', "x": "per:y"}}, ANN)
    store.delete(prefix.id, SYSTEM)
    made = store.create(DataObject(bucket="b", key="k", metadata={"rows": 1}), ANN)
    with pytest.raises(Conflict, match="data-object"):
        store.delete(plain.id, SYSTEM)
    store.delete(made.id, ANN)
    store.delete(plain.id, SYSTEM)


def test_everybody_may_read_the_registry_unless_a_list_says_otherwise(store) -> None:
    store.create(Prefix(prefix="per"), BOSS)
    store.create(Key(key="per:zone", kind="data-record", type="string"), BOSS)
    hidden = store.create(Key(key="secret", kind="data-record", type="number", acl=Acl(owners=["user/boss"])), BOSS)
    assert [one["prefix"] for one in store.search("prefix", Search(), ANN).items] == ["per"]
    (key,) = store.search("key", Search(), ANN).items
    assert (key["key"], key["acl"]) == ("per:zone", {"owners": ["user/boss"], "view": ["group/anyone"]})
    with pytest.raises(Forbidden):
        store.edit(key["id"], {"unit": "m"}, ANN)
    assert hidden.acl == Acl(owners=["user/boss"])


def test_the_type_of_a_key_is_told_to_those_who_may_view_it(store) -> None:
    mine = Acl(owners=["user/ann"])
    made = store.create(Key(key="secret", kind="data-record", type="number", acl=mine), BOSS)
    store.database.run(f"UPDATE \"key\" SET \"index\" = 'ready' WHERE id = '{made.id}'")
    wrong: dict[str, Any] = {"op": "=", "args": [{"property": "secret"}, "x"]}
    for asked in (
        Search(filter=wrong),
        Search(filter={"op": ">", "args": [{"property": "secret"}, {"timestamp": "2026-01-01"}]}),
        Search(filter={"op": "like", "args": [{"property": "secret"}, "x%"]}),
    ):
        with pytest.raises(Reject, match="number"):
            Store(store.database).search("data-record", asked, ANN)
        assert Store(store.database).search("data-record", asked, BOB).items == []
        assert Store(store.database).aggregate("data-record", asked, BOB)["count"] == 0
    with pytest.raises(Reject, match="number"):
        store.create(DataRecord(metadata={"secret": "x"}), ANN)
    with pytest.raises(Reject) as told:
        store.create(DataRecord(metadata={"secret": "x"}), BOB)
    assert "number" not in str(told.value)
    store.create(DataRecord(metadata={"secret": 5}), BOB)
    right = {"op": "=", "args": [{"property": "secret"}, 5]}
    page = store.search("data-record", Search(filter=right, orderby=[("secret", True)]), BOB)
    assert len(page.items) == 1


@pytest.mark.parametrize("metadata", [{"a.b": 1}, {"x": [{"a.b": 1}]}, {"": 1}, {'a"b': 1}, {"a\\b": 1}, {"a\nb": 1}])
def test_names_that_no_filter_can_say_are_refused(store, metadata) -> None:
    with pytest.raises(Reject, match="no filter could name"):
        store.create(DataRecord(metadata=metadata), ANN)
    made = store.create(DataRecord(metadata={"a": {"b": 1}}), ANN)
    with pytest.raises(Reject, match="no filter could name"):
        store.edit(made.id, {"metadata": metadata}, ANN)
    object = store.create(DataObject(bucket="b", key="k", metadata=metadata), SYSTEM)
    assert store.get(object.id, SYSTEM).metadata == metadata, "what a file says of itself is kept"
