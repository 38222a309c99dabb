"""Whatever happens to what a list denies, every GET route answers as before: the routes are those of the OpenAPI document."""

from __future__ import annotations

import itertools
import json
import re
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from infra.runtime.lineage_reader import LineageReader
from infra.runtime.quiet import Quiet

WORD = "zanzibar"
WHO = ("user/ann", "user/eve", "group/optics", "group/anyone", "group/admin")
RIGHTS = ("owners", "view", "edit", "manage", "delete")
LISTS = st.dictionaries(st.sampled_from(RIGHTS), st.lists(st.sampled_from(WHO), min_size=1, max_size=2, unique=True)).map(
    lambda acl: {**acl, "owners": acl.get("owners", ["user/ann"])}
)
#: Query parameter -> what to ask with it. A route with another one fails the test until it is said here how to ask.
ASKED: dict[str, list[str]] = {
    "filter": [
        f"name LIKE '{WORD}%'", f"NOT (name LIKE '{WORD}%')", "1 / (rows - 7) > 0", "rows + 9223372036854775807 > 0",
        "fulltext('" + WORD + "')", "S_INTERSECTS(geometry, BBOX(-1,-1,9,9))", "metadata.odd > 3",
        "created > TIMESTAMP('2026-01-01T00:00:00Z')",
    ],
    "filter-lang": ["cql2-json", "cimi"],
    "orderby": ["name", "-created", "-rows"],
    "select": ["name,acl", "metadata.rows,metadata.odd"],
    "limit": ["0", "1", "3", "10000"], "first": ["1", "2", "9"], "last": ["0", "1", "3"],
    "after": ["0", "1", "a", "lake/"],
    "aggregation": ["count:name", "cardinality:name", "min:name", "terms:name",
        "terms:tags", "max:rows", "percentiles:rows", "avg:rows"],
    "bucket": ["lake"], "prefix": [WORD, ""], "name": [f"{WORD}*", "*"], "format": ["csv", "prov-json"],
    "state": ["", "new", "removed"], "since": ["2000-01-01"], "until": ["2100-01-01"], "where": ["rows>=1", "rows=7"],
    "repository": ["models"], "model": [WORD], "query": ["SELECT * { ?s ?p ?o }"], "subject": [WORD], "class": ["Person"],
    "person": [WORD], "default-graph-uri": ["https://sluice.dev/graph/state"], "named-graph-uri": ["https://sluice.dev/graph/state"],
    "version": ["1"], "type": ["*", "dev.sluice.dataset.*"],
    "as-of": ["1", "1000000", "2100-01-01T00:00:00Z"], "follow": ["1"],
    "metric": ["heat"], "tag": ["of=lake"], "fn": ["last", "count"], "start": ["-1h"], "end": ["-1s"], "interval": ["1m"],
    "window": ["5m"], "by": ["of"],
}  # fmt: skip
#: Routes whose answers must be others for who may see what has happened.
TELLING = (
    "/catalog", "/catalog.ttl", "/catalog.jsonld", "/data-objects", "/data-records", "/data-sets", "/bindings", "/keys",
    "/prefixes", "/providers", "/events", "/data-sets/{id}/members",
)  # fmt: skip
_numbers = itertools.count()


