"""What stores push: the token in its places, poison taken, refusals held, and the sockets that outlive a process."""

from __future__ import annotations

import hmac
import json
import os
import socket
import stat
from pathlib import Path

import httpx
import pytest

from events.errors import Retry
from infra.access.access import Access
from infra.config import Config, ConfigError, Sources
from infra.runtime.activation import adopt, inherited
from infra.runtime.asgi import Endpoint
from infra.sources import push
from infra.sources.sns import Topics
from infra.sources.token import masked, push_token
from tests.conftest import serving

PAYLOADS = Path(__file__).parents[2] / "payloads"
TOKEN = "a/secret+token"


async def api(scope, receive, send):
    await send({"type": "http.response.start", "status": 404, "headers": []})
    await send({"type": "http.response.body", "body": b""})


@pytest.fixture
def url(lake, monkeypatch):
    monkeypatch.setattr(push, "HOLD_SECONDS", 0.0)
    with serving(push.Push(Endpoint(lake, api, Access("api-token")), lake, TOKEN, Topics(Sources()))) as found:
        yield found


def body(name: str) -> bytes:
    """The body of a captured request."""
    found = json.loads((PAYLOADS / f"{name}.json").read_text())
    return json.dumps(found.get("body", found), ensure_ascii=False).encode()


@pytest.mark.parametrize("where", ["/events/a/secret+token", "/events/a%2Fsecret%2Btoken", "/events?token=a%2Fsecret%2Btoken"])
def test_the_token_may_stand_in_the_path_or_the_query(url, lake, where):
    answer = httpx.post(url + where, content=body("rgw-put"), headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["new"]) == (202, 1)


@pytest.mark.parametrize("where", ["/events/a/secret+token", "/events/wrong", "/events?token=wrong"])
def test_the_handshake_is_answered_at_the_push_address_and_tells_nothing_of_the_token(url, where):
    """Event Grid asks for consent at the very address that it will push to."""
    answer = httpx.options(url + where, headers={"WebHook-Request-Origin": "eventgrid.azure.net"})
    assert (answer.status_code, answer.headers["webhook-allowed-origin"]) == (200, "eventgrid.azure.net")


@pytest.mark.parametrize("name", ["r2-put", "seaweedfs-create", "tigris", "oracle-create"])
def test_stores_with_words_of_their_own(url, name):
    headers = {"content-type": "application/json", "authorization": f"Bearer {TOKEN}"}
    answer = httpx.post(f"{url}/events", content=(PAYLOADS / f"{name}.json").read_bytes(), headers=headers)
    assert (answer.status_code, answer.json()["rejected"]) == (202, 0)
    assert answer.json()["new"] >= 1


@pytest.mark.parametrize("name", ["minio-webhook", "minio-webhook-delete"])
def test_minio_sends_it_as_a_bearer_token(url, lake, name):
    answer = httpx.post(f"{url}/events", content=body(name), headers={"authorization": f"Bearer {TOKEN}"})
    assert (answer.status_code, answer.json()["accepted"]) == (202, 1)


@pytest.mark.parametrize("where", ["/events/wrong", "/events/", "/events?token=wrong", "/events", "/"])
def test_without_it_nothing_is_taken(url, lake, where):
    assert httpx.post(url + where, content=body("rgw-put")).status_code == 401
    assert lake.status()["log"]["events"] == 0


def test_it_opens_nothing_but_the_event_endpoint(url):
    headers = {"authorization": f"Bearer {TOKEN}"}
    assert httpx.get(f"{url}/events", headers=headers).status_code == 401
    assert httpx.post(f"{url}/plan", headers=headers).status_code == 401
    assert httpx.get(f"{url}/events", headers={"authorization": "Bearer api-token"}).status_code == 404


@pytest.mark.parametrize("poison", [b"\x00\xff", b"{}", b'{"Records":[{"eventSource":"ceph:s3"}]}', b'{"Records":7}', b""])
def test_poison_is_a_dead_letter_and_answered_2xx(url, lake, poison):
    answer = httpx.post(f"{url}/events/{TOKEN}", content=poison, headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["accepted"]) == (202, 0)
    assert lake.status()["log"]["dead"] == 1


TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def pushed(url: str, **more) -> httpx.Response:
    event = {"specversion": "1.0", "id": "1", "source": "/s", "type": "t", "datacontenttype": "text/plain", **more}
    headers = {"content-type": "application/cloudevents+json", "traceparent": TRACE}
    return httpx.post(f"{url}/events/{TOKEN}", json=event, headers=headers)


def test_a_large_payload_is_deposited_and_the_trace_of_the_request_kept(url, lake):
    assert pushed(url, data="x" * 70_000).status_code == 202
    assert pushed(url, id="2", data="x").status_code == 202
    (_, _, large), (_, _, small) = lake.log.tail(0, 10, "t")
    assert (large.extensions["traceparent"], small.extensions["traceparent"]) == (TRACE, TRACE)
    assert large.data is None
    assert lake.claims.redeem(large).data == "x" * 70_000


def test_a_store_is_taken_from_however_far_behind_the_worker_is(url, lake, monkeypatch):
    monkeypatch.setattr(lake.pressure, "retry_after", lambda: 60)
    assert pushed(url).status_code == 202


@pytest.mark.parametrize("where", [f"/events/{TOKEN}", "/"])
def test_what_is_sent_again_because_it_could_not_be_stored_has_one_dead_letter(url, lake, monkeypatch, where):
    monkeypatch.setattr("infra.runtime.asgi.REFUSAL_SECONDS", 0.0)
    records = json.loads(body("rgw-put"))["Records"] + [{"eventSource": "ceph:s3", "s3": 1}]
    append, failures = lake.log.append, [Retry("away"), Retry("away")]

    def failing(events):
        if failures:
            raise failures.pop()
        return append(events)

    monkeypatch.setattr(lake.log, "append", failing)
    headers = {"authorization": "Bearer api-token"}
    answers = [httpx.post(url + where, json={"Records": records}, headers=headers).status_code for _ in range(3)]
    assert answers == [503, 503, 202]
    assert lake.status()["log"]["dead"] == 1


