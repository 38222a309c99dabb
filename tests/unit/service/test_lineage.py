"""Lineage: each invocation with what it used and generated, recorded once, shown to those who may view."""

from __future__ import annotations

import time
from typing import Any

from infra.catalog import lineage, lineage_silent
from infra.catalog.database import Database
from infra.catalog.lineage import Entity, Invocation, record
from infra.catalog.lineage_silent import SilentInvocation
from infra.runtime.lineage_reader import LineageReader, position
from infra.runtime.silent_recorder import SilentRecorder
from tests.conftest import eventually
from tests.unit.service.conftest import both_stores
from tests.unit.service.test_bindings import CSV, bound, put

pytestmark = both_stores


def recorded(service) -> LineageReader:
    reader = LineageReader(service.lake)
    while reader.step():
        pass
    return reader


def test_an_object_is_known_by_what_made_it_and_what_became_of_it(service) -> None:
    admin = service.as_()
    bound(admin, convert="parquet", keep=False, target="s3://tidy/")
    answer = admin.post("/data-sets", json={"object-filter": "format = 'parquet'"})
    put(service, "s.csv", CSV)
    recorded(service)
    found = admin.get("/lineage/tidy/s.parquet").json()
    assert [each["function"] for each in found["origin"]] == ["preprocess"]
    (made,) = found["origin"]
    assert [each["entity"] for each in made["used"]] == ["s3://raw/s.csv"]
    assert [each["entity"] for each in made["generated"]] == ["s3://tidy/s.parquet"]
    assert made["generated"][0]["version"] == service.objects.head("tidy", "s.parquet").etag
    uses = {each["function"]: each for each in found["use"]}
    assert uses.keys() >= {"ingest", "metadata", "catalog", "dataset"}
    sets = [each["entity"] for each in uses["dataset"]["generated"]]
    assert sets == [answer.json()["id"]]
    upwards = admin.get("/lineage/raw/s.csv").json()
    assert "preprocess" in {each["function"] for each in upwards["use"]}
    prov = admin.get("/lineage/tidy/s.parquet", params={"format": "prov-json"}).json()
    assert len(prov["activity"]) == len({each["id"] for each in (*found["origin"], *found["use"])})
    for relation in (*prov["used"].values(), *prov["wasGeneratedBy"].values()):
        assert relation["prov:entity"] in prov["entity"]
        assert relation["prov:activity"] in prov["activity"]
    assert admin.get("/lineage/tidy/none").status_code == 404
    assert admin.get("/lineage/tidy/s.parquet", params={"format": "x"}).status_code == 400