class Viewer:
    """Asks every GET route all that there is to ask."""

    def __init__(self, client: httpx.Client, principals: set[str], known: dict[str, str]) -> None:
        self.client, self.principals, self._known = client, principals, known
        self._document = client.get("/openapi.json").json()["paths"]

    def denied(self, acl: dict[str, list[str]]) -> bool:
        return not self.principals & {name for names in acl.values() for name in names}

    def routes(self) -> list[str]:
        return [path for path, methods in self._document.items() if "get" in methods]

    def paths(self, route: str) -> list[str]:
        """The route with what is known put into it."""
        noun = route.split("/")[1]
        return [re.sub(r"\{(\w+)\}", lambda name: self._known.get(f"{noun}.{name[1]}") or self._known[name[1]], route)]

    def answers(self, plain: bool = False) -> dict[str, list[str]]:
        """What each route answers to each question; ``plain`` asks only the one without parameters."""
        found: dict[str, list[str]] = {}
        for route in self.routes():
            names = [each["name"] for each in self._document[route]["get"]["parameters"] if each["in"] == "query"]
            for path, asked in itertools.product(
                self.paths(route), [{"limit": "10000"} if "limit" in names else {}] if plain else self._asked(names)
            ):
                found.setdefault(route, []).append(f"{asked} {self.answer(path, asked)}")
        return found

    def answer(self, path: str, asked: dict[str, str]) -> str:
        if "follow" in asked or path == "/models/events":
            return "\n".join(sorted(self._lines(path, asked)))
        answer = self.client.get(path, params=asked)
        assert answer.status_code < 500, (path, asked)
        pages = [f"{answer.status_code} {answer.text}"]
        while asked.get("limit") == "1" and answer.status_code == 200 and answer.json().get("next") is not None:
            answer = self.client.get(path, params={**asked, "after": answer.json()["next"]})
            pages.append(answer.text)
        return "\n".join(pages)

    def _asked(self, names: list[str]) -> Iterator[dict[str, str]]:
        assert set(names) <= {*ASKED, "bulk"}, f"say in ASKED what to ask with {set(names) - set(ASKED)}"
        yield {}
        for name in names:
            yield from ({name: value} for value in ASKED.get(name, ()))
        if "aggregation" in names:
            both = zip(ASKED["filter"], ASKED["aggregation"], strict=True)
            yield from ({"filter": filter, "aggregation": of, "limit": "0"} for filter, of in both)

    def _lines(self, path: str, asked: dict[str, str]) -> Iterator[str]:
        with self.client.stream("GET", path, params={"after": "0", **asked}, timeout=0.6) as answer:
            try:
                yield from answer.iter_lines()
            except httpx.ReadTimeout:
                return


def settle(service, lineage: LineageReader) -> None:
    """Wait until nothing follows any more: of an event in the door's hands neither the door nor the log knows for a moment."""
    still = 0
    while still < 5:
        before = len(service.lake.log.tail(0, 100_000))
        Quiet(service.lake).sweep()
        time.sleep(0.1)
        service.settle()
        still = still + 1 if len(service.lake.log.tail(0, 100_000)) == before else 0
    while lineage.step():
        pass


def made(client: httpx.Client, noun: str, **document: Any) -> str:
    answer = client.post(f"/{noun}", json=document)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"].partition("/")[2])


def put(service, key: str) -> None:
    service.objects.default.ensure("lake")
    service.objects.write("lake", key, b"a,b\n1,2\n", content_type="text/csv")


def world(service, boss: httpx.Client) -> dict[str, str]:
    """What everybody may see; the parts of the paths that lead there."""
    put(service, "open.csv")
    shown = {"owners": ["group/admin"], "view": ["group/anyone"]}
    rule = {"function": "preprocess", "formats": ["csv"], "parameters": {"convert": "parquet", "target": "s3://tidy/"}}
    group = {"count": 2, "group-by": "name", "quiet-s": 0.05}
    every = {"object-filter": "bytes > 0", "record-filter": "created > TIMESTAMP('2000-01-01T00:00:00Z')", "complete": group}
    known = {
        "data-records.id": made(boss, "data-records", name="shown", metadata={"rows": 1}, acl=shown),
        "data-sets.id": made(boss, "data-sets", name="shown", **every, acl=shown),
        "bindings.id": made(boss, "bindings", name="shown", **rule, acl=shown),
        "keys.id": made(boss, "keys", key="shown", kind="data-record", acl=shown),
        "prefixes.id": made(boss, "prefixes", prefix="shown", acl=shown),
        "providers.id": made(boss, "providers", provider="shown", endpoint="http://127.0.0.1:9", credential="far", acl=shown),
        "subscriptions.id": "none", "callbacks.id": "none", "bucket": "lake", "key": "open.csv",
    }  # fmt: skip
    service.settle()
    found = boss.get("/data-objects", params={"filter": "key = 'open.csv'"}).json()["resources"]
    return {**known, "data-objects.id": found[0]["id"].partition("/")[2]}


