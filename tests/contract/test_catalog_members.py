"""Who is a member of which data set, on every database: on each write, for new filters, by group, and to whom it is told."""

from __future__ import annotations

from typing import Any

import pytest

from events.errors import Reject
from events.ports import Entry
from events.types import DatasetCompleted, DatasetMemberAdded, DatasetMemberRemoved, DatasetScanned
from infra.catalog import members as module
from infra.catalog.acl import SYSTEM, Acl
from infra.catalog.entries import Entries
from infra.catalog.members import Members
from infra.catalog.resources import Completeness, DataObject, DataRecord, DataSet, object_id
from infra.catalog.set_index import SetIndex
from infra.catalog.store import Store


class World:
    """A catalogue, and what a worker would do with the events of its changes."""

    def __init__(self, database) -> None:
        self.database, self.store, self.index = database, Store(database), SetIndex()
        self.steps = 0

    @property
    def sets(self) -> Members:
        self.steps += 1
        return Members(self.database, self.index)

    def define(self, **more: Any) -> DataSet:
        made = self.store.create(DataSet(**more), SYSTEM)
        self.defined(made.id)
        return made

    def defined(self, id: str) -> list[Any]:
        page, told = self.sets.define(id, f"c{self.steps}"), []
        while page is not None:
            changes, page = self.sets.scan(page, f"c{self.steps}")
            told += changes
        return told

    def put(self, key: str, sequence: str = "1", state: str = "ready", **metadata: Any) -> list[Any]:
        entry = Entry(bucket="b", key=key, state=state, sequence=sequence, format="csv", metadata=metadata)
        assert Entries(self.database).upsert(entry)
        return self.sets.place_object("b", key, f"c{self.steps}")

    def members(self, made: DataSet) -> list[str]:
        rows = self.database.rows("SELECT resource FROM member JOIN data_set ON data_set.n = member.data_set ORDER BY cursor")
        return [row[0] for row in rows]


@pytest.fixture
def world(database) -> World:
    return World(database)


def test_numbers_that_are_equal_name_one_group(world):
    made = world.define(object_filter="rows > 0", complete=Completeness(group_by="night", count=2))
    world.put("a", rows=1, night=3)
    told = world.put("b", rows=1, night=3.0)
    assert [(one.group, one.count) for one in told if isinstance(one, DatasetCompleted)] == [("3", 2)]
    world.put("c", rows=1, night=True)
    told = world.put("d", rows=1, night="true")
    assert [one.group for one in told if isinstance(one, DatasetCompleted)] == ["true"]
    assert world.put("e", rows=1, night=[3])[0].group == "", "a list is no single value"
    assert made.complete is not None


def test_members_may_be_named_by_numbers(world):
    world.define(object_filter="rows > 0", complete=Completeness(members=["1", "2", "true", "x"], member_by="part"))
    assert not [
        one for part in (1, 2.0, "x") for one in world.put(f"k{part}", rows=1, part=part) if one.__class__ is DatasetCompleted
    ]
    told = world.put("last", rows=1, part=True)
    assert [one.reason for one in told if isinstance(one, DatasetCompleted)] == ["members"]
    world.define(object_filter="rows > 0", complete=Completeness(members=["1", "k"]))
    world.define(object_filter="rows > 0", complete=Completeness(members=["1", "2"], member_by="bytes"))


@pytest.mark.parametrize("path", ["tags", "geometry", "metadata", "user"])
def test_what_is_no_single_value_names_no_group(world, path: str) -> None:
    for wrong in (Completeness(group_by=path, count=1), Completeness(members=["a"], member_by=path)):
        with pytest.raises(Reject, match=path):
            world.store.create(DataSet(object_filter="rows = 1", complete=wrong), SYSTEM)


def test_each_write_is_held_against_every_filter(world):
    big = world.define(object_filter="rows > 10")
    world.define(object_filter="rows > 1000")
    (told,) = world.put("k", rows=20)
    assert isinstance(told, DatasetMemberAdded)
    assert (told.dataset, told.resource, told.bucket, told.key) == (big.id, object_id("b", "k"), "b", "k")
    assert world.put("k", "2", rows=21) == [], "it is a member already"
    (gone,) = world.put("k", "3", rows=1)
    assert isinstance(gone, DatasetMemberRemoved)
    assert gone.cursor > told.cursor
    (again,) = world.put("k", "4", rows=11)
    (failed,) = world.put("k", "5", state="failed", rows=11)
    assert (type(again), type(failed)) == (DatasetMemberAdded, DatasetMemberRemoved), "only what is READY is a member"
    assert [row[0] for row in world.database.rows("SELECT change FROM membership WHERE data_set > 0 ORDER BY cursor")] == [
        "added", "removed", "added", "removed",
    ]  # fmt: skip


def test_records_have_a_filter_of_their_own(world):
    made = world.define(record_filter="seeing < 1")
    record = world.store.create(DataRecord(metadata={"seeing": 0.8}), SYSTEM)
    (told,) = world.sets.place(record.id, "c")
    assert (told.resource, told.bucket) == (record.id, "")
    assert world.put("k", seeing=0.5) == []
    world.store.delete(record.id, SYSTEM)
    (gone,) = world.sets.place(record.id, "c")
    assert isinstance(gone, DatasetMemberRemoved)
    assert world.members(made) == []


