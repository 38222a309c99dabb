"""Who subscribed hears of models: by webhook, server-sent events, Redis stream and the minio SDK, and fetches without keys."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import ThreadingHTTPServer

import httpx
import msgspec
import pytest
import redis
from minio import Minio

from events.errors import Reject
from events.event import Event
from events.models import Repository
from events.types import ModelPublished
from infra.delivery.stream_sink import StreamSettings, StreamSink
from infra.models.announced import Announced
from infra.runtime import model_events_api
from infra.runtime.api import Api
from infra.runtime.asgi import Endpoint
from tests.conftest import ACCESS, SECRET, eventually, serving
from tests.onnx_models import linear
from tests.plain_http import Silent, answering

PUBLISHED, PROMOTED = "dev.sluice.model.published.v1", "dev.sluice.model.promoted.v1"


@pytest.fixture
def endpoint(lake) -> Endpoint:
    made = Api(lake, lambda: True, "http://127.0.0.1")
    return Endpoint(lake, made.application())


@pytest.fixture
def api(endpoint) -> Iterator[httpx.Client]:
    with serving(endpoint) as url, httpx.Client(base_url=url, timeout=20, trust_env=False) as client:
        yield client


def events_of(client: httpx.Client, count: int, **headers: str) -> list[tuple[int, dict]]:
    """The next ``count`` server-sent events: id and CloudEvent. Ids are read as a browser does."""
    found: list[tuple[int, dict]] = []
    query = headers.pop("query", "")
    with client.stream("GET", f"/models/events{query}", headers={k.replace("_", "-"): v for k, v in headers.items()}) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        number = 0
        for line in answer.iter_lines():
            name, _, value = line.partition(": ")
            if name == "id":
                number = int(value)
            elif name == "data":
                found.append((number, json.loads(value)))
            if len(found) == count:
                break
    return found


def push(objects, name: str, factor: float) -> bytes:
    content = linear(factor)
    objects.ensure("models")
    objects.write("models", f"{name}/model.onnx", content)
    return content


def check(event: dict, content: bytes) -> None:
    """As a phone does: no keys, just the event."""
    data = event["data"]
    fetched = httpx.get(data["url"], trust_env=False)
    assert fetched.status_code == 200
    assert fetched.content == content
    algorithm, _, digest = data["digest"].partition(":")
    assert hashlib.new(algorithm, fetched.content).hexdigest() == digest
    assert data["expires"] > "2026"


def test_server_sent_events_continue_from_the_cursor(lake, objects, api):
    one = push(objects, "digits", 1.0)
    ((first, event),) = events_of(api, 1, query="?after=0")
    assert event["type"] == PUBLISHED
    check(event, one)
    push(objects, "other", 5.0)  # while it is away
    two = push(objects, "digits", 2.0)
    api.put("/models/models/digits/aliases/champion", json={"version": 1}).raise_for_status()
    found = events_of(api, 2, query="?model=digits&repository=models", last_event_id=str(first))
    assert [(each["type"], each["data"]["version"]) for _, each in found] in (
        [(PUBLISHED, 2), (PROMOTED, 1)],
        [(PROMOTED, 1), (PUBLISHED, 2)],
    )
    for _, each in found:
        check(each, two if each["data"]["version"] == 2 else one)
    objects.write("models", "digits/model.onnx", b"\x80\x04pickle")
    ((_, event),) = events_of(api, 1, query="?model=digits", last_event_id=str(found[-1][0]))
    assert event["type"] == "dev.sluice.model.rejected.v1"
    assert "url" not in event["data"]
    assert "ONNX" in event["data"]["cause"]
    assert all("url" not in each.data for _, _, each in lake.log.tail(0, 1000, "dev.sluice.model.*"))  # never stored


def test_without_a_cursor_only_what_comes_is_told_and_a_bad_one_is_refused(lake, objects, api):
    push(objects, "digits", 1.0)
    events_of(api, 1, query="?after=0")
    with api.stream("GET", "/models/events") as answer:
        lines = answer.iter_lines()
        assert [next(lines), next(lines).partition(": ")[0]] == [": models", "id"]
        push(objects, "digits", 2.0)
        told = next(json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: "))
    assert told["data"]["version"] == 2
    for wrong in ("x", "-1", "9" * 30):
        assert api.get("/models/events", headers={"last-event-id": wrong}).status_code == 400
    assert api.get("/models/events?after=x").status_code == 400


def test_a_quiet_stream_shows_that_it_lives_and_its_cursor_moves_on(lake, api, monkeypatch):
    monkeypatch.setattr(model_events_api, "ALIVE_SECONDS", 0.05)
    asked: list[int] = []
    tail = lake.log.tail

    def watched(after: int, *more: object) -> object:
        asked.append(after)
        return tail(after, *more)

    monkeypatch.setattr(lake.log, "tail", watched)
    others = [Event(id=str(n), source="/t", type="a.b") for n in range(50)]
    lake.append(others[:20]).result(10)
    with api.stream("GET", "/models/events?after=1") as answer:
        numbers = (int(line[4:]) for line in answer.iter_lines() if line.startswith("id: "))
        assert next(numbers) == 1
        assert next(numbers) == 20
        lake.append(others[20:]).result(10)
        assert next(number for number in numbers if number > 20) == 50
    assert set(asked) <= {1, 20, 50}  # never again from the start


def test_a_cursor_older_than_what_is_kept_is_told_so(lake, api):
    lake.append([Event(id=str(n), source="/t", type="a.b") for n in range(20)]).result(10)
    eventually(lambda: lake.log.counts()["waiting"] == 0)
    lake.log.forget(time.time() + 10, 0, 15)
    for gone in (3, 14, 21):
        answer = api.get("/models/events", headers={"last-event-id": str(gone)})
        assert answer.status_code == 410
        assert "no longer kept" in answer.json()["error"]
    for good in (0, 15, 20):
        with api.stream("GET", f"/models/events?after={good}") as answer:
            assert answer.status_code == 200


def test_a_reader_sees_what_the_lists_show(service):
    """An access list on a version's object hides what happens to it, and its URL, from all others, from its answer on."""
    admin, reader = service.as_("boss", "read", "write", "admin"), service.as_("reader", "read")
    for name in ("digits", "secret"):
        push(service.objects.default, name, 1.0)
    found = events_of(admin, 2, query="?after=0")
    assert {event["data"]["name"] for _, event in found} == {"digits", "secret"}

    def hide(name: str) -> None:
        asked = {"filter": f"key = '{name}/1/model.onnx'"}
        eventually(lambda: admin.get("/data-objects", params=asked).json()["resources"])
        (version,) = admin.get("/data-objects", params=asked).json()["resources"]
        # a merge: what is not named would stay, and everybody may view what only the store has told of
        acl = {"acl": {"owners": ["user/boss"], "view": []}}
        admin.patch(f"/data-objects/{version['id'].partition('/')[2]}", json=acl).raise_for_status()

    hide("secret")
    told: list[tuple[str, str]] = []
    with reader.stream("GET", "/models/events?after=0") as answer:
        lines = (json.loads(line.removeprefix("data: ")) for line in answer.iter_lines() if line.startswith("data: "))
        told += [(event["type"], event["data"]["name"]) for event in [next(lines)]]
        hide("digits")  # from here on also to who listens
        for name in ("digits", "secret"):
            admin.put(f"/models/models/{name}/aliases/champion", json={"version": 1}).raise_for_status()
        push(service.objects.default, "later", 1.0)
        told += [(event["type"], event["data"]["name"]) for event in [next(lines)]]
    assert told == [(PUBLISHED, "digits"), (PUBLISHED, "later")]
    everything = [event.type for _, _, event in service.lake.log.tail(0, 1000, "dev.sluice.model.*")]
    assert "dev.sluice.model.rejected.v1" not in everything  # a list is no content
    wanted = {"sink": "redis://127.0.0.1:1/0", "protocol": "REDIS", "protocolsettings": {"stream": "s"}}
    assert reader.post("/subscriptions", json=wanted).status_code == 403
    assert service.as_().get("/models/events").status_code == 401


