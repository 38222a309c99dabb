"""The webhook as sender, against a real HTTP server that answers as each test says."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext, suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import ThreadingHTTPServer
from typing import Any, NamedTuple

import httpx
import pytest

from events.codec import decode
from events.errors import Reject, Retry
from events.event import Event
from infra.delivery.credential import Credential
from infra.delivery.rate import Rate
from infra.delivery.webhook import Gone, HttpSettings, SinkError, Webhook, address_of, seconds_of, settings_of
from tests.plain_http import Silent, answering

EVENT = Event(id="1", source="/s", type="t", subject="a", datacontenttype="application/json", data={"n": 1})


class Seen(NamedTuple):
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class Receiver:
    """Keeps what it is sent. ``answers`` are (status, headers) to give one after the other, then 204 for ever."""

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self.answers: list[tuple[int, dict[str, str]]] = []
        self.body = b""
        receiver = self

        class Handler(Silent):
            protocol_version = "HTTP/1.1"

            def _answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                receiver.seen.append(Seen(self.command, self.path, {k.lower(): v for k, v in self.headers.items()}, body))
                status, headers = receiver.answers.pop(0) if receiver.answers else (204, {})
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                told = b"" if status == 204 else receiver.body
                self.send_header("content-length", str(len(told)))
                self.end_headers()
                with suppress(ConnectionError):  # who asked has read enough
                    self.wfile.write(told)

            do_POST = do_PUT = do_OPTIONS = do_GET = _answer

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"

    @property
    def events(self) -> list[Event]:
        found = []
        for each in self.seen:
            if each.method != "OPTIONS":
                found += decode([(name.encode(), value.encode("latin-1")) for name, value in each.headers.items()], each.body)
        return found


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    with answering(made.server):
        yield made


@pytest.fixture
def client() -> Iterator[httpx.Client]:
    with httpx.Client() as made:
        yield made


def webhook(receiver: Receiver, credential: Credential | None = None, **settings: Any) -> Webhook:
    return Webhook(receiver.url, settings_of(settings), credential)


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_every_2xx_takes_the_event(receiver, client, status):
    receiver.answers = [(status, {})]
    webhook(receiver).post(client, EVENT)
    assert receiver.events == [EVENT]


@pytest.mark.parametrize("status", [400, 401, 403, 405, 413, 415, 422])
def test_what_will_never_be_taken_is_rejected(receiver, client, status):
    receiver.answers = [(status, {})]
    with pytest.raises(Reject, match=f"answered {status}") as caught:
        webhook(receiver).post(client, EVENT)
    assert not isinstance(caught.value, Gone)


@pytest.mark.parametrize("status", [404, 408, 409, 425, 429, 500, 502, 503, 504])
def test_what_may_be_taken_later_is_tried_again(receiver, client, status):
    receiver.answers = [(status, {})]
    with pytest.raises(SinkError, match=f"answered {status}"):
        webhook(receiver).post(client, EVENT)


@pytest.mark.parametrize("status", [300, 301, 302, 303, 307, 308])
def test_a_redirection_is_a_failure_and_never_followed(receiver, client, status):
    receiver.answers = [(status, {"location": receiver.url + "/elsewhere"})]
    with pytest.raises(Reject, match=f"answered {status}"):
        webhook(receiver).post(client, EVENT)
    assert [each.path for each in receiver.seen] == ["/hook"]


def test_410_is_gone(receiver, client):
    receiver.answers = [(410, {})]
    with pytest.raises(Gone, match="retired"):
        webhook(receiver).post(client, EVENT)


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_holds_everything_back(receiver, client, status):
    receiver.answers = [(status, {"retry-after": "120"})]
    hook = webhook(receiver)
    for event in (EVENT, EVENT, Event(id="2", source="/s", type="t")):
        with pytest.raises(Retry) as caught:
            hook.post(client, event)
        assert caught.value.after is not None
        assert 100 < caught.value.after <= 120
    assert len(receiver.seen) == 1, "until then, nothing is sent"


def test_retry_after_may_be_a_date(receiver, client):
    receiver.answers = [(503, {"retry-after": format_datetime(datetime.now(UTC) + timedelta(seconds=300), usegmt=True)})]
    with pytest.raises(Retry) as caught:
        webhook(receiver).post(client, EVENT)
    assert caught.value.after is not None
    assert 200 < caught.value.after <= 300


def test_the_forms_of_retry_after():
    assert seconds_of("0") == 0
    assert seconds_of(" 7 ") == 7
    assert seconds_of("99999999999999999999") == 86_400
    assert seconds_of("Wed, 21 Oct 2015 07:28:00 GMT") == 0
    assert seconds_of("Fri, 31 Dec 2999 23:59:59 GMT") == 86_400
    for text in ("", "soon", "-1", "1.5", "٣", "Wed, 99 Foo 2015"):
        assert seconds_of(text) is None


def test_nobody_there_is_tried_again(client):
    with pytest.raises(SinkError, match="cannot be reached"):
        Webhook("http://127.0.0.1:1/", HttpSettings()).post(client, EVENT)


def test_an_endless_answer_is_not_read(receiver, client):
    receiver.body = b"x" * (8 << 20)
    receiver.answers = [(200, {})] * 2
    hook = webhook(receiver)
    hook.post(client, EVENT)
    hook.post(client, EVENT)
    assert len(receiver.events) == 2


def test_the_modes(receiver, client):
    webhook(receiver).post(client, EVENT)
    webhook(receiver, mode="structured").post(client, EVENT)
    binary, structured = receiver.seen
    assert (binary.headers["content-type"], binary.headers["ce-id"], binary.body) == ("application/json", "1", b'{"n":1}')
    assert structured.headers["content-type"] == "application/cloudevents+json"
    assert "ce-id" not in structured.headers
    assert receiver.events == [EVENT, EVENT]


@pytest.mark.parametrize("event", [Event(id="1", source="/s", type="t"), Event(id="1", source="/s", type="t", data=b"\x00")])
def test_every_request_has_a_body_and_its_type(receiver, client, event):
    webhook(receiver).post(client, event)
    (seen,) = receiver.seen
    assert seen.headers["content-type"] == "application/cloudevents+json"
    assert receiver.events == [event]


def test_headers_and_method(receiver, client):
    webhook(receiver, headers={"X-Team": "lake", "x-empty": ""}, method="PUT").post(client, EVENT)
    (seen,) = receiver.seen
    assert (seen.method, seen.headers["x-team"], seen.headers["x-empty"]) == ("PUT", "lake", "")
    assert "webhook-request-origin" not in seen.headers


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"headers": {"authorization": "Bearer x"}}, "authorization.*sinkcredential"),
        ({"headers": {"CE-id": "x"}}, "cannot be set"),
        ({"headers": {"Content-Type": "x"}}, "cannot be set"),
        ({"headers": {"WebHook-Request-Origin": "x"}}, "cannot be set"),
        ({"headers": {"Host": "x"}}, "cannot be set"),
        ({"headers": {"a b": "x"}}, "no HTTP header"),
        ({"headers": {"a": "x\r\nb: y"}}, "no HTTP header"),
        ({"headers": {"a": 5}}, "headers"),
        ({"method": "GET"}, "GET"),
        ({"mode": "batched"}, "batched"),
        ({"handshake": "yes"}, "handshake"),
        ({"rate": -1}, "rate"),
        ({"origin": "a b"}, "origin"),
        ({"handshakes": True}, "handshakes"),
    ],
)
def test_settings_that_make_no_sense(settings, reason):
    with pytest.raises(Reject, match=rf"(?s)protocolsettings.*{reason}"):
        settings_of(settings)


def test_addresses_hide_what_is_secret():
    assert address_of("https://sink.example:8443/in?access_token=secret#x") == "https://sink.example:8443/in"
    for sink in ("ftp://x/", "http://", "sink", "http://x:port/", "http://x:99999/", "http://[::1/", "file:///etc/passwd", ""):
        with pytest.raises(Reject, match="no http or https URL"):
            address_of(sink)
    with pytest.raises(Reject, match="sinkcredential") as caught:
        address_of("http://user:secret@sink.example/")
    assert "secret" not in str(caught.value)


def test_credentials_travel_and_are_never_told(receiver, client):
    token = Credential(credentialtype="ACCESSTOKEN", accesstoken="mF_9.B5f-4.1JqM", accesstokentype="bearer")
    plain = Credential(credentialtype="PLAIN", identifier="me", secret="hush")
    for credential in (token, plain):
        credential.check()
        webhook(receiver, credential).post(client, EVENT)
        receiver.answers = [(403, {})]
        with pytest.raises(Reject) as caught:
            webhook(receiver, credential).post(client, EVENT)
        told = f"{caught.value} {credential!r} {credential.shown()}"
        assert "mF_9" not in told
        assert "hush" not in told
    assert [each.headers["authorization"] for each in receiver.seen[::2]] == ["Bearer mF_9.B5f-4.1JqM", "Basic bWU6aHVzaA=="]


def test_an_expired_token_is_not_sent(receiver, client):
    given: dict[str, Any] = {"credentialtype": "ACCESSTOKEN", "accesstoken": "x"}
    with pytest.raises(SinkError, match="expired at 2020"):
        webhook(receiver, Credential(**given, accesstokenexpiresutc="2020-01-01T00:00:00Z")).post(client, EVENT)
    assert receiver.seen == []
    webhook(receiver, Credential(**given, accesstokenexpiresutc="2999-01-01T00:00:00Z")).post(client, EVENT)
    assert len(receiver.seen) == 1


def test_a_token_in_the_url_is_not_to_be_stored(receiver, client):
    Webhook(receiver.url + "?access_token=t&p=q", HttpSettings()).post(client, EVENT)
    (seen,) = receiver.seen
    assert (seen.path, seen.headers["cache-control"]) == ("/hook?access_token=t&p=q", "no-store")


ALLOWED = {"webhook-allowed-origin": "lake.example", "webhook-allowed-rate": "*"}


@pytest.mark.parametrize("status", [200, 204, 404, 405])
def test_the_handshake_comes_first_and_once(receiver, client, status):
    receiver.answers = [(status, ALLOWED)]
    hook = webhook(receiver, handshake=True, origin="lake.example", rate=120)
    for number in range(2):
        with pytest.raises(Retry) if number else nullcontext():
            hook.post(client, Event(id=str(number), source="/s", type="t"))
    options, post = receiver.seen
    assert (options.method, options.path, post.method) == ("OPTIONS", "/hook", "POST")
    assert (options.headers["webhook-request-origin"], options.headers["webhook-request-rate"]) == ("lake.example", "120")
    assert post.headers["webhook-request-origin"] == "lake.example"


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"webhook-allowed-rate": "*"},
        {"webhook-allowed-origin": "other.example"},
        {"webhook-allowed-origin": "", "allow": "POST"},
    ],
)
def test_without_consent_nothing_is_sent(receiver, client, headers):
    receiver.answers = [(200, headers), (200, {"webhook-allowed-origin": "*", "webhook-allowed-rate": "*"})]
    hook = webhook(receiver, handshake=True, origin="lake.example")
    with pytest.raises(SinkError, match=r"did not agree to events from lake\.example"):
        hook.post(client, EVENT)
    assert receiver.events == []
    hook.post(client, EVENT)
    assert receiver.events == [EVENT], "it may agree later"


def test_a_sink_that_agrees_later_is_asked_now_and_then_and_never_given_up(receiver, client):
    receiver.answers = [(200, {})]
    settings = settings_of({"handshake": True, "origin": "lake.example"})
    hook = Webhook(receiver.url, settings, None, "https://lake.example/callbacks/s/key")
    for _ in range(2):
        with pytest.raises(Retry):
            hook.post(client, EVENT)
    (asked,) = receiver.seen
    assert asked.headers["webhook-request-callback"] == "https://lake.example/callbacks/s/key"
    receiver.answers = [(404, {})]
    with pytest.raises(SinkError, match="did not agree"):
        Webhook(receiver.url, settings, None, "https://lake.example/callbacks/s/key").post(client, EVENT)


def test_who_agreed_by_callback_is_not_asked_again_and_sets_the_rate(receiver, client):
    hook = Webhook(receiver.url, settings_of({"handshake": True, "rate": 600}), None, "https://x.example", 30)
    hook.post(client, EVENT)
    with pytest.raises(Retry) as caught:
        hook.post(client, Event(id="2", source="/s", type="t"))
    assert 1 < (caught.value.after or 0) <= 2
    assert [each.method for each in receiver.seen] == ["POST"]


def test_the_trace_goes_along_in_the_headers_too(receiver, client):
    parent = "00-" + "1" * 32 + "-" + "2" * 16 + "-01"
    for state in ("a=1", "é", ""):
        extensions: dict[str, Any] = {"traceparent": parent, **({"tracestate": state} if state else {})}
        webhook(receiver).post(
            client, Event(id="1", source="/s", type="t", data="x", datacontenttype="text/plain", extensions=extensions)
        )
    webhook(receiver).post(client, Event(id="1", source="/s", type="t", extensions={"traceparent": "nonsense"}))
    assert [each.headers.get("traceparent") for each in receiver.seen] == [parent, parent, parent, None]
    assert [each.headers.get("tracestate") for each in receiver.seen] == ["a=1", None, None, None]
    assert receiver.events[0].extensions == {"traceparent": parent, "tracestate": "a=1"}


def test_a_redirected_handshake_is_no_consent(receiver, client):
    receiver.answers = [(307, {"location": receiver.url + "/elsewhere"})]
    with pytest.raises(SinkError, match="did not agree"):
        webhook(receiver, handshake=True).post(client, EVENT)
    assert [each.path for each in receiver.seen] == ["/hook"]


def test_a_handshake_may_meet_a_pause_or_a_grave(receiver, client):
    receiver.answers = [(429, {"retry-after": "60"}), (410, {})]
    hook = webhook(receiver, handshake=True)
    for _ in range(2):
        with pytest.raises(Retry):
            hook.post(client, EVENT)
    assert len(receiver.seen) == 1
    with pytest.raises(Gone):
        webhook(receiver, handshake=True).post(client, EVENT)


def test_the_granted_rate_is_kept(receiver, client):
    receiver.answers = [(200, {"webhook-allowed-origin": "*", "webhook-allowed-rate": "30"})]
    hook = webhook(receiver, handshake=True, rate=600)
    hook.post(client, EVENT)
    waits = []
    for number in range(2, 5):
        with pytest.raises(Retry) as caught:
            hook.post(client, Event(id=str(number), source="/s", type="t"))
        waits.append(caught.value.after)
    assert [round(wait / 2) for wait in waits if wait] == [1, 2, 3], "one every two seconds, each with its own turn"
    assert len(receiver.events) == 1


def test_turns():
    clock = [100.0]
    rate = Rate(60, lambda: clock[0])
    assert [rate.wait(key) for key in "abc"] == [0.0, 1.0, 2.0]
    assert rate.wait("c") == 2.0, "who comes too early keeps the turn"
    clock[0] = 101.0
    assert rate.wait("d") == 2.0, "who comes late does not push in"
    assert rate.wait("b") == 0.0
    clock[0] = 102.5
    rate.pause(10)
    assert (rate.wait("c"), rate.paused) == (10.0, 10.0)
    clock[0] = 112.5
    assert (rate.wait("c"), rate.wait("d"), rate.wait("e"), rate.wait("f")) == (0.0, 0.0, 0.0, 1.0)
    assert Rate().wait("a") == Rate().wait("a") == 0.0
