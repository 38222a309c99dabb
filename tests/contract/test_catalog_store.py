"""What the store of resources does, on every database."""

from __future__ import annotations

import pytest

from events.errors import Reject
from events.ports import Entry, NotFound
from infra.catalog.acl import NOBODY, SYSTEM, Acl, Caller, Forbidden
from infra.catalog.entries import Entries
from infra.catalog.query import bind, fields_of, written
from infra.catalog.query.predicate_index import PredicateIndex
from infra.catalog.resources import DataObject, DataRecord, DataSet, Key, Prefix, object_id
from infra.catalog.search import Search
from infra.catalog.store import Conflict, Store

ANN = Caller(frozenset(("user/ann", "group/anyone")))
BOB = Caller(frozenset(("user/bob", "group/lab", "group/anyone")))


@pytest.fixture
def store(database):
    return Store(database)


def made(store, key="k", caller=ANN, **more):
    return store.create(DataObject(bucket="b", key=key, **more), caller)


def test_an_object_lives_from_new_to_ready(store):
    new = made(store, name="n", tags=["t"], geometry={"type": "Point", "coordinates": [1, 2]}, timestamp="2026-01-01")
    assert (new.state, new.revision, new.acl, new.id) == ("NEW", 1, Acl(owners=["user/ann"]), object_id("b", "k"))
    uploading = store.transition(new.id, "upload", ANN, expires=1, upload="u")
    assert (uploading.state, uploading.upload) == ("UPLOADING", "u")
    assert store.overdue() == [new.id]
    done = store.transition(new.id, "ready", ANN, bytes=5, etag="e", digests={"sha256": "x"})
    assert (done.state, done.bytes, done.upload, done.expires, done.digests) == ("READY", 5, "", "", {"sha256": "x"})
    assert store.overdue() == []
    assert store.transition(new.id, "ready", ANN) == done == store.get(new.id, ANN)
    assert (done.geometry, done.tags, done.timestamp) == (new.geometry, ["t"], "2026-01-01T00:00:00.000Z")
    with pytest.raises(Conflict, match="it is READY"):
        store.transition(new.id, "fail", ANN)
    with pytest.raises(Conflict, match="s3://b/k is taken"):
        made(store)


def test_a_notification_and_a_create_meet_on_one_row(store, database):
    new = made(store, name="mine")
    store.transition(new.id, "upload", ANN, expires=1)
    entries = Entries(database)
    assert entries.upsert(Entry(bucket="b", key="k", sequence="1", etag="e", size=7))
    found = store.get(new.id, ANN)
    assert (found.state, found.bytes, found.name, found.acl, found.expires) == ("READY", 7, "mine", new.acl, "")
    assert store.transition(new.id, "ready", ANN).bytes == 7
    store.delete(new.id, ANN)
    gone = entries.get("b", "k")
    assert gone is not None
    assert gone.state == "removed"
    with pytest.raises(NotFound):
        store.get(new.id, ANN)
    again = made(store, caller=BOB)
    assert (again.state, again.name, again.acl.owners) == ("NEW", "", ["user/bob"])


def test_lists_hold_everywhere(store):
    secret = made(store, "secret")
    shared = made(store, "shared", acl=Acl(owners=["user/ann"], view=["group/lab"]))
    assert [item["key"] for item in store.search("data-object", Search(), BOB).items] == ["shared"]
    assert store.search("data-object", Search(), NOBODY).items == []
    assert len(store.search("data-object", Search(), SYSTEM).items) == 2
    assert store.aggregate("data-object", Search(), BOB)["count"] == 1
    with pytest.raises(NotFound):
        store.get(secret.id, BOB)
    with pytest.raises(NotFound):
        store.edit(secret.id, {"name": "x"}, BOB)
    with pytest.raises(Forbidden):
        store.edit(shared.id, {"name": "x"}, BOB)
    with pytest.raises(Forbidden):
        store.delete(shared.id, BOB)
    editing = store.edit(shared.id, {"acl": {"owners": ["user/ann"], "edit": ["user/bob"]}}, ANN)
    assert store.edit(shared.id, {"name": "x"}, BOB).name == "x"
    with pytest.raises(Forbidden):
        store.edit(shared.id, {"acl": {"owners": ["user/bob"]}}, BOB)
    with pytest.raises(Reject, match="owners"):
        store.edit(shared.id, {"acl": {"view": ["user/bob"]}}, ANN)
    assert editing.revision == 2


