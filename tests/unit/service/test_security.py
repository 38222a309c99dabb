"""Nobody sees what an access list denies: no resource, no member event, no count, and no error that tells of it."""

from __future__ import annotations

import itertools
import json
from http.server import ThreadingHTTPServer

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from events.event import Event, now
from events.ports import Entry
from infra.catalog.entries import Entries
from tests.conftest import eventually
from tests.plain_http import Silent, answering

WORD = "zanzibar"
RIGHTS = ("owners", "view", "edit", "manage", "delete")
WHO = ("user/ann", "user/eve", "group/optics", "group/anyone", "group/admin")
LISTS = st.dictionaries(st.sampled_from(RIGHTS), st.lists(st.sampled_from(WHO), min_size=1, max_size=2, unique=True)).map(
    lambda acl: {**acl, "owners": acl.get("owners", ["user/ann"])}
)
#: The same search asked in every way that could tell of a resource.
ASKED = [
    {},
    {"filter": f"name LIKE '{WORD}%'"},
    {"filter": "NOT (name = 'x')"},
    {"select": "name,acl"},
    {"orderby": "name"},
    {"limit": "1"},
    {"aggregation": "terms:name", "limit": "0"},
    {"aggregation": ["cardinality:name", "count:name", "min:name"], "limit": "0"},
]
_numbers = itertools.count()


def denied(acl: dict, principals: set[str]) -> bool:
    return "group/admin" not in principals and not principals & {name for names in acl.values() for name in names}


@pytest.mark.parametrize("noun", ["data-records", "data-sets", "data-objects", "keys"])
def test_no_answer_tells_of_what_a_list_denies(service, noun) -> None:
    boss = service.as_("boss", "admin")
    eve = service.as_("eve", "read", "write", "events")
    mates = service.as_("mate", "read", "write", principals=("user/mate", "group/optics"))
    callers = [(eve, {"user/eve", "group/anyone"}), (mates, {"user/mate", "group/optics", "group/anyone"})]

    @settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
    @given(acl=LISTS)
    def check(acl) -> None:
        number = next(_numbers)
        name = f"{WORD}{number}x"
        document = {"name": name, "acl": acl}
        if noun == "data-objects":
            document |= {"bucket": "lake", "key": name}
        if noun == "keys":
            document |= {"key": name, "kind": "data-record"}
        made = boss.post(f"/{noun}", json=document)
        assert made.status_code == 201, made.text
        id = made.json()["id"]
        path = f"/{noun}/{id.partition('/')[2]}"
        if noun == "data-objects":
            place = Entry(bucket="lake", key=name, etag="e", size=7, sequence="1", modified=now())
            service.lake.commit(lambda database: (Entries(database).upsert(place), ())).result(10)
        for client, principals in callers:
            hidden = denied(acl, principals)
            texts = []
            for asked in ASKED:
                answer = client.get(f"/{noun}", params=asked)
                assert answer.status_code == 200, answer.text
                texts.append(answer.text)
            texts += [client.get(other, params={"limit": 1000}).text for other in ("/events", "/catalog")]
            texts += [client.get("/models").text, client.get(f"/catalog/lake/{name}").text.replace(f"lake/{name}", "")]
            nothing = f"/{noun}/00000000-0000-4000-8000-000000000000"
            assert client.get(path).status_code == (404 if hidden else 200)
            for method, body in (("GET", None), ("PATCH", {"name": "n"}), ("PUT", {"name": "n"}), ("DELETE", None)):
                if hidden:
                    told, unknown = (client.request(method, each, json=body) for each in (path, nothing))
                    assert told.status_code == unknown.status_code == 404
                    assert told.text.replace(id, "") == unknown.text.replace(nothing[1:].replace(noun, noun[:-1]), "")
                    texts.append(told.text)
            if noun == "data-objects" and hidden:
                for action in ("upload", "ready", "download", "complete"):
                    answer = client.post(f"{path}/{action}", json={"parts": []} if action == "complete" else {})
                    assert answer.status_code == 404, (action, answer.text)
                plan = client.post("/plan", json={"task": "t", "objects": [f"s3://lake/{name}"]})
                other = client.post("/plan", json={"task": "t", "objects": [f"s3://lake/no{name}"]})
                assert (plan.status_code, plan.text.replace(name, "")) == (
                    other.status_code,
                    other.text.replace("no" + name, ""),
                )
            if hidden:
                assert not [text for text in texts if name in text]
            else:
                assert [text for text in texts if name in text]

    check()


