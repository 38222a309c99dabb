"""Objects that match a binding start its function; preprocessing loses nothing and shows nobody what he may not see."""

from __future__ import annotations

import gzip
import io
import json
from typing import Any

import pyarrow.parquet as pq
import pytest

from events.event import Event
from events.ports import NotFound
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