def happen(service, boss: httpx.Client, acl: dict[str, list[str]]) -> dict[str, str]:
    """Something of every kind comes, changes and goes, under this list; what stays."""
    name = f"{WORD}{next(_numbers)}"
    metadata = {"rows": 7, "odd": "text", "word": name}
    point = {"type": "Point", "coordinates": [1, 1]}
    here: dict[str, dict[str, Any]] = {
        "data-objects": {"bucket": "lake", "key": f"{name}.csv", "geometry": point},
        "data-records": {"metadata": metadata, "tags": [name], "geometry": point},
        "data-sets": {"object-filter": "bytes > 0"},
        "bindings": {"function": "preprocess", "prefix": f"{name}/", "parameters": {"convert": "parquet"}},
        "keys": {"key": name, "kind": "data-record", "type": "number", "queryable": True},
        "prefixes": {"prefix": name},
        "providers": {"provider": name, "endpoint": "http://127.0.0.1:9", "credential": "far"},
    }
    ids = {noun: made(boss, noun, name=name, acl=acl, **document) for noun, document in here.items()}
    twin = made(boss, "data-records", name=name, acl=acl, metadata=metadata)
    put(service, f"{name}.csv")
    service.settle()
    boss.post("/subscriptions", json={"sink": "http://127.0.0.1:9/", "types": ["none"]})
    for noun, id in ids.items():
        assert boss.patch(f"/{noun}/{id}", json={"description": name}).status_code == 200
    service.settle()
    assert boss.delete(f"/data-records/{twin}").status_code == 204
    gone = {**here["data-objects"], "key": f"{name}-gone.csv", "acl": acl}
    made(boss, "data-objects", **gone)
    put(service, gone["key"])
    service.settle()
    service.objects.delete("lake", gone["key"])
    return {**ids, "name": name}


def test_no_get_route_tells_of_what_a_list_denies(service) -> None:
    boss, lineage = service.as_("boss", "admin"), LineageReader(service.lake)
    known = world(service, boss)
    callers = {
        "eve": ("read", "write", "events"), "mate": ("read",),
    }  # fmt: skip
    principals = {"eve": ("user/eve",), "mate": ("user/mate", "group/optics")}
    viewers = [
        Viewer(service.as_(name, *scopes, principals=principals[name]), {*principals[name], "group/anyone"}, known)
        for name, scopes in callers.items()
    ]
    settle(service, lineage)
    watch = Viewer(boss, {"group/admin"}, known)
    before = [viewer.answers() for viewer in viewers]

    @settings(max_examples=2, deadline=None, suppress_health_check=list(HealthCheck))
    @given(acl=LISTS)
    def check(acl) -> None:
        seen = watch.answers(plain=True)
        ids = happen(service, boss, acl)
        settle(service, lineage)
        now = watch.answers(plain=True)
        assert not [route for route in TELLING if seen[route] == now[route]]
        for number, viewer in enumerate(viewers):
            then, after = before[number], viewer.answers()
            before[number] = after
            if not viewer.denied(acl):
                assert after["/data-records"] != then["/data-records"]
                continue
            for route, answers in then.items():
                for one, other in zip(answers, after[route], strict=True):
                    assert one == other, route
            for noun, id in ids.items():
                if noun != "name":
                    nothing = "00000000-0000-4000-8000-000000000000"
                    for route in viewer.routes():
                        if route.startswith(f"/{noun}/{{id}}"):
                            told = [viewer.client.get(route.replace("{id}", each)) for each in (id, nothing)]
                            assert [each.status_code for each in told] == [404, 404]
                            assert told[0].text.replace(id, "") == told[1].text.replace(nothing, "")
            for route in ("/catalog/lake/{}.csv", "/lineage/lake/{}.csv"):
                told = [viewer.client.get(route.format(each)) for each in (ids["name"], "nothing")]
                assert told[0].status_code == 404
                assert told[0].text.replace(ids["name"], "nothing") == told[1].text

    check()


def test_a_name_that_is_taken_is_refused_in_the_same_words_whoever_asks(service) -> None:
    ann, eve = service.as_("ann"), service.as_("eve")
    for key, acl in (("hidden", {"owners": ["user/ann"]}), ("shown", {"owners": ["user/ann"], "view": ["user/eve"]})):
        place = {"bucket": "lake", "key": key}
        made(ann, "data-objects", **place, acl=acl)
        told = [client.post("/data-objects", json=place) for client in (ann, eve)]
        put(service, key)
        service.settle()
        told += [client.post("/data-objects", json=place) for client in (ann, eve)]
        assert {each.status_code for each in told} == {409}
        assert {each.json()["error"] for each in told} == {f"s3://lake/{key} is taken: choose another name"}


