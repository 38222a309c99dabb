"""Objects that match a binding start its function; preprocessing loses nothing and shows nobody what he may not see."""

from __future__ import annotations

import gzip
import io
import json
from typing import Any

import pyarrow.parquet as pq
import pytest

from events.errors import Reject
from events.event import Event
from events.ports import NotFound
from events.types import FunctionRequested
from infra.catalog import rows
from infra.catalog.acl import SYSTEM, Acl
from infra.catalog.bindings import StoredBindings
from infra.catalog.resources import Binding, DataObject
from infra.catalog.store import Store
from tests.unit.service.conftest import both_stores

pytestmark = both_stores

CSV = b"star,flux,night\nvega,1.5,1\nsirius,9.5,1\nluyten,0.5,2\n"


def bound(client, **rule: Any) -> str:
    body = {"name": "b", "function": "preprocess", "formats": ["csv"], "prefix": "s3://raw/", "parameters": rule}
    answer = client.post("/bindings", json=body)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def put(service, key: str, content: bytes) -> None:
    service.objects.default.ensure("raw")
    service.objects.write("raw", key, content, content_type="text/csv")
    service.settle()
    service.settle()


def content(service, bucket: str, key: str) -> bytes:
    return b"".join(service.objects.stream(bucket, key))


def letters(service) -> list[str]:
    return [letter.cause for letter in service.lake.log.dead_letters()]


def test_a_table_is_filtered_and_converted_and_the_original_goes_once_that_is_catalogued(service) -> None:
    admin = service.as_()
    rule = {"rows": [["flux", ">", 1]], "columns": ["flux", "star"], "convert": "parquet", "keep": False}
    id = bound(admin, **rule, target="s3://tidy/2026/")
    put(service, "a/stars.csv", CSV)
    table = pq.read_table(io.BytesIO(content(service, "tidy", "2026/a/stars.parquet")))
    assert table.to_pydict() == {"flux": [1.5, 9.5], "star": ["vega", "sirius"]}
    entry = admin.get("/catalog/tidy/2026/a/stars.parquet").json()
    assert (entry["format"], entry["user"]["sluice-source"]) == ("parquet", "s3://raw/a/stars.csv")
    assert entry["user"]["sluice-bindings"] == id
    with pytest.raises(NotFound):
        service.objects.head("raw", "a/stars.csv")
    assert letters(service) == []


def test_the_original_is_kept_unless_the_rule_says_otherwise_and_a_result_is_no_new_original(service) -> None:
    admin = service.as_()
    bound(admin, compress="gzip")
    answer = admin.post("/bindings", json={"function": "preprocess", "parameters": {"compress": "zstd"}})
    assert answer.status_code == 201
    put(service, "s.csv", CSV)
    assert content(service, "raw", "s.csv") == CSV
    assert gzip.decompress(content(service, "raw", "s.csv.gz")) == CSV
    keys = {each.key for each in service.objects.list("raw")}
    assert keys == {"s.csv", "s.csv.gz", "s.csv.zst", "s.csv.gz.zst"}, "each rule once, on what the other made too"
    assert letters(service) == []


def test_a_rule_that_fails_leaves_the_original_and_a_dead_letter(service) -> None:
    admin = service.as_()
    bound(admin, columns=["nosuch"], convert="jsonl", keep=False)
    put(service, "s.csv", CSV)
    assert content(service, "raw", "s.csv") == CSV
    assert len(letters(service)) == 1
    assert "nosuch" in letters(service)[0]
    assert admin.get("/catalog/raw/s.csv").json()["state"] == "ready"


def test_what_is_there_already_is_not_overwritten(service) -> None:
    admin = service.as_()
    put(service, "s.jsonl", b"mine")
    bound(admin, convert="jsonl")
    put(service, "s.csv", CSV)
    assert content(service, "raw", "s.jsonl") == b"mine"
    assert "is no result of" in letters(service)[0]


