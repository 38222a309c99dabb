"""The webhook as receiver: the handshake, tokens and rates of a lake's event endpoint."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from events.errors import Retry
from infra.access.access import Access
from infra.config import Config, Http
from infra.delivery.handshake import Consent
from infra.lake import Lake
from infra.runtime.api import Api
from infra.runtime.asgi import Endpoint
from tests.conftest import serving

STRUCTURED = {"content-type": "application/cloudevents+json"}


@pytest.fixture
def endpoint(tmp_path: Path, objects: Any) -> Iterator[Callable[..., str]]:
    """A lake's HTTP endpoint with the settings given."""
    with ExitStack() as stack:

        def start(**settings: Any) -> str:
            lake = Lake(Config(data=str(tmp_path), http=Http(**settings)), objects)
            stack.callback(lake.close)
            api = Api(lake, lambda: True, "http://127.0.0.1")
            return stack.enter_context(serving(Endpoint(lake, api.application(), Access(settings.get("token", "")))))

        yield start


def event(number: int) -> dict[str, Any]:
    return {"specversion": "1.0", "id": str(number), "source": "/s", "type": "t"}


@pytest.mark.parametrize("path", ["/", "/events"])
def test_consent_to_anybody(endpoint, path):
    url = endpoint() + path
    answer = httpx.options(url, headers={"WebHook-Request-Origin": "sender.example", "WebHook-Request-Rate": "120"})
    assert answer.status_code == 200
    assert answer.headers["webhook-allowed-origin"] in ("sender.example", "*")
    assert answer.headers["webhook-allowed-rate"] == "*"
    assert "POST" in answer.headers["allow"]


def test_who_asks_for_nothing_gets_no_consent(endpoint):
    answer = httpx.options(endpoint() + "/events")
    assert "POST" in answer.headers["allow"]
    assert not [name for name in answer.headers if name.startswith("webhook")]


def test_the_handshake_needs_no_token_and_reveals_nothing(endpoint):
    url = endpoint(token="hush", webhook_origins=["Good.example"], webhook_rate=60)
    good = httpx.options(url, headers={"WebHook-Request-Origin": "good.EXAMPLE"})
    bad = httpx.options(url, headers={"WebHook-Request-Origin": "bad.example", "WebHook-Request-Callback": url + "/callback"})
    assert (good.headers["webhook-allowed-origin"], good.headers["webhook-allowed-rate"]) == ("good.EXAMPLE", "60")
    assert not [name for name in bad.headers if name.startswith("webhook")]
    assert good.content == bad.content
    assert httpx.options(url + "/catalog").status_code == 401


@pytest.mark.parametrize(
    ("path", "allowed"),
    [("/subscriptions", "GET, HEAD, OPTIONS, POST"), ("/subscriptions/any", "DELETE, GET, HEAD, OPTIONS, PUT"),
     ("/status", "GET, HEAD, OPTIONS")],
)  # fmt: skip
def test_every_path_tells_its_methods(endpoint, path, allowed):
    """Subscriptions API, 3.2.3: OPTIONS says what a subscription manager can do."""
    url = endpoint()
    answer = httpx.options(url + path)
    assert (answer.status_code, answer.headers["allow"]) == (200, allowed)
    refused = httpx.patch(url + path)
    assert (refused.status_code, refused.headers["allow"]) == (405, allowed)
    assert refused.json()["error"].startswith("PATCH")


@pytest.mark.parametrize(
    ("path", "methods", "allowed"),
    [("/", ("GET", "HEAD", "PUT", "PATCH", "DELETE"), "POST, OPTIONS"),
     ("/events", ("PUT", "PATCH", "DELETE"), "GET, HEAD, POST, OPTIONS")],
)  # fmt: skip
def test_another_method_is_told_which_there_are(endpoint, path, methods, allowed):
    url = endpoint(token="hush")
    for method in methods:
        answer = httpx.request(method, url + path)
        assert (answer.status_code, answer.headers["allow"]) == (405, allowed), method
    for method in allowed.split(", "):
        assert httpx.request(method, url + path, headers={"authorization": "Bearer hush"}).status_code != 405, method


