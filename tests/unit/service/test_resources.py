"""Resources by HTTP: revisions, patches, searches and bulk imports; the OpenAPI document; keys."""

from __future__ import annotations

import json
from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from infra.runtime.api import Api


def record(client, **more) -> Any:
    answer = client.post("/data-records", json={"name": "r", **more})
    assert answer.status_code == 201, answer.text
    return answer.json()


def path_of(resource: dict[str, Any]) -> str:
    kind, _, name = resource["id"].partition("/")
    return f"/{kind}{'es' if kind == 'prefix' else 's'}/{name}"


def test_a_change_is_made_to_the_revision_it_was_meant_for(service) -> None:
    ann = service.as_("ann")
    made = record(ann, metadata={"rows": 5, "deep": {"a": 1, "b": 2}}, tags=["x"])
    found = ann.get(path_of(made))
    tag = found.headers["etag"]
    assert ann.get(path_of(made), headers={"if-none-match": tag}).status_code == 304
    patch = {"metadata": {"deep": {"a": None, "c": 3}}, "tags": None}
    changed = ann.patch(path_of(made), json=patch, headers={"if-match": tag})
    assert changed.status_code == 200, changed.text
    assert (changed.json()["metadata"], changed.json()["tags"]) == ({"rows": 5, "deep": {"b": 2, "c": 3}}, [])
    late = ann.patch(path_of(made), json={"name": "late"}, headers={"if-match": tag})
    assert late.status_code == 412
    assert ann.delete(path_of(made), headers={"if-match": tag}).status_code == 412
    whole = ann.put(path_of(made), json={"name": "whole"}, headers={"if-match": changed.headers["etag"]}).json()
    assert (whole["name"], whole["metadata"], whole["acl"]) == ("whole", {}, {"owners": ["user/ann"]})
    assert ann.put(path_of(made), json=whole).json()["revision"] == whole["revision"] + 1, (
        "a document may come back as it was read"
    )
    assert ann.delete(path_of(made)).status_code == 204
    assert ann.get(path_of(made)).status_code == 404


def test_preconditions_are_lists_of_entity_tags(service) -> None:
    ann = service.as_("ann")
    made = record(ann)
    path = path_of(made)
    for tags, status in (('W/"1"', 304), ('"7", "1"', 304), ('W/"7", W/"1"', 304), ("*", 304), ('"7"', 200), ("1", 200)):
        assert ann.get(path, headers={"if-none-match": tags}).status_code == status, tags
    several = [("if-none-match", '"7"'), ("if-none-match", '"1"')]
    assert ann.get(path, headers=several).status_code == 304
    assert ann.patch(path, json={"name": "a"}, headers={"if-match": '"7", "1"'}).status_code == 200
    assert ann.put(path, json={"name": "b"}, headers={"if-match": '"1", "2"'}).status_code == 200
    for tags in ('W/"3"', '"1", "2"', "3"):
        assert ann.delete(path, headers={"if-match": tags}).status_code == 412, tags
    assert ann.delete(path, headers={"if-match": '"1", "3"'}).status_code == 204


@pytest.mark.parametrize(
    ("noun", "document", "told"),
    [
        ("data-records", {"nmae": "x"}, "nmae"),
        ("data-records", {"name": 5}, "name"),
        ("data-records", {"resource-type": "data-set"}, "data-set"),
        ("data-records", {"acl": {"view": ["user/bob"]}}, "owners"),
        ("data-records", {"acl": {"onwers": []}}, "onwers"),
        ("data-records", {"metadata": {"nobody:x": 1}}, "nobody"),
        ("data-records", {"timestamp": "yesterday"}, "timestamp"),
        ("data-records", {"metadata": {"a": "x\x00y"}}, "U+0000"),
        ("data-records", [1], "object"),
        ("data-sets", {"complete": {"count": "many"}}, "count"),
    ],
)
def test_what_makes_no_sense_is_refused_with_the_reason(service, noun, document, told) -> None:
    answer = service.as_("ann").post(f"/{noun}", json=document)
    assert answer.status_code == 400
    assert told in answer.json()["error"]


def test_a_body_may_not_be_nested_without_end(service) -> None:
    body = b'{"metadata":' + b'{"a":' * 5000 + b"1" + b"}" * 5001
    answer = service.as_("ann").post("/data-records", content=body)
    assert (answer.status_code, answer.json()) == (400, {"error": "the body is nested too deep"})