def test_of_two_originals_whose_results_have_one_name_the_second_is_refused(service) -> None:
    admin = service.as_()
    bound(admin, convert="jsonl", keep=False, target="out/")
    put(service, "s.csv", CSV)
    first = content(service, "raw", "out/s.jsonl")
    other = b"star,flux,night\nalgol,2.1,3\n"
    put(service, "s.CSV", other)
    assert content(service, "raw", "out/s.jsonl") == first
    assert content(service, "raw", "s.CSV") == other, "nothing is lost"
    (letter,) = letters(service)
    assert ("raw/out/s.jsonl" in letter, "s.csv" in letter, "rename one" in letter) == (True, False, True), letter
    assert admin.get("/catalog/raw/out/s.jsonl").json()["state"] == "ready"
    put(service, "s.csv", CSV + b"x,7,2\n")
    assert len(content(service, "raw", "out/s.jsonl").splitlines()) == 4, "the first may come again"
    service.objects.delete("raw", "out/s.jsonl")
    service.settle()
    put(service, "s.CSV", other + b"mira,3,1\n")
    assert len(content(service, "raw", "out/s.jsonl").splitlines()) == 2, "once the place is free, it is anybody's"


def test_of_two_originals_at_the_same_time_the_first_to_ask_gets_the_place(service) -> None:
    """Both were asked for before either result lies there: the store alone could not tell."""
    admin = service.as_()
    put(service, "s.csv", CSV)
    put(service, "s.CSV", CSV)
    bound(admin, convert="jsonl", target="out/")

    def ask(key: str) -> FunctionRequested:
        asked = service.lake.commit(lambda database: (StoredBindings(database, "sluice").requested("raw", key), ()))
        (found,) = asked.result(10)
        assert isinstance(found, FunctionRequested)
        return found

    def current(request: FunctionRequested) -> FunctionRequested | None:
        with service.lake.database() as database:
            return StoredBindings(database, "sluice").current(request)

    first, second = ask("s.csv"), ask("s.CSV")
    assert current(first) == first
    with pytest.raises(Reject, match="another object"):
        current(second)
    service.objects.delete("raw", "s.csv")
    service.settle()
    assert current(second) == second, "whoever waited has gone"


def test_a_new_version_of_the_original_makes_a_new_result(service) -> None:
    bound(service.as_(), convert="jsonl", rows=[["night", "=", 2]], target="out/")
    put(service, "s.csv", CSV)
    put(service, "s.csv", CSV + b"x,7,2\n")
    lines = [json.loads(line) for line in content(service, "raw", "out/s.jsonl").splitlines()]
    assert [line["star"] for line in lines] == ["luyten", "x"]


def test_a_result_is_seen_by_those_who_may_see_the_original(service) -> None:
    ann, bob = service.as_("ann"), service.as_("bob")
    bound(ann, convert="parquet", target="s3://tidy/")
    service.objects.default.ensure("raw")
    made = ann.post("/data-objects", json={"bucket": "raw", "key": "s.csv", "content-type": "text/csv"}).json()
    assert made["acl"] == {"owners": ["user/ann"]}
    put(service, "s.csv", CSV)
    assert ann.get("/catalog/tidy/s.parquet").json()["format"] == "parquet"
    assert bob.get("/catalog/tidy/s.parquet").status_code == 404


def test_nobody_can_wait_for_a_result_at_its_place(service) -> None:
    ann, bob = service.as_("ann"), service.as_("bob")
    bound(ann, convert="parquet", target="s3://tidy/")
    assert bob.post("/data-objects", json={"bucket": "tidy", "key": "s.parquet"}).status_code == 201
    ann.post("/data-objects", json={"bucket": "raw", "key": "s.csv", "content-type": "text/csv"})
    put(service, "s.csv", CSV)
    assert [each.key for each in service.objects.list("tidy")] == []
    assert "other owners" in letters(service)[0]


def test_a_binding_sees_and_removes_what_its_owner_may(service) -> None:
    bob, ann = service.as_("bob"), service.as_("ann")
    bound(bob, convert="parquet", keep=False, target="s3://loot/")
    ann.post("/data-objects", json={"bucket": "raw", "key": "s.csv", "content-type": "text/csv"})
    put(service, "s.csv", CSV)
    put(service, "open.csv", CSV)
    with pytest.raises(NotFound):
        service.objects.head("loot", "s.parquet")
    assert service.objects.head("loot", "open.parquet").size
    assert content(service, "raw", "open.csv") == CSV, "everybody may view it, but not delete it"