def test_a_url_that_comes_late_is_fresh_and_one_that_is_off_is_not_there(lake, objects):
    data = ModelPublished(
        repository="models", name="m", version=1, bucket="models", key="m/1/model.onnx", etag="e", digest="sha256:0", size=1
    )
    event = Event(id="1", source="/t", type="t").reply(data)
    told = lake.subscriptions.completed(event)
    assert "X-Amz-Signature" in told.data["url"]
    assert "X-Amz-Expires=900" in told.data["url"]
    assert "url" not in event.data
    off = Announced(lake.database, objects, [Repository(name="models", bucket="models", url_seconds=0)])
    assert off.completed(event) is event
    assert lake.subscriptions.completed(msgspec.structs.replace(event, type="a.b")).data == event.data


class Hook(Silent):
    def do_POST(self) -> None:
        self.server.got.append((self.headers["ce-type"], json.loads(self.rfile.read(int(self.headers["content-length"])))))  # type: ignore[attr-defined]
        self.send_response(204)
        self.end_headers()


def test_webhooks_of_one_model(lake, objects, api):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hook)
    server.got = []  # type: ignore[attr-defined]
    with answering(server) as url:
        wanted = {
            "sink": url,
            "types": ["dev.sluice.model.published.v1"],
            "filters": [{"exact": {"subject": "models/digits"}}],
        }
        assert api.post("/subscriptions", json=wanted).status_code == 201
        push(objects, "other", 3.0)
        content = push(objects, "digits", 1.0)
        eventually(lambda: server.got)  # type: ignore[attr-defined]
        ((kind, data),) = server.got  # type: ignore[attr-defined]
        assert (kind, data["name"]) == (PUBLISHED, "digits")
        check({"data": data}, content)