def test_searches_are_filtered_ordered_paged_and_summed(service) -> None:
    ann = service.as_("ann")
    for number in range(7):
        record(ann, name=f"r{number}", metadata={"rows": number})
    filters = {"cql2-text": "rows >= 2", "cimi": "metadata/rows>=2"}
    filters["cql2-json"] = json.dumps({"op": ">=", "args": [{"property": "rows"}, 2]})
    for lang, text in filters.items():
        query = {"filter": text, "filter-lang": lang, "orderby": "-name", "limit": 2, "select": "name"}
        names: list[str] = []
        while query.get("after") is not None or not names:
            page = ann.get("/data-records", params=query).json()
            names += [each["name"] for each in page["resources"]]
            query["after"] = page["next"]
        assert names == ["r6", "r5", "r4", "r3", "r2"], lang
    asked = {"filter": "rows >= 2", "aggregation": ["avg:rows", "max:rows"], "limit": 0}
    found = ann.get("/data-records", params=asked).json()
    assert (found["count"], found["resources"]) == (5, [])
    assert set(map(float, found["aggregations"].values())) == {4.0, 6.0}


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ({"filter": "rows >="}, "^"),
        ({"filter": "rows > 1", "filter-lang": "sql"}, "sql"),
        ({"fliter": "x"}, "fliter"),
        ({"limit": "-1"}, "limit"),
        ({"after": "nonsense"}, "after"),
        ({"aggregation": "avg"}, "avg"),
        ({"aggregation": "magic:rows"}, "magic"),
    ],
)
def test_searches_that_make_no_sense_are_refused(service, query, told) -> None:
    answer = service.as_("ann").get("/data-records", params=query)
    assert answer.status_code == 400, answer.text
    assert told in answer.json()["error"]


def test_a_bulk_import_tells_how_far_it_is_and_repeats_harmlessly(service) -> None:
    ann = service.as_("ann")
    lines = [json.dumps({"name": f"r{number}", "metadata": {"rows": number}}) for number in range(1200)]
    lines[700] = '{"nmae": 1}'
    lines[701] = "{broken"
    body = "\n".join(lines) + "\n"
    for stored in (1198, 0):
        answer = ann.post("/data-records", params={"bulk": ""}, content=body.encode())
        told = [json.loads(line) for line in answer.text.splitlines()]
        assert {"stored": 0} | told[-1] == {"read": 1200, "stored": stored, "failed": 2, "done": True}
        assert [each["line"] for each in told if "error" in each] == [701, 702]
        assert len(told) > 4
    assert ann.get("/data-records", params={"aggregation": "count:id", "limit": 0}).json()["count"] == 1198
    assert ann.post("/data-objects", params={"bulk": ""}, content=b"{}").status_code == 403
    boss = service.as_("boss", "admin")
    line = json.dumps({"bucket": "b", "key": "k", "state": "READY", "bytes": 7})
    told = json.loads(boss.post("/data-objects", params={"bulk": ""}, content=line).text.splitlines()[-1])
    assert told == {"read": 1, "stored": 1, "done": True}


def test_changes_are_told(service) -> None:
    ann = service.as_("ann")
    made = record(ann)
    ann.patch(path_of(made), json={"name": "n"})
    wanted = {"name": "s", "record-filter": "rows > 1"}
    ann.post("/data-sets", json=wanted)
    types = [each["event"]["type"] for each in ann.get("/events").json()["events"]]
    assert types[:3] == ["dev.sluice.record.updated.v1"] * 2 + ["dev.sluice.dataset.defined.v1"]