def test_a_lone_record_that_nobody_can_read_is_kept_for_whichever_store_sent_it(url, lake):
    unreadable = {"events": [{"eventSource": "tigris", "eventName": 7}]}
    made = json.loads((PAYLOADS / "r2-put.json").read_text())
    for broken in (unreadable, {**made, "object": 7}):
        answer = httpx.post(url, json=broken, headers={"authorization": "Bearer api-token"})
        assert (answer.status_code, answer.json()["rejected"]) == (202, 1)
    assert lake.status()["log"]["dead"] == 2


def test_the_good_records_beside_a_bad_one_are_taken(url, lake):
    records = json.loads(body("rgw-put"))["Records"] + [{"eventSource": "ceph:s3", "s3": 1}]
    answer = httpx.post(f"{url}/events/{TOKEN}", json={"Records": records})
    assert answer.json() == {"accepted": 1, "new": 1, "rejected": 1}


def test_one_bad_event_of_a_batch_is_a_dead_letter_and_the_others_are_taken(url, lake):
    good = {"specversion": "1.0", "source": "/s", "type": "t"}
    batch = [{**good, "id": "1"}, {**good, "id": ""}, 7, {**good, "id": "2"}]
    headers = {"content-type": "application/cloudevents-batch+json; charset=utf-8"}
    answer = httpx.post(f"{url}/events/{TOKEN}", json=batch, headers=headers)
    assert (answer.status_code, answer.json()) == (202, {"accepted": 2, "new": 2, "rejected": 2})
    assert [json.loads(letter.body) for letter in lake.log.dead_letters()] == [7, batch[1]]
    for whole in (b"{}", b"[", b"7"):
        answer = httpx.post(f"{url}/events/{TOKEN}", content=whole, headers=headers)
        assert (answer.status_code, answer.json()["rejected"]) == (202, 1)
    refused = httpx.post(f"{url}/events", json=batch, headers={**headers, "authorization": "Bearer api-token"})
    assert refused.status_code == 400
    assert "event 1 of the batch" in refused.json()["error"]
    assert lake.status()["log"]["events"] == 2, "who understands a refusal is told, and keeps all of it"


def test_a_refusal_is_held(lake, monkeypatch):
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr("infra.sources.push.asyncio.sleep", sleep)
    sent: list[dict] = []

    async def send(message) -> None:
        sent.append(message)

    async def receive():
        raise AssertionError("a refused body is not read")

    app = push.Push(api, lake, TOKEN, Topics(Sources()))
    scope = {"type": "http", "method": "POST", "path": "/events/wrong", "headers": []}
    with pytest.raises(StopIteration):
        app(scope, receive, send).__await__().send(None)
    assert (slept, sent[0]["status"]) == ([1.0], 401)


def test_the_token_is_made_once_and_for_its_owner_only(tmp_path):
    config = Config(data=str(tmp_path / "data"))
    token = push_token(config)
    assert push_token(config) == token
    assert len(token) >= 32
    assert set(token) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
    assert stat.S_IMODE((config.folder / "push-token").stat().st_mode) == 0o600
    (config.folder / "push-token").write_text("\n")
    with pytest.raises(ConfigError, match="is empty"):
        push_token(config)


def test_the_token_is_never_shown_in_full():
    assert masked("http://h/events/abcdefgh") == "http://h/events/abcd…"
    assert masked("http://h/x?token=abcdefgh", "abcdefgh") == "http://h/x?token=abcd…"


def test_sockets_are_inherited_by_name_or_by_place():
    mine = {"LISTEN_PID": str(os.getpid())}
    assert inherited({}) == {}
    assert inherited({}, 7) == {"http": 7}
    assert inherited({"LISTEN_PID": "1", "LISTEN_FDS": "1"}) == {}
    assert inherited({**mine, "LISTEN_FDS": "2"}) == {"http": 3, "s3": 4}
    assert inherited({**mine, "LISTEN_FDS": "2", "LISTEN_FDNAMES": "s3:http"}) == {"s3": 3, "http": 4}
    assert inherited({**mine, "LISTEN_FDS": "1", "LISTEN_FDNAMES": "sluice.socket"}) == {"http": 3}
    with pytest.raises(ConfigError, match="LISTEN_FDS"):
        inherited({**mine, "LISTEN_FDS": "x"})


def test_only_listening_sockets_are_adopted(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server, adopt(os.dup(server.fileno())) as bound:
        assert bound.getsockname() == server.getsockname()
    with socket.socket() as idle, pytest.raises(ConfigError, match="no listening"):
        adopt(os.dup(idle.fileno()))
    with (tmp_path / "file").open("w") as file, pytest.raises(ConfigError, match="is no socket"):
        adopt(file.fileno())


def test_tokens_are_compared_in_constant_time(url, monkeypatch):
    compared = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return one == other

    monkeypatch.setattr(hmac, "compare_digest", compare)
    for where in ("/events/wrong", f"/events?token={TOKEN[:-1]}"):
        assert httpx.post(url + where, content=body("rgw-put")).status_code == 401
    assert httpx.post(f"{url}/events", content=body("rgw-put"), headers={"authorization": "Bearer no"}).status_code == 401
    assert {b"wrong", b"a/secret toke", b"Bearer no"} <= {one for one, _ in compared}
