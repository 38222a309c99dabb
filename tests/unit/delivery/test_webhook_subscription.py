"""The Subscriptions API, and what becomes of a subscription whose sink answers this or that."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from events.errors import Reject
from events.event import Event
from infra.access.access import Access
from infra.config import Config, Http, Sources
from infra.delivery.subscription import parse
from infra.lake import Lake
from infra.runtime.api import Api
from infra.runtime.asgi import Endpoint
from infra.sources.token import callback_url
from tests.conftest import eventually, serving
from tests.plain_http import Silent, answering


@pytest.fixture
def quiet(tmp_path: Path, objects: Any) -> Iterator[Lake]:
    """A lake at work, without a door."""
    made = Lake(Config(data=str(tmp_path / "lake")), objects)
    made.worker.start()
    yield made
    made.close()


@pytest.fixture
def api(quiet: Lake) -> Iterator[httpx.Client]:
    application = Endpoint(quiet, Api(quiet, lambda: True, "http://127.0.0.1").application())
    with serving(application) as url, httpx.Client(base_url=url) as client:
        yield client


class Sink:
    """``answer`` is the status and headers of every answer; ``types`` are those of the events it got."""

    def __init__(self) -> None:
        self.answer: tuple[int, dict[str, str]] = (204, {})
        self.types: list[str] = []
        self.tokens: list[str | None] = []
        self.asked: list[str | None] = []
        sink = self

        class Handler(Silent):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["content-length"]))
                sink.types.append(self.headers["ce-type"])
                sink.tokens.append(self.headers["authorization"])
                self.send_response(sink.answer[0])
                for name, value in sink.answer[1].items():
                    self.send_header(name, value)
                self.end_headers()

            def do_OPTIONS(self) -> None:
                sink.asked.append(self.headers["webhook-request-callback"])
                self.send_response(204)
                self.end_headers()

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"


@pytest.fixture
def sink() -> Iterator[Sink]:
    made = Sink()
    with answering(made.server):
        yield made


def event(kind: str = "t", number: int = 1, source: str = "/s") -> Event:
    return Event(id=str(number), source=source, type=kind, datacontenttype="text/plain", data="x")


FULL = {
    "source": "/sensors/tn-1234567/alerts",
    "types": ["com.github.pull_request.opened", "com.example.*"],
    "config": {"interval": 5, "nested": {"a": [1, None, True]}},
    "filters": [{"prefix": {"subject": "raw/"}}, {"not": {"sql": "subject LIKE '%.tmp'"}}],
    "sink": "https://sink.example/in",
    "protocol": "HTTP",
    "protocolsettings": {"method": "POST", "headers": {"x-team": "lake"}, "handshake": True, "mode": "structured"},
}


def test_create_retrieve_query_update_delete(api):
    assert api.get("/subscriptions").json() == {"subscriptions": []}
    created = api.post("/subscriptions", json={**FULL, "id": "proposed"})
    made = created.json()
    assert created.status_code == 201
    assert made["id"] not in ("", "proposed"), "a proposed id is ignored"
    assert created.headers["location"] == f"/subscriptions/{made['id']}"
    assert {name: made[name] for name in FULL} == FULL
    assert api.get(created.headers["location"]).json() == made
    assert api.get("/subscriptions").json() == {"subscriptions": [made]}
    changed = api.put(created.headers["location"], json={**made, "types": []})
    assert (changed.status_code, changed.json()) == (200, {**made, "types": []})
    assert api.get(created.headers["location"]).json() == changed.json()
    assert api.delete(created.headers["location"]).status_code == 204
    for method in ("GET", "DELETE"):
        assert api.request(method, created.headers["location"]).status_code == 404


def test_the_least_that_is_needed_gets_its_defaults(api):
    made = api.post("/subscriptions", json={"sink": "http://sink.example"}).json()
    assert (made["types"], made["filters"], made["protocol"], made["config"]) == ([], [], "HTTP", {})
    assert not {"source", "sinkcredential"} & made.keys()


def test_an_id_of_ones_own_comes_by_put_and_stays(api):
    first = api.put("/subscriptions/mine%20é", json={"sink": "http://a.example"})
    assert (first.status_code, first.json()["id"], first.headers["location"]) == (201, "mine é", "/subscriptions/mine%20%C3%A9")
    again = api.put("/subscriptions/mine%20é", json={"sink": "http://b.example", "id": "mine é"})
    assert (again.status_code, again.json()["created"]) == (200, first.json()["created"])
    other = api.put("/subscriptions/mine%20é", json={"sink": "http://b.example", "id": "yours"})
    assert other.status_code == 400
    assert len(api.get("/subscriptions").json()["subscriptions"]) == 1


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [
        ([], "JSON|object"),
        ({}, "sink"),
        ({"sink": "mqtt://sink.example"}, "no http or https URL"),
        ({"sink": "http://me:hush@sink.example"}, "sinkcredential"),
        ({"sink": "http://s.example", "protocol": "http"}, "protocol"),
        ({"sink": "http://s.example", "protocol": "KAFKA"}, "protocol"),
        ({"sink": "http://s.example", "source": ""}, "source"),
        ({"sink": "http://s.example", "source": "a b"}, "source"),
        ({"sink": "http://s.example", "types": [""]}, r"types\[0\]"),
        ({"sink": "http://s.example", "types": "t"}, "types"),
        ({"sink": "http://s.example", "config": {"": 1}}, "config"),
        ({"sink": "http://s.example", "filters": {"exact": {"type": "t"}}}, "filters"),
        ({"sink": "http://s.example", "filters": [{}]}, r"filters\[0\]"),
        ({"sink": "http://s.example", "filters": [{"sql": "1 +"}]}, r"filters\[0\]\.sql.*at character 4"),
        ({"sink": "http://s.example", "filters": [{"regex": {"type": "t"}}]}, "no such dialect"),
        ({"sink": "http://s.example", "protocolsettings": {"method": "GET"}}, "protocolsettings"),
        ({"sink": "http://s.example", "sinkcredential": {"credentialtype": "REFRESHTOKEN"}}, "REFRESHTOKEN"),
        ({"sink": "http://s.example", "sinkcredential": {"credentialtype": "ACCESSTOKEN"}}, "accesstoken"),
        ({"sink": "http://s.example", "sinkcredential": {"credentialtype": "PLAIN", "secret": "x"}}, "identifier"),
        ({"sink": "http://s.example", "unknown": 1}, "unknown"),
    ],
)
def test_what_makes_no_sense_is_refused_and_changes_nothing(api, wanted, reason):
    known = api.put("/subscriptions/mine", json={"sink": "http://a.example"}).json()
    for answer in (api.post("/subscriptions", json=wanted), api.put("/subscriptions/mine", json=wanted)):
        assert answer.status_code == 400
        assert re.search(reason, answer.json()["error"])
        assert "hush" not in answer.text
    assert api.get("/subscriptions").json() == {"subscriptions": [known]}


def test_a_credential_is_used_and_never_shown(api, quiet, sink, caplog):
    caplog.set_level(logging.DEBUG)
    wanted = {
        "sink": sink.url,
        "types": ["t"],
        "sinkCredential": {
            "credentialType": "ACCESSTOKEN", "accessToken": "tok-3n", "accessTokenType": "Bearer",
            "accessTokenExpiresUtc": "2999-01-01T00:00:00Z",
        },
    }  # fmt: skip
    made = api.post("/subscriptions", json=wanted)
    shown = {"credentialtype": "ACCESSTOKEN", "accesstokentype": "Bearer", "accesstokenexpiresutc": "2999-01-01T00:00:00Z"}
    assert made.json()["sinkcredential"] == shown
    where = made.headers["location"]
    told = [made.text, api.get(where).text, api.get("/subscriptions").text, api.put(where, json=made.json()).text]
    quiet.append([event()]).result()
    eventually(lambda: sink.tokens)
    assert sink.tokens == ["Bearer tok-3n"], "what was read can be written back without losing the secret"
    sink.answer = (403, {})
    quiet.append([event(number=2)]).result()
    eventually(lambda: api.get("/dead-letters").json()["dead_letters"])
    told += [api.get("/dead-letters").text, caplog.text, repr(quiet.subscriptions.all())]
    assert not [text for text in told if "tok-3n" in text]
    assert "sinkcredential" not in api.put(where, json={"sink": sink.url}).json()


def granted(lake: Lake) -> int | None:
    found = lake.subscriptions.get("mine")
    return found.granted if found else None


def test_a_sink_agrees_by_callback_and_that_is_remembered(tmp_path, objects, sink):
    config = Config(
        data=str(tmp_path / "lake"), sources=Sources(url="https://lake.example/", token="push"), http=Http(token="hush")
    )
    lake = Lake(config, objects)
    wanted = {"sink": sink.url, "types": ["t"], "protocolsettings": {"handshake": True}}
    endpoint = Endpoint(lake, Api(lake, lambda: True, "http://127.0.0.1").application(), Access("hush"))
    with serving(endpoint) as url, httpx.Client(base_url=url) as client:
        client.headers["authorization"] = "Bearer hush"
        made = client.put("/subscriptions/mine", json=wanted).json()
        assert client.post("/subscriptions", json={**wanted, "granted": 0}).status_code == 400
        callback = callback_url(config, "mine")
        assert callback.startswith("https://lake.example/callbacks/mine/")
        where = callback.removeprefix("https://lake.example")
        del client.headers["authorization"]
        lake.append([event()]).result()
        lake.worker.start()
        eventually(lambda: lake.log.counts()["retrying"] == 1)
        assert sink.asked == [callback]
        for wrong in (where[:-1] + ("0" if where[-1] != "0" else "1"), where.replace("mine", "other"), "/callbacks/mine/"):
            assert client.post(wrong).status_code == 404
        assert client.head(where).status_code == 200
        assert granted(lake) is None, "to look is not to agree"
        for method in ("GET", "POST"):
            assert client.request(method, where, headers={"webhook-allowed-rate": "600"}).status_code == 200
        assert granted(lake) == 600
        lake.append([event(number=2, source="/other")]).result()
        eventually(lambda: sink.types)
        client.headers["authorization"] = "Bearer hush"
        assert client.get("/subscriptions/mine").json() == made
        client.put("/subscriptions/mine", json={**wanted, "types": ["u"]})
        assert granted(lake) == 600
        client.put("/subscriptions/mine", json={**wanted, "sink": sink.url + "/another"})
        assert granted(lake) is None, "another sink has not agreed"
        client.delete("/subscriptions/mine")
        assert client.get(where).status_code == 404
    lake.close()


def test_only_the_source_asked_for(api, quiet, sink):
    assert api.post("/subscriptions", json={"sink": sink.url, "source": "/wanted"}).status_code == 201
    events = [event("other", 1, "/other"), event("close", 2, "/wanted/not"), event("wanted", 3, "/wanted")]
    quiet.append(events).result()
    eventually(lambda: sink.types and quiet.log.counts()["waiting"] == 0)
    assert sink.types == ["wanted"]


def test_a_retired_sink_ends_the_subscription_and_operators_hear_of_it(api, quiet, sink, caplog):
    sink.answer = (410, {})
    made = api.post("/subscriptions", json={"sink": sink.url, "types": ["t"]}).json()
    other = api.post("/subscriptions", json={"sink": "http://127.0.0.1:1/", "types": ["never"]}).json()
    quiet.append([event()]).result()
    eventually(lambda: quiet.log.counts()["waiting"] == 0)
    assert api.get("/subscriptions").json() == {"subscriptions": [other]}
    quiet.append([event(number=number) for number in range(2, 5)]).result()
    eventually(lambda: quiet.log.counts()["waiting"] == 0)
    assert sink.types == ["t"], "nothing more is sent"
    (letter,) = api.get("/dead-letters").json()["dead_letters"]
    assert letter["function"] == f"subscription/{made['id']}"
    assert "410 Gone" in letter["cause"]
    (told,) = api.get("/events", params={"type": "dev.sluice.delivery.failed.v1"}).json()["events"]
    assert "410 Gone" in told["event"]["data"]["cause"]
    assert f"the subscription {made['id']} ends" in caplog.text


@pytest.mark.parametrize("status", [302, 415])
def test_what_the_sink_cannot_read_is_a_dead_letter(api, quiet, sink, status):
    sink.answer = (status, {"location": sink.url})
    api.post("/subscriptions", json={"sink": sink.url, "types": ["t"]})
    quiet.append([event()]).result()
    eventually(lambda: api.get("/dead-letters").json()["dead_letters"])
    (letter,) = api.get("/dead-letters").json()["dead_letters"]
    assert f"answered {status}" in letter["cause"]
    assert sink.types == ["t"]
    assert len(api.get("/subscriptions").json()["subscriptions"]) == 1


def test_a_change_of_others_keeps_what_is_known_of_a_sink(api, quiet, sink):
    sink.answer = (429, {"retry-after": "300"})
    api.post("/subscriptions", json={"sink": sink.url, "types": ["t"]})
    quiet.append([event()]).result()
    eventually(lambda: sink.types)
    api.post("/subscriptions", json={"sink": "http://127.0.0.1:1/", "types": ["never"]})
    quiet.append([event("t", number) for number in range(2, 6)]).result()
    eventually(lambda: quiet.log.counts()["retrying"] == 5)
    assert sink.types == ["t"], "the pause it asked for is kept"


def test_a_member_that_is_null_is_as_good_as_none():
    every = dict.fromkeys(("id", "source", "types", "config", "filters", "sinkcredential", "protocol", "protocolsettings"))
    assert parse({"sink": "http://sink.example/", **every}) == parse({"sink": "http://sink.example/"})
    credential = {"credentialType": "ACCESSTOKEN", "accessToken": "t", "accessTokenType": "Bearer"}
    told = parse({"sink": "http://s.example/", "sinkCredential": {**credential, "accessTokenExpiresUtc": None}})
    assert told == parse({"sink": "http://s.example/", "sinkCredential": credential})
    with pytest.raises(Reject, match="sink"):
        parse({"sink": None})