def test_counts_are_of_what_one_may_see(service) -> None:
    ann, eve = service.as_("ann"), service.as_("eve")
    for number in range(5):
        ann.post("/data-records", json={"name": f"r{number}", "metadata": {"rows": number}})
    ann.post(
        "/data-records", json={"name": "shown", "metadata": {"rows": 70}, "acl": {"owners": ["user/ann"], "view": ["user/eve"]}}
    )
    asked = {"aggregation": ["sum:rows", "max:rows"], "limit": 0}
    assert eve.get("/data-records", params=asked).json()["count"] == 1
    assert set(eve.get("/data-records", params=asked).json()["aggregations"].values()) == {70}
    assert ann.get("/data-records", params=asked).json()["count"] == 6


def test_an_import_tells_nothing_of_what_others_have(service) -> None:
    ann, eve = service.as_("ann"), service.as_("eve")
    line = json.dumps({"name": "the same", "acl": {"owners": ["user/ann"]}})
    for client in (ann, eve):
        assert '"stored":1' in client.post("/data-records?bulk", content=line).text
    hidden = ann.post("/data-records", json={"name": "hidden"}).json()["id"]
    for id in (hidden, "data-set/x", 7):
        told = eve.post("/data-records?bulk", content=json.dumps({"name": f"of {id}", "id": id})).text
        assert '"stored":1' in told
    found = eve.get("/data-records", params={"limit": 100}).json()["resources"]
    assert all(each["id"].startswith("data-record/") and each["id"] != hidden for each in found)
    assert len(found) == 3


def test_the_right_to_see_is_not_the_right_to_change(service) -> None:
    ann, eve = service.as_("ann"), service.as_("eve")
    acl = {"owners": ["user/ann"], "view": ["user/eve"]}
    made = ann.post("/data-records", json={"name": "r", "acl": acl}).json()
    path = "/data-records/" + made["id"].partition("/")[2]
    assert eve.get(path).status_code == 200
    for method, document in (("PATCH", {"name": "n"}), ("DELETE", None), ("PATCH", {"acl": {"owners": ["user/eve"]}})):
        assert eve.request(method, path, json=document).status_code == 403
    ann.patch(path, json={"acl": {"edit": ["user/eve"]}})
    assert eve.patch(path, json={"name": "n"}).status_code == 200
    assert eve.patch(path, json={"acl": {"owners": ["user/eve"]}}).status_code == 403
    assert eve.delete(path).status_code == 403


class Sink(Silent):
    """Keeps what it is sent."""

    received: list[str]

    def do_POST(self) -> None:
        self.received.append(self.rfile.read(int(self.headers["content-length"] or 0)).decode() + str(self.headers))
        self.send_response(204)
        self.end_headers()


def test_a_subscription_acts_with_the_rights_of_its_maker(service) -> None:
    received: dict[str, list[str]] = {"ann": [], "eve": []}
    kept = [type("Kept", (Sink,), {"received": received[name]}) for name in received]
    sinks = {name: service.stack.enter_context(answering(ThreadingHTTPServer(("127.0.0.1", 0), one)))
             for name, one in zip(received, kept, strict=True)}  # fmt: skip
    clients = {name: service.as_(name) for name in received}
    made = {}
    for name, client in clients.items():
        made[name] = client.post("/subscriptions", json={"sink": sinks[name]}).json()
        assert "maker" not in made[name]
    ann, eve = clients["ann"], clients["eve"]
    assert [each["id"] for each in eve.get("/subscriptions").json()["subscriptions"]] == [made["eve"]["id"]]
    of_ann = f"/subscriptions/{made['ann']['id']}"
    assert [eve.request(method, of_ann).status_code for method in ("GET", "DELETE")] == [404, 404]
    assert eve.put(of_ann, json={"sink": made["eve"]["sink"]}).status_code == 409
    assert eve.post("/subscriptions", json={"sink": made["eve"]["sink"], "maker": ["group/admin"]}).status_code == 400
    ann.post("/data-records", json={"name": "hidden"})
    ann.post("/data-objects", json={"bucket": "lake", "key": "hidden.csv"})
    ann.post("/data-records", json={"name": "shown", "acl": {"owners": ["user/ann"], "view": ["user/eve"]}})
    service.lake.append([Event(id="1", source="/s", type="org.example.own", data={"of": "nobody"})]).result(10)
    service.settle()
    eventually(lambda: len(received["ann"]) == 3)
    assert len(received["eve"]) == 1
    assert "record.updated" in received["eve"][0]
    follow = eve.get("/events", params={"limit": 10}).json()["events"]
    assert json.dumps(follow).count("dev.sluice.") == 1