@pytest.mark.parametrize(
    ("rate", "asked", "told"),
    [
        (0, None, "*"), (0, "9", "*"), (60, None, "60"), (60, "9", "9"), (60, "600", "60"),
        (60, "0", "60"), (60, "-1", "60"), (60, "many", "60"), (60, "9" * 99, "60"),
    ],
)  # fmt: skip
def test_rates(rate, asked, told):
    headers = [(b"webhook-request-origin", b"a.example")]
    if asked is not None:
        headers.append((b"webhook-request-rate", asked.encode()))
    assert dict(Consent(["*"], rate).answer(headers))[b"webhook-allowed-rate"] == told.encode()


def test_while_callers_cannot_be_told_apart_all_of_them_are_to_come_again(endpoint, monkeypatch):
    url = endpoint()
    assert httpx.post(url, json=event(1), headers=STRUCTURED).status_code == 202

    async def away(*_: object) -> None:
        raise Retry("the API keys cannot be read now: connection refused")

    monkeypatch.setattr(Access, "caller", away)
    for answer in (httpx.post(url, json=event(2), headers=STRUCTURED), httpx.get(f"{url}/catalog")):
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert "connection refused" not in answer.text, "that is for the log"
    monkeypatch.undo()
    assert httpx.post(url, json=event(2), headers=STRUCTURED).status_code == 202


def test_who_sends_faster_than_allowed_is_told_when_to_come_back(endpoint):
    url = endpoint(webhook_rate=2)
    named = {**STRUCTURED, "WebHook-Request-Origin": "a.example"}
    assert [httpx.post(url, json=event(number), headers=named).status_code for number in (1, 5)] == [202, 202]
    late = httpx.post(url, json=event(2), headers=named)
    assert late.status_code == 429
    assert 1 <= int(late.headers["retry-after"]) <= 60
    assert httpx.post(url, json=event(3), headers={**named, "WebHook-Request-Origin": "b.example"}).status_code == 202
    assert httpx.post(url, json=event(4), headers=STRUCTURED).status_code == 202, "stores name no origin"


def test_whoever_keeps_to_its_rate_never_waits_whatever_its_bursts():
    clock = [0.0]
    consent = Consent(["*"], 3, lambda: clock[0])
    named = [(b"WebHook-Request-Origin", b"a.example")]
    waits = []
    for at in (10.0, 11.0, 12.0, 69.0, 70.0, 70.0, 70.0, 71.0, 130.0):
        clock[0] = at
        waits.append(consent.wait(named))
    assert waits == [0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 59.0, 0.0]
    assert consent.wait([]) == Consent(["*"], 0).wait(named) == 0.0


def test_tokens_in_the_header_and_if_configured_in_the_query(endpoint):
    url = endpoint(token="hush & co", query_token=True)
    for given in ("", "?access_token=wrong", "?access_token=", "?token=hush%20%26%20co"):
        assert httpx.post(f"{url}/{given}", json=event(1), headers=STRUCTURED).status_code == 401
    assert httpx.post(f"{url}/?a=b&access_token=hush%20%26%20co", json=event(2), headers=STRUCTURED).status_code == 202
    assert httpx.post(url, json=event(3), headers={**STRUCTURED, "authorization": "Bearer hush & co"}).status_code == 202
    assert httpx.get(f"{url}/catalog?access_token=hush%20%26%20co").status_code == 401, "only events come in that way"


def test_a_token_in_the_query_is_refused_unless_configured(endpoint):
    url = endpoint(token="hush")
    assert httpx.post(f"{url}/?access_token=hush", json=event(1), headers=STRUCTURED).status_code == 401


def test_what_nobody_can_read(endpoint):
    url = endpoint()
    assert httpx.post(url, content=b"<e/>", headers={"content-type": "application/cloudevents+xml"}).status_code == 415
    assert httpx.post(url, content=b"{", headers=STRUCTURED).status_code == 400