def types_of(client: httpx.Client) -> list[tuple[str, str]]:
    found = client.get("/events", params={"limit": 1000, "type": "dev.sluice.*"}).json()["events"]
    return [(each["event"]["type"].split(".")[2], each["event"]["data"]["change"]) for each in found]


def test_who_could_see_it_hears_that_it_is_gone(service) -> None:
    ann, eve, bob = service.as_("ann"), service.as_("eve"), service.as_("bob")
    acl = {"owners": ["user/ann"], "view": ["user/eve"]}
    for noun in ("data-records", "data-sets"):
        id = made(ann, noun, name="n", acl=acl)
        assert ann.delete(f"/{noun}/{id}").status_code == 204
    service.settle()
    expected = [("record", "created"), ("record", "removed"), ("dataset", "created"), ("dataset", "removed")]
    assert [types_of(client) for client in (ann, eve, bob)] == [expected, expected, []]


def test_a_new_object_of_an_old_name_shows_nothing_of_the_old_one(service) -> None:
    ann, eve = service.as_("ann"), service.as_("eve")
    place = {"bucket": "lake", "key": "a.csv"}
    old = made(ann, "data-objects", **place, metadata={"secret": WORD})
    ann.patch(f"/data-objects/{old}", json={"name": "mine"})
    assert ann.delete(f"/data-objects/{old}").status_code == 204
    service.settle()
    before = types_of(ann)
    answer = eve.post("/data-objects", json=place)
    assert (answer.status_code, answer.json()["revision"], answer.json()["metadata"]) == (201, 1, {})
    eve.patch(f"/data-objects/{old}", json={"name": "hers"})
    service.settle()
    assert types_of(eve) == [("catalog", "created"), ("catalog", "edited")]
    assert types_of(ann) == before
    assert before[:3] == [("catalog", "created"), ("catalog", "edited"), ("catalog", "removed")]


def test_what_a_group_counts_is_for_those_who_see_all_of_it(service) -> None:
    ann, eve = service.as_("ann"), service.as_("eve")
    shown = {"owners": ["user/ann"], "view": ["user/eve"]}
    every = {"record-filter": "rows > 0", "complete": {"count": 2, "group-by": "rows"}}
    made(ann, "data-sets", name="s", **every, acl=shown)
    service.settle()
    for rows, acl in ((1, shown), (1, shown), (2, shown), (2, {"owners": ["user/ann"]})):
        made(ann, "data-records", name="r", metadata={"rows": rows}, acl=acl)
        service.settle()

    def completed(client: httpx.Client) -> list[str]:
        found = client.get("/events", params={"type": "dev.sluice.dataset.completed.*"}).json()["events"]
        return [each["event"]["data"]["group"] for each in found]

    assert completed(ann) == ["1", "2"]
    assert completed(eve) == ["1"]


@pytest.mark.parametrize("how", ["one", "batch"])
def test_only_administrators_say_what_the_lake_itself_says(service, how) -> None:
    ann, boss = service.as_("ann", "events"), service.as_("boss", "admin")

    def send(client: httpx.Client, type: str) -> httpx.Response:
        event = {"specversion": "1.0", "id": type, "source": "/s", "type": type, "data": {"name": "x"}}
        kind = "application/cloudevents+json" if how == "one" else "application/cloudevents-batch+json"
        content = json.dumps(event if how == "one" else [{**event, "id": "1", "type": "org.example.own"}, event])
        return client.post("/events", content=content, headers={"content-type": kind})

    for type in ("catalog.updated.v1", "dataset.member.added.v1", "plan.requested.v1x", "plan.ready.v1", "object.derived.v1"):
        told = send(ann, f"dev.sluice.{type}")
        assert told.status_code == 403, told.text
        assert type in told.json()["error"]
        assert "insufficient_scope" in told.headers["www-authenticate"]
    assert service.lake.log.tail(0, 100) == []
    for type in ("plan.requested.v1", "promotion.requested.v1", "observation.recorded.v1", "task.executed.v1"):
        assert send(ann, f"dev.sluice.{type}").status_code == 202
    assert send(ann, "org.example.own.v1").status_code == 202
    assert send(boss, "dev.sluice.object.derived.v1").status_code == 202