def test_the_openapi_document_is_one_and_has_every_route(service) -> None:
    document = service.as_("ann", "read").get("/openapi.json").json()
    OpenAPIV31SpecValidator(document).validate()
    api = Api(service.lake, lambda: True, "http://localhost")
    found: list[Any] = [route for route in api.application().routes if route.methods]  # type: ignore[attr-defined]  # not OPTIONS
    routes = {(method, route.path.replace(":path", "")) for route in found for method in route.methods - {"HEAD"}}
    assert {(method.upper(), path) for path, of in document["paths"].items() for method in of} == routes
    paths = document["paths"]
    named = {
        (path, method): {each["name"] for each in of.get("parameters", ()) if each["in"] == "header"}
        for path, operations in paths.items()
        for method, of in operations.items()
    }
    assert named["/data-records/{id}", "get"] == {"If-None-Match"}
    assert named["/data-objects/{id}", "delete"] == named["/bindings/{id}", "patch"] == {"If-Match"}
    assert {"ETag"} == paths["/data-sets/{id}"]["put"]["responses"]["200"]["headers"].keys()
    assert {"304", "200"} < paths["/keys/{id}"]["get"]["responses"].keys()
    for action, required in (("upload", False), ("download", False), ("complete", True)):
        assert paths[f"/data-objects/{{id}}/{action}"]["post"]["requestBody"]["required"] is required
    bulk = paths["/data-records"]["post"]
    assert bulk["requestBody"]["content"]["application/x-ndjson"]["schema"] == {"type": "string"}
    assert "application/x-ndjson" in bulk["responses"]["200"]["content"]
    assert "application/x-ndjson" not in paths["/data-sets"]["post"]["requestBody"]["content"]
    assert "secret" not in json.dumps(document["components"]["schemas"].get("ShownProvider"))


def test_keys_open_and_close_a_lake(service) -> None:
    anybody = service.as_()
    assert anybody.get("/status").status_code == 200
    assert anybody.post("/api-keys", json={"name": "ann"}).status_code == 400
    made = anybody.post("/api-keys", json={"name": "boss", "scopes": ["admin"]})
    assert made.status_code == 201
    assert anybody.get("/status").status_code == 401
    assert anybody.get("/healthz").status_code == 200
    refused = anybody.post("/events", json={})
    assert (refused.status_code, refused.headers["www-authenticate"]) == (401, 'Bearer realm="sluice"')
    boss = {"authorization": f"Bearer {made.json()['token']}"}
    ann = anybody.post("/api-keys", json={"name": "ann"}, headers=boss).json()
    reader = {"authorization": f"Bearer {ann['token']}"}
    assert anybody.get("/data-records", headers=reader).status_code == 200
    for method, path in (("GET", "/status"), ("GET", "/api-keys"), ("POST", "/data-records"), ("POST", "/events")):
        refused = anybody.request(method, path, headers=reader, json={})
        assert refused.status_code == 403
        assert "insufficient_scope" in refused.headers["www-authenticate"]
    listed = anybody.get("/api-keys", headers=boss).json()["keys"]
    assert [each["name"] for each in listed] == ["boss", "ann"]
    assert "token" not in json.dumps(listed)
    assert anybody.delete(f"/api-keys/{ann['id']}", headers=boss).status_code == 200
    assert anybody.get("/data-records", headers=reader).status_code == 401


def test_what_was_removed_is_nobody_s_to_see(service) -> None:
    ann, boss = service.as_("ann"), service.as_("boss", "admin", "read")
    place = {"bucket": "lake", "key": "gone.csv", "acl": {"owners": ["user/ann"], "view": ["group/anyone"]}}
    made = ann.post("/data-objects", json=place).json()
    assert ann.get("/catalog/lake/gone.csv").json()["state"] == "new"
    assert ann.delete(path_of(made)).status_code == 204
    for reader in (ann, service.as_("bob")):
        assert reader.get("/catalog", params={"state": "removed"}).json()["entries"] == []
        assert reader.get("/catalog/lake/gone.csv").status_code == 404
    assert [each["key"] for each in boss.get("/catalog", params={"state": "removed"}).json()["entries"]] == ["gone.csv"]


def test_a_record_is_about_an_object_or_stands_alone(service) -> None:
    ann = service.as_("ann")
    object = ann.post("/data-objects", json={"bucket": "lake", "key": "a.csv"}).json()["id"]
    made = record(ann, object=object)
    for junk in ("junk", "data-object/", f"{object}x", made["id"], "s3://lake/a.csv"):
        for answer in (ann.post("/data-records", json={"object": junk}), ann.patch(path_of(made), json={"object": junk})):
            assert (answer.status_code, "object:" in answer.json()["error"]) == (400, True), answer.text
    line = b'{"name": "x", "object": "junk"}\n'
    told = ann.post("/data-records", params={"bulk": ""}, content=line).text
    assert "object:" in told
    assert record(ann, object="")["object"] == ""