def test_a_new_or_changed_filter_is_held_against_what_was_there(world, monkeypatch):
    monkeypatch.setattr(module, "PAGE", 4)
    for i in range(11):
        world.put(f"k{i}", rows=i)
    made = world.store.create(DataSet(object_filter="rows >= 3"), SYSTEM)
    told = world.defined(made.id)
    assert [each.key for each in told] == [f"k{i}" for i in range(3, 11)]
    assert [each.cursor for each in told] == sorted({each.cursor for each in told})
    world.store.edit(made.id, {"object-filter": "rows < 5"}, SYSTEM)
    told = world.defined(made.id)
    assert {each.key for each in told if isinstance(each, DatasetMemberAdded)} == {"k0", "k1", "k2"}
    assert {each.key for each in told if isinstance(each, DatasetMemberRemoved)} == {f"k{i}" for i in range(5, 11)}
    assert len(world.members(made)) == 5
    world.store.edit(made.id, {"object-filter": None}, SYSTEM)
    assert len(world.defined(made.id)) == 5
    assert world.members(made) == []


def test_a_scan_for_an_older_revision_ends(world):
    world.put("k", rows=1)
    made = world.store.create(DataSet(object_filter="rows = 1"), SYSTEM)
    page = world.sets.define(made.id, "c")
    world.store.edit(made.id, {"object-filter": "rows = 2"}, SYSTEM)
    assert world.sets.scan(page, "c") == ([], None)
    assert world.defined(made.id) == []


def test_a_removed_data_set_has_no_members(world):
    made = world.define(object_filter="rows = 1")
    world.put("k", rows=1)
    world.store.delete(made.id, SYSTEM)
    assert world.put("l", rows=1) == []
    world.defined(made.id)
    assert world.put("m", rows=1) == []
    assert world.database.rows("SELECT 1 FROM member") == []


def test_every_process_hears_of_a_definition_in_the_transaction(world):
    other = World(world.database)
    other.put("k", rows=1)  # its index is loaded, and empty
    world.define(object_filter="rows = 2")
    assert len(other.put("k2", rows=2)) == 1
    assert len(world.put("k3", rows=2)) == 1


def test_a_definition_that_was_undone_does_not_hide_the_one_in_its_place(world):
    world.put("k", rows=0)
    world.database.connection.execute("BEGIN")
    world.define(object_filter="rows = 1")
    assert len(world.put("k1", rows=1)) == 1
    world.database.connection.execute("ROLLBACK")
    world.define(object_filter="rows = 2")
    assert len(world.put("k2", rows=2)) == 1
    assert world.put("k3", rows=1) == []


def test_a_member_whose_access_list_changes_goes_and_comes(world):
    world.define(object_filter="rows = 1")
    world.put("k", rows=1)
    world.store.edit(object_id("b", "k"), {"acl": Acl(owners=["user/ann"])}, SYSTEM)
    left, came = world.sets.place_object("b", "k", "c")
    assert (type(left), type(came)) == (DatasetMemberRemoved, DatasetMemberAdded)
    lists = [row[0] for row in world.database.rows("SELECT acl FROM membership WHERE data_set > 0 ORDER BY cursor")]
    assert lists[0] == lists[1] != lists[2]


def test_a_group_is_complete_once(world):
    made = world.define(object_filter="rows > 0", complete=Completeness(group_by="night", count=2))
    assert len(world.put("a", rows=1, night=1)) == 1
    assert len(world.put("b", rows=1, night=2)) == 1
    assert len(world.put("c", rows=1)) == 1, "it is in no group"
    added, completed = world.put("d", rows=1, night=1)
    assert completed == DatasetCompleted(dataset=made.id, group="1", reason="count", count=2, cursor=added.cursor)
    assert len(world.put("e", rows=1, night=1)) == 1
    world.put("d", "2", rows=0)
    assert len(world.put("d", "3", rows=1, night=1)) == 1, "once"
    (moved,) = world.put("c", "2", rows=1, night=2)
    assert (moved.group, moved.reason) == ("2", "count"), "a member may come into a group later"


def test_a_group_is_complete_when_all_that_are_named_are_there(world):
    world.define(object_filter="rows > 0", complete=Completeness(members=["a", "b"], member_by="part", group_by="night"))
    assert len(world.put("1", rows=1, night="x", part="a")) == 1
    assert len(world.put("2", rows=1, night="x", part="a")) == 1
    assert len(world.put("3", rows=1, night="y", part="b")) == 1
    assert len(world.put("4", rows=1, night="x", part="z")) == 1
    _, completed = world.put("5", rows=1, night="x", part="b")
    assert (completed.group, completed.reason, completed.count) == ("x", "members", 4)


def test_what_was_there_completes_a_group_too(world):
    for i in range(3):
        world.put(f"k{i}", rows=1)
    made = world.store.create(DataSet(object_filter="rows = 1", complete=Completeness(count=3)), SYSTEM)
    assert [type(each) for each in world.defined(made.id)] == [DatasetMemberAdded] * 3 + [DatasetCompleted]
    world.store.edit(made.id, {"complete": {"group-by": "rows", "count": 2}}, SYSTEM)
    (completed,) = world.defined(made.id)
    assert (completed.group, completed.count) == ("1", 2)
    world.store.edit(made.id, {"name": "n"}, SYSTEM)
    assert world.defined(made.id) == []


def test_a_completeness_that_makes_no_sense_is_refused(world):
    for wrong in (Completeness(), Completeness(count=-1, quiet_s=1), Completeness(count=1, group_by='a"b')):
        with pytest.raises(Reject):
            world.store.create(DataSet(object_filter="rows = 1", complete=wrong), SYSTEM)


def test_scans_of_what_nobody_defined_end(world):
    assert world.sets.define("data-set/none", "c") is None
    assert world.sets.scan(DatasetScanned(id="data-set/none", revision=1, kind="data-object"), "c") == ([], None)
    assert world.sets.place("data-set/none", "c") == []
    assert world.sets.place("nonsense", "c") == []
    made = world.store.create(DataObject(bucket="b", key="new"), SYSTEM)
    world.define(object_filter="bucket = 'b'")
    assert world.sets.place(made.id, "c") == []