def test_an_edit_needs_the_revision_it_names(store):
    new = made(store)
    store.edit(new.id, {"name": "one", "description": "d"}, ANN, '"1"')
    with pytest.raises(Conflict) as failed:
        store.edit(new.id, {"name": "two"}, ANN, '"1"')
    assert failed.value.status == 412
    assert store.edit(new.id, {"description": None}, ANN).description == ""
    for wrong in (
        {"state": "READY"},
        {"name": 5},
        {"geometry": {"type": "Point", "coordinates": [500]}},
        {"timestamp": "soon"},
    ):
        with pytest.raises(Reject):
            store.edit(new.id, wrong, ANN)


def test_pages_in_any_order_join_without_gap_or_repetition(store):
    for i in range(23):
        store.create(DataRecord(metadata={"g": i % 3, **({"x": i // 2} if i % 4 else {"x": str(i)} if i % 8 else {})}), ANN)
    for order in (
        [],
        [("g", False)],
        [("x", True)],
        [("g", True), ("x", False), ("name", False)],
        [("timestamp", False)],
        [("id", True)],
    ):
        whole = [item["id"] for item in store.search("data-record", Search(orderby=order), ANN).items]
        assert len(set(whole)) == 23
        found, after = [], ""
        while True:
            page = store.search("data-record", Search(orderby=order, limit=4, after=after, select=["id"]), ANN)
            found += [item["id"] for item in page.items]
            after = page.next
            if not after:
                break
        assert found == whole, order
    with pytest.raises(Reject):
        store.search("data-record", Search(after="nonsense"), ANN)
    with pytest.raises(Reject):
        store.search(
            "data-record", Search(after=store.search("data-record", Search(limit=1), ANN).next, orderby=[("id", True)]), ANN
        )


def test_filters_find_in_columns_metadata_text_and_space(store, database):
    Entries(database).upsert(Entry(bucket="b", key="raw/flood_map.tif", sequence="1", metadata={"rows": 5, "s": "ü"}, size=9))
    store.edit(
        object_id("b", "raw/flood_map.tif"),
        {"geometry": {"type": "Point", "coordinates": [12.3, 45.4]}, "timestamp": "2026-02-01", "description": "Acqua alta"},
        SYSTEM,
    )
    made(store, "other", caller=SYSTEM)
    box = {"bbox": [12, 45, 13, 46]}
    for wanted in (
        {"op": "=", "args": [{"property": "rows"}, 5]},
        {"op": ">", "args": [{"property": "bytes"}, 8]},
        {"op": "=", "args": [{"property": "metadata.s"}, "ü"]},
        {"op": "fulltext", "args": ["flood ALTA"]},
        {"op": "s_intersects", "args": [{"property": "geometry"}, box]},
        {"op": "t_after", "args": [{"property": "timestamp"}, {"timestamp": "2026-01-01T00:00:00Z"}]},
        {"op": "like", "args": [{"property": "key"}, "raw/%"]},
    ):
        assert [item["key"] for item in store.search("data-object", Search(filter=wanted), NOBODY).items] == [
            "raw/flood_map.tif"
        ], wanted
        assert store.aggregate("data-object", Search(filter=wanted), NOBODY)["count"] == 1
    store.edit(object_id("b", "raw/flood_map.tif"), {"geometry": None, "description": "dry"}, SYSTEM)
    for gone in ({"op": "fulltext", "args": ["alta"]}, {"op": "s_intersects", "args": [{"property": "geometry"}, box]}):
        assert store.search("data-object", Search(filter=gone), SYSTEM).items == []


def test_an_attribute_that_is_not_set_has_no_value(store):
    for name, description in (("a", "told"), ("b", ""), ("", "")):
        store.create(DataRecord(name=name, description=description, metadata={"note": ""}), ANN)

    def names(filter: str, lang: str = "") -> list[str]:
        found = written(filter, lang)
        wanted = Search(filter=found.ast, written=[found], orderby=[("name", False)])
        page = store.search("data-record", wanted, ANN).items
        index = PredicateIndex()
        index.add(1, found.bound(fields_of("data-record"), bind))
        everything = store.search("data-record", Search(orderby=[("name", False)]), ANN).items
        assert [one["id"] for one in everything if index.match(one)] == [one["id"] for one in page], filter
        assert store.aggregate("data-record", wanted, ANN)["count"] == len(page)
        return [item["name"] for item in page]

    assert names("description IS NULL") == names("description = null", "cimi") == names("description = ''") == ["", "b"]
    assert names("description IS NOT NULL") == names("description != null", "cimi") == names("description <> ''") == ["a"]
    assert names("name IN ('', 'a')") == ["", "a"]
    assert names("name IN ('', 'a') AND NOT description = 'x'") == ["a"]
    assert names("description <> 'x'") == names("NOT description = 'x'") == names("description < 'z'") == ["a"]
    assert names("description LIKE '%'") == names("NOT description LIKE 'x%'") == ["a"]
    assert names("name = description OR description >= name") == ["a"]
    assert names("note = ''") == ["", "a", "b"], "an empty text in metadata is a text"
    answers = store.aggregate(
        "data-record", Search(aggregation=[("missing", "description"), ("count", "name"), ("terms", "name")]), ANN
    )["aggregations"]
    assert answers["missing:description"] == answers["count:name"] == 2
    assert [each["value"] for each in answers["terms:name"]] == ["a", "b"]


def test_registered_prefixes_and_types_are_kept(store):
    with pytest.raises(Reject, match="not registered"):
        store.create(DataRecord(metadata={"per:zone": 1}), ANN)
    for work in (store.create, lambda wanted, caller: store.import_many([wanted], caller)):
        with pytest.raises(Forbidden):
            work(Prefix(prefix="per"), ANN)
    store.create(Prefix(prefix="per", uri="http://example.org/per#"), SYSTEM)
    store.create(Key(key="per:zone", kind="data-record", type="string"), SYSTEM)
    again = Store(store.database)
    with pytest.raises(Reject, match="registered as text"):
        again.create(DataRecord(metadata={"per:zone": 1}), ANN)
    assert again.create(DataRecord(metadata={"per:zone": "a"}), ANN).metadata == {"per:zone": "a"}
    with pytest.raises(Conflict):
        store.create(Prefix(prefix="per", uri="other"), SYSTEM)


def test_a_data_set_has_filters_that_make_sense(store):
    good = store.create(DataSet(object_filter="format = 'fits' AND rows > 5"), ANN)
    assert store.get(good.id, ANN) == good
    with pytest.raises(Reject):
        store.create(DataSet(object_filter="format = "), ANN)
    store.delete(good.id, ANN)
    with pytest.raises(NotFound):
        store.get(good.id, ANN)


def test_many_are_imported_once(store):
    many = [DataObject(bucket="b", key=str(i), state="READY", bytes=i) for i in range(10)]
    assert store.import_many(many, ANN) == 10
    assert store.import_many(many, ANN) == 0
    assert [found.bytes for found in store.all("data-object")] == list(range(10))


def test_who_acts_as_nobody_is_not_who_sees_everything(store):
    made(store)
    asked = Search(filter={"op": "=", "args": [{"property": "key"}, "k"]})
    for caller, seen in ((SYSTEM, 1), (Caller(frozenset()), 0), (SYSTEM, 1)):
        assert len(store.search("data-object", asked, caller).items) == seen
        assert store.aggregate("data-object", asked, caller)["count"] == seen