def test_what_a_function_did_without_telling_of_it_is_an_activity_too(service) -> None:
    admin, reader, recorder = service.as_(), LineageReader(service.lake), SilentRecorder(service.lake)
    assert admin.post("/data-objects", json={"bucket": "raw", "key": "s.csv", "content-type": "text/csv"}).status_code == 201
    put(service, "s.csv", CSV)

    def silent() -> dict[str, Any]:
        while recorder.step() or reader.step():
            pass
        found = admin.get("/lineage/raw/s.csv").json()["use"]
        return {each["function"]: each for each in found if each["function"] == "bind"}

    eventually(silent, 30, "that bind found no binding to be recorded")
    (found,) = silent().values()
    assert [each["entity"] for each in found["used"]] == ["s3://raw/s.csv"]
    assert (found["generated"], found["failed"], found["started"] <= found["ended"]) == ([], "", True)
    prov = admin.get("/lineage/raw/s.csv", params={"format": "prov-json"}).json()
    assert found["id"].partition("/")[2] in str(prov["activity"])
    with service.lake.database() as database:
        assert lineage_silent.forget(database, 0, 1) is False, "nothing is that old"

    def forget(database: Database) -> tuple[None, tuple[()]]:
        while lineage_silent.forget(database, time.time_ns() // 10**6 + 60_000, 2):
            pass
        return None, ()

    service.lake.commit(forget).result(10)
    assert silent() == {}, "the log has forgotten that event, too"
    assert admin.get("/lineage/raw/s.csv").json()["use"], "what was told of stays"


def test_nobody_sees_a_silent_invocation_with_something_that_he_may_not_view(service) -> None:
    ann, bob = service.as_("ann"), service.as_("bob")
    for key, acl in (("mine", {"owners": ["user/ann"]}), ("ours", {"owners": ["user/ann"], "view": ["group/anyone"]})):
        assert ann.post("/data-objects", json={"bucket": "raw", "key": key, "acl": acl}).status_code == 201
    one, both = ("s3://raw/ours", ""), ("s3://raw/mine", "")
    told = [SilentInvocation("f", "1", 1, 2, frozenset((one,))), SilentInvocation("f", "2", 1, 2, frozenset((one, both)))]

    def work(database: Database) -> tuple[None, tuple[()]]:
        lineage_silent.record(database, told)
        return None, ()

    service.lake.commit(work).result(10)

    def seen(client) -> list[list[str]]:
        found = client.get("/lineage/raw/ours").json()["use"]
        return sorted([used["entity"] for used in each["used"]] for each in found if each["function"] == "f")

    assert seen(bob) == [["s3://raw/ours"]]
    assert seen(ann) == [["s3://raw/mine", "s3://raw/ours"], ["s3://raw/ours"]]


def test_an_invocation_that_replied_when_it_ran_again_is_not_shown_as_silent_too(service) -> None:
    admin = service.as_()
    put(service, "s.csv", CSV)
    used = ("s3://raw/s.csv", "")
    silent = [SilentInvocation(name, "c", 1, 2, frozenset((used,))) for name in ("replied", "failed")]
    loud = [
        Invocation("activity/replied/1", "replied", "c", 1, 3, frozenset((Entity(*used),)), frozenset((Entity("event/1"),))),
        Invocation("activity/failed/1", "failed", "c", 1, 3, frozenset((Entity(*used),)), frozenset(), "it broke"),
    ]

    def work(database: Database) -> tuple[None, tuple[()]]:
        lineage_silent.record(database, silent)
        record(database, loud)
        return None, ()

    service.lake.commit(work).result(10)
    found = [each for each in admin.get("/lineage/raw/s.csv").json()["use"] if each["function"] in ("replied", "failed")]
    told = sorted((each["function"], len(each["generated"]), each["failed"]) for each in found)
    assert told == [
        ("failed", 0, ""),  # its dead letter was replayed, and went well
        ("failed", 0, "it broke"),
        ("replied", 1, ""),
    ]


def test_it_is_recorded_once_and_goes_on_where_another_stopped(service) -> None:
    put(service, "s.csv", CSV)
    late = LineageReader(service.lake)
    late._position = 0
    reader = recorded(service)

    def counted() -> list[int]:
        with service.lake.database() as database:
            tables = ("activity", "used", "generated")
            return [database.row(f"SELECT count(*) FROM {table}")[0] for table in tables] + [position(database)]

    before = counted()
    assert before[0] >= 3
    assert late.step()
    assert counted() == before
    assert not reader.step()
    again = LineageReader(service.lake)
    assert not again.step()
    put(service, "t.csv", CSV)
    assert again.step()
    assert counted()[0] > before[0]


def test_nobody_sees_what_he_may_not_view(service) -> None:
    ann, bob = service.as_("ann"), service.as_("bob")
    bound(ann, convert="parquet", target="s3://tidy/")
    ann.post("/data-objects", json={"bucket": "raw", "key": "s.csv", "content-type": "text/csv"})
    put(service, "s.csv", CSV)
    recorded(service)
    assert ann.get("/lineage/tidy/s.parquet").status_code == 200
    assert bob.get("/lineage/tidy/s.parquet").status_code == 404
    assert bob.get("/lineage/raw/s.csv").status_code == 404
    id = ann.get("/data-objects", params={"filter": "bucket = 'tidy'"}).json()["resources"][0]["id"].rpartition("/")[2]
    opened = ann.patch(f"/data-objects/{id}", json={"acl": {"view": ["group/anyone"]}})
    assert opened.status_code == 200
    shown = bob.get("/lineage/tidy/s.parquet")
    assert shown.status_code == 200
    assert "raw/s.csv" not in shown.text


def test_what_failed_is_an_activity_with_its_cause(service) -> None:
    admin = service.as_()
    bound(admin, columns=["nosuch"], convert="parquet")
    put(service, "s.csv", CSV)
    recorded(service)
    (failed,) = [each for each in admin.get("/lineage/raw/s.csv").json()["use"] if each["failed"]]
    assert (failed["function"], "nosuch" in failed["failed"], failed["generated"]) == ("preprocess", True, [])
    prov = admin.get("/lineage/raw/s.csv", params={"format": "prov-json"}).json()
    assert [each for each in prov["activity"].values() if "nosuch" in each.get("lake:failed", "")]


def test_an_entity_of_many_activities_has_all_of_them_or_says_that_there_are_more(service, monkeypatch) -> None:
    admin = service.as_()
    put(service, "s.csv", CSV)
    used = frozenset((Entity("s3://raw/s.csv"),))
    many = [Invocation(f"activity/f/{n}", "f", "c", n, n, used, frozenset()) for n in range(250)]

    def work(database: Database) -> tuple[None, tuple[()]]:
        record(database, many)
        return None, ()

    service.lake.commit(work).result(10)
    found = admin.get("/lineage/raw/s.csv").json()
    assert (len(found["use"]), found["cut"]) == (250, False)
    monkeypatch.setattr(lineage, "MOST", 249)
    found = admin.get("/lineage/raw/s.csv").json()
    assert (len(found["use"]), found["cut"]) == (249, True)