def test_a_forged_request_does_nothing(service) -> None:
    put(service, "s.csv", CSV)
    head = service.objects.head("raw", "s.csv")
    data = {"bucket": "raw", "key": "s.csv", "etag": head.etag, "binding": "binding/none", "function": "preprocess"}
    forged = {**data, "parameters": {"convert": "parquet", "keep": False}}
    for number, each in enumerate((forged, {**forged, "result": data})):
        event = Event(id=f"f{number}", source="/x", type="dev.sluice.function.requested.v1", data=each)
        service.lake.append([event]).result(10)
    service.settle()
    assert [each.key for each in service.objects.list("raw")] == ["s.csv"]
    assert letters(service) == []
    other = Event(id="f", source="/x", type="dev.sluice.function.requested.v1", data={**forged, "function": "ingest"})
    assert service.lake.targets(other) == ["function ingest"], "which nobody is"


def test_a_binding_that_can_never_work_is_refused_when_it_is_made_replaced_and_changed(service) -> None:
    admin = service.as_()
    path = f"/bindings/{bound(admin, convert='parquet').rpartition('/')[2]}"
    for body, told in (
        ({"function": "nosuch"}, "nosuch"),
        ({"function": "ingest"}, "ingest"),
        ({"function": "preprocess", "parameters": {"convert": None}}, "convert"),
        ({"function": "preprocess", "parameters": {"covnert": "csv"}}, "covnert"),
        ({"function": "preprocess", "parameters": {"convert": "csv"}, "filter": "rows >"}, "rows"),
    ):
        for answer in (admin.post("/bindings", json=body), admin.put(path, json=body), admin.patch(path, json=body)):
            assert (answer.status_code, told in answer.json()["error"]) == (400, True), answer.text
    found = admin.get(path).json()
    assert (found["revision"], found["parameters"]) == (1, {"convert": "parquet"})
    assert len(admin.get("/bindings").json()["resources"]) == 1


def test_a_binding_whose_function_has_gone_can_be_put_aside_but_not_be_taken_up_again(service) -> None:
    admin = service.as_()
    path = f"/bindings/{bound(admin, convert='parquet').rpartition('/')[2]}"
    assert admin.patch(path, json={"function": "gone", "enabled": False}).status_code == 200
    assert admin.patch(path, json={"description": "later"}).status_code == 200
    answer = admin.patch(path, json={"enabled": True})
    assert (answer.status_code, "gone" in answer.json()["error"]) == (400, True)
    put(service, "s.csv", CSV)
    assert [each.key for each in service.objects.list("raw")] == ["s.csv"]


def test_a_binding_writes_where_its_owner_may_make_objects_and_nowhere_else(service) -> None:
    admin, ann = service.as_("boss", "admin"), service.as_("ann")
    far = {"provider": "far", "endpoint": "http://127.0.0.1:9", "credential": "far", "acl": {"owners": ["group/admin"]}}
    made = admin.post("/providers", json=far)
    assert made.status_code == 201, made.text
    body = {"function": "preprocess", "formats": ["csv"]}
    for target, told in (
        ("s3://sluice/index/evil/", "the lake's own"),
        ("s3://far:loot/", "there is no provider 'far'"),
        ("s3://moon:loot/", "there is no provider 'moon'"),
    ):
        answer = ann.post("/bindings", json={**body, "parameters": {"convert": "parquet", "target": target}})
        assert (answer.status_code, told in answer.json()["error"]) == (400, True), answer.text
    assert ann.get("/bindings").json()["resources"] == []
    path = f"/bindings/{bound(ann, convert='parquet').rpartition('/')[2]}"
    moved = ann.patch(path, json={"parameters": {"target": "s3://sluice/evil/"}})
    assert (moved.status_code, ann.get(path).json()["parameters"]) == (400, {"convert": "parquet"})
    opened = admin.patch(f"/providers/{made.json()['id'].partition('/')[2]}", json={"acl": {"view": ["user/ann"]}})
    assert opened.status_code == 200
    assert ann.patch(path, json={"parameters": {"target": "s3://far:loot/"}}).status_code == 200
    shared = {"convert": "parquet", "target": "s3://far:loot/"}
    given = ann.post("/bindings", json={**body, "acl": {"owners": ["user/bob"]}, "parameters": shared})
    assert given.status_code == 400, "its owner counts, not who makes it"