@pytest.mark.server
def test_a_redis_stream_has_each_event_once(lake, objects, api, redis_server):
    wanted = {
        "sink": redis_server.url,
        "protocol": "REDIS",
        "protocolsettings": {"stream": "models-of-ours", "most": 1000},
        "types": ["dev.sluice.model.published.v1"],
    }
    assert api.post("/subscriptions", json=wanted).status_code == 201
    content = push(objects, "digits", 1.0)
    with redis.Redis.from_url(redis_server.url) as client:
        eventually(lambda: client.xlen("models-of-ours") == 1)
        ((_, entry),) = client.xrange("models-of-ours")
        event = json.loads(entry[b"event"])
        assert entry[b"type"].decode() == event["type"] == PUBLISHED
        assert entry[b"subject"] == b"models/digits"
        check(event, content)
        sink = StreamSink(redis_server.url, StreamSettings(stream="models-of-ours"))
        again = Event(id=event["id"], source=event["source"], type=PUBLISHED, subject="s")
        with httpx.Client() as http:
            with ThreadPoolExecutor(4) as pool:  # delivered again, several times at once
                list(pool.map(lambda _: sink.post(http, again), range(20)))
            assert client.xlen("models-of-ours") == 1
            sink.post(http, msgspec.structs.replace(again, id="another"))
            assert client.xlen("models-of-ours") == 2
            client.set("a-text", "x")
            with pytest.raises(Reject, match="no stream"):
                StreamSink(redis_server.url, StreamSettings(stream="a-text")).post(http, again)


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"sink": "http://127.0.0.1/"}, "no redis://"),
        ({"sink": "redis://u:p@127.0.0.1/0"}, "password"),
        ({"protocolsettings": {}}, "stream"),
        ({"protocolsettings": {"stream": "s", "mode": "binary"}}, "mode"),
        ({"sinkcredential": {"credentialtype": "ACCESSTOKEN", "accesstoken": "t"}}, "PLAIN"),
        ({"protocol": "MQTT"}, "not offered"),
    ],
)
def test_streams_that_make_no_sense_are_refused(api, more, reason):
    wanted = {"sink": "redis://127.0.0.1:1/0", "protocol": "REDIS", "protocolsettings": {"stream": "s"}, **more}
    answer = api.post("/subscriptions", json=wanted)
    assert answer.status_code == 400
    assert reason in answer.json()["error"]


def test_the_minio_sdk_hears_of_a_publication(lake, objects):
    objects.ensure("models")
    client = Minio(objects.endpoint.removeprefix("http://"), ACCESS, SECRET, secure=False, region="us-east-1")
    heard: list[str] = []
    with client.listen_bucket_notification("models", prefix="digits/", suffix="/version.json") as events:
        push(objects, "other", 2.0)
        push(objects, "digits", 1.0)
        for told in events:
            heard += [record["s3"]["object"]["key"] for record in told["Records"]]
            if heard:
                break
    assert heard == ["digits/1/version.json"]