def test_what_a_binding_may_is_asked_again_when_it_works(service) -> None:
    """Stored before there were rules, or with a provider that its owner may view no more."""
    admin, ann = service.as_("boss", "admin"), service.as_("ann")
    far = {"provider": "far", "endpoint": "http://127.0.0.1:9", "credential": "far"}
    far["acl"] = {"owners": ["group/admin"], "view": ["user/ann"]}  # type: ignore[assignment]
    provider = admin.post("/providers", json=far).json()["id"].partition("/")[2]
    bound(ann, convert="parquet", target="s3://far:loot/")
    assert admin.patch(f"/providers/{provider}", json={"acl": {"view": None}}).status_code == 200
    acl = Acl(owners=["user/ann"])
    evil = Binding(acl=acl, function="preprocess", enabled=True, parameters={"convert": "csv", "target": "s3://sluice/evil/"})
    service.lake.commit(lambda database: (Store(database).create(evil, SYSTEM), ())).result(10)
    put(service, "s.csv", CSV)
    assert [each.key for each in service.objects.list("sluice") if each.key.startswith("evil")] == []
    assert {cause.partition(":")[2].strip() for cause in letters(service)} == {
        "the bucket sluice is the lake's own",
        "there is no provider 'far': see `sluice provider list`",
    }
    assert admin.get("/data-objects", params={"filter": "bucket <> 'raw'"}).json()["resources"] == []


def test_the_place_of_a_result_that_cannot_be_made_says_why(service) -> None:
    ann, bob = service.as_("ann"), service.as_("bob")
    id = bound(ann, columns=["nosuch"], convert="parquet", target="s3://tidy/")
    shared = ann.patch(f"/bindings/{id.partition('/')[2]}", json={"acl": {"view": ["group/anyone"]}})
    assert shared.status_code == 200
    failure = f"/bindings/{id.partition('/')[2]}/failure"
    assert ann.get(failure).json() == {"failure": None}
    ann.post("/data-objects", json={"bucket": "raw", "key": "s.csv", "content-type": "text/csv"})
    put(service, "s.csv", CSV)
    (place,) = ann.get("/data-objects", params={"filter": "bucket = 'tidy'"}).json()["resources"]
    assert (place["state"], "nosuch" in place["cause"], "s3://raw/s.csv" in place["cause"]) == ("FAILED", True, True)
    told = ann.get(failure).json()["failure"]
    (original,) = ann.get("/data-objects", params={"filter": "bucket = 'raw'"}).json()["resources"]
    assert (told["object"], "nosuch" in told["cause"], bool(told["at"])) == (original["id"], True, True)
    assert bob.get(failure).json() == {"failure": None}, "he may not view the object"
    assert bob.get("/bindings/none/failure").status_code == 404
    path = f"/bindings/{id.partition('/')[2]}"
    assert ann.get(path).json()["revision"] == shared.json()["revision"], "nobody has changed the binding"
    ann.patch(path, json={"parameters": {"columns": ["star"]}})
    put(service, "s.csv", CSV + b"x,7,2\n")
    (place,) = ann.get("/data-objects", params={"filter": "bucket = 'tidy'"}).json()["resources"]
    assert (place["state"], place["cause"], place["metadata"]["rows"]) == ("READY", "", 4)


def test_a_rule_that_no_table_could_be_given_is_refused_when_it_is_made(service) -> None:
    admin = service.as_()
    for parameters, told in (
        ({"rows": [["a", ">>", 1]], "convert": "parquet"}, "'>>'"),
        ({"rows": [["a", "in", 1]], "convert": "parquet"}, "list"),
        ({"rows": [["a", ">", 1]]}, "target"),
        ({"columns": ["a"], "compress": "none"}, "target"),
        ({"convert": "csv"}, "target"),
    ):
        body = {"function": "preprocess", "formats": ["csv"], "parameters": parameters}
        answer = admin.post("/bindings", json=body)
        assert (answer.status_code, told in answer.json()["error"]) == (400, True), answer.text


def test_content_types_are_chosen_as_all_texts_are(service) -> None:
    acl = Acl(owners=["group/admin"])
    found = DataObject(acl=acl, bucket="raw", key="s.csv", content_type="text/csv[1]")
    with service.lake.database() as database:
        bindings = StoredBindings(database, "sluice")

        def wanted(*patterns: str) -> bool:
            of = Binding(acl=acl, id="binding/1", function="preprocess", enabled=True, content_types=list(patterns))
            return bindings._request(of, found) is not None

        assert all((wanted(), wanted("text/*"), wanted("image/*", "text/*1]"), wanted("text/csv[1]")))
        assert not any((wanted("text/csv?1]"), wanted("text/csv[[]1]"), wanted("Text/*"), wanted("csv")))


def test_only_bindings_that_may_match_are_made_of_rows(service, monkeypatch) -> None:
    admin = service.as_()
    wanted: list[dict[str, Any]] = [
        {"formats": ["csv"]}, {"formats": ["fits", "csv"], "prefix": "ü/"}, {"prefix": "s3://raw/ü/a"}, {},
        {"content-types": ["text/*"]},
    ]  # fmt: skip
    other: list[dict[str, Any]] = [
        {"formats": ["fits"]},
        {"prefix": "s3://other/"},
        {"prefix": "a"},
        {"enabled": False},
        {"prefix": "ü/ab"},
    ]
    for number, each in enumerate([*wanted, *other]):
        body = {
            "name": str(number),
            "function": "preprocess",
            "parameters": {"compress": "gzip", "target": f"{number}/"},
            **each,
        }
        assert admin.post("/bindings", json=body).status_code == 201
    made: list[str] = []
    real = rows.resource

    def counted(kind: str, row: Any, acl: Acl) -> Any:
        made.extend([row["name"]] if kind == "binding" else [])
        return real(kind, row, acl)

    put(service, "ü/a.csv", CSV)
    results = {each.key for each in service.objects.list("raw")} - {"ü/a.csv"}
    assert {key.partition("/")[0] for key in results if key.endswith("/ü/a.csv.gz") and key.count("/") == 2} == set("01234")
    monkeypatch.setattr(rows, "resource", counted)
    with service.lake.database() as database:
        StoredBindings(database, "sluice").requested("raw", "none")
        assert made == []
        found = DataObject(bucket="raw", key="ü/a.csv", format="csv")
        assert [each.name for each in StoredBindings(database, "sluice")._bindings(found)] == list("01234")
    assert made == list("01234")


def test_a_result_of_a_task_has_a_place_that_is_the_owners_of_its_binding(service) -> None:
    bob = service.as_("bob")
    own = Binding(acl=Acl(owners=["user/ann"], view=["user/bob"]), function="run_task", enabled=True)

    def place(key: str, bucket: str = "results", binding: str = "") -> None:
        def work(database: Any) -> tuple[None, tuple[()]]:
            asked = FunctionRequested(
                bucket="raw", key="s.csv", etag="e", size=1, binding=binding or bound_to, function="run_task"
            )
            StoredBindings(database, "sluice").place(asked, bucket, key)
            return None, ()

        service.lake.commit(work).result(10)

    bound_to: str = service.lake.commit(lambda database: (Store(database).create(own, SYSTEM), ())).result(10).id
    for _ in range(2):
        place("mine")
    (found,) = service.as_("ann").get("/data-objects").json()["resources"]
    assert (found["key"], found["acl"], found["state"]) == ("mine", {"owners": ["user/ann"]}, "NEW")
    assert bob.get("/data-objects").json()["resources"] == [], "who may view a binding need not see what it makes"
    assert bob.post("/data-objects", json={"bucket": "results", "key": "his"}).status_code == 201
    for arguments, told in (
        ({"key": "his"}, "other owners"),
        ({"key": "k", "bucket": "sluice"}, "the lake's own"),
        ({"key": "k", "bucket": "far:results"}, "no provider"),
        ({"key": "k", "binding": "binding/none"}, "has gone"),
    ):
        with pytest.raises(Reject, match=told):
            place(**arguments)
