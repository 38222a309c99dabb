"""Events to functions without a log: the dispatcher, its inbox, and the answers over HTTP."""

from __future__ import annotations

import asyncio
import sys

import httpx
import msgspec
import pytest

from events.codec import decode, encode_binary, encode_structured
from events.errors import Reject, Retry
from events.event import Event
from events.route import Handler, Routes
from infra.config import ConfigError, load
from infra.delivery.dedup import Inbox
from infra.delivery.handshake import Consent
from infra.runtime import aws_lambda
from infra.runtime.dispatch import Dispatcher, dispatcher
from infra.runtime.exchange import Exchange, wants_reply
from infra.runtime.knative import Container
from infra.runtime.sink import Sink
from infra.runtime.wiring import WiringError

PREFER = [(b"prefer", b"reply")]


def event(kind: str, **more) -> Event:
    return Event(id="e1", source="/s", type=kind, datacontenttype="application/json", data={"a": 1}, **more)


@pytest.fixture
def dispatch(module) -> Dispatcher:
    return dispatcher(load(None, {"SLUICE_FUNCTIONS": f"[{module}]"}))


class Collected(Sink):
    """A sink that keeps what it gets."""

    def __init__(self, error: Exception | None = None) -> None:
        self.events: list[Event] = []
        self.error = error

    def send(self, events) -> None:
        if self.error:
            raise self.error
        self.events += events


def test_replies_have_the_ids_that_a_repetition_has(dispatch) -> None:
    first, second = dispatch(event("two")), dispatch(event("two"))
    assert [reply.id for reply in first] == [reply.id for reply in second]
    assert len({reply.id for reply in first}) == 2


def test_a_function_for_the_sdk_runs_unchanged(dispatch) -> None:
    (reply,) = dispatch(event("sdk"))
    assert (reply.type, reply.data, reply.source) == ("answer", {"got": 1}, "/sluice/sdk")


def test_what_nobody_wants_is_done(dispatch) -> None:
    assert dispatch(event("unknown")) == []


def test_expired_events_reach_no_function(dispatch, module) -> None:
    past, future = {"expirytime": "2020-01-01T00:00:00Z"}, {"expirytime": "2999-01-01T00:00:00Z"}
    assert dispatch(event("one", extensions=past)) == []
    assert len(dispatch(event("one", extensions=future))) == 1
    assert sys.modules[module].RAN == ["e1"]


def test_no_functions_and_ports_that_are_not_here_are_told() -> None:
    with pytest.raises(ConfigError, match="SLUICE_FUNCTIONS"):
        dispatcher(load(None, {}))
    with pytest.raises(WiringError, match="catalog"):
        dispatcher(load(None, {"SLUICE_FUNCTIONS": "[functions.catalog]"}))


def test_the_inbox_answers_a_repetition_without_running_anything(tmp_path) -> None:
    ran = []

    def count(event: Event):
        ran.append(event.id)
        yield event.reply({"run": len(ran)}, type="answer")

    inbox = Inbox(tmp_path / "inbox.db")
    dispatch = Dispatcher(Routes([Handler("count", ("one",), count)]), {}, inbox)
    assert dispatch.blocks(event("one"))
    first, again = dispatch(event("one")), dispatch(event("one"))
    inbox.close()
    assert first == again
    assert ran == ["e1"]
    inbox = Inbox(tmp_path / "inbox.db")  # and so it does after a restart
    assert Dispatcher(Routes([Handler("count", ("one",), count)]), {}, inbox)(event("one")) == first
    inbox.close()
    assert ran == ["e1"]


def test_a_failure_is_not_remembered(tmp_path) -> None:
    inbox = Inbox(tmp_path / "inbox.db")

    def fail() -> list[Event]:
        raise Retry("later")

    with pytest.raises(Retry):
        inbox.once(event("one"), fail)
    assert inbox.once(event("one"), lambda: []) == []
    inbox.close()


@pytest.mark.parametrize("headers", [[], PREFER, [(b"Prefer", b"respond-async, Reply; x=1")]])
def test_one_reply_is_in_the_answer_when_there_is_no_sink(dispatch, headers) -> None:
    answer = Exchange(dispatch).answer([event("one")], headers)
    assert answer.status == 200
    (reply,) = decode(answer.headers, answer.body)
    assert (reply.type, reply.data) == ("answer", {"got": {"a": 1}})


def test_with_a_sink_only_who_asks_gets_the_reply(dispatch) -> None:
    sink = Collected()
    exchange = Exchange(dispatch, sink)
    assert exchange.answer([event("one")], PREFER).status == 200
    assert sink.events == []
    assert exchange.answer([event("one")], []).status == 204
    assert exchange.answer([event("two")], PREFER).status == 204
    assert [reply.data for reply in sink.events] == [{"got": {"a": 1}}, {"n": 1}, {"n": 2}]


@pytest.mark.parametrize(
    ("kind", "status", "text"),
    [
        ("none", 204, ""),
        ("unknown", 204, ""),
        ("two", 422, "set a sink"),
        ("reject", 422, "this can never work"),
        ("retry", 503, "the store is away"),
        ("broken", 500, "ValueError: boom"),
    ],
)
def test_the_status_tells_the_platform_what_to_do(dispatch, kind, status, text) -> None:
    answer = Exchange(dispatch).answer([event(kind)], PREFER)
    assert answer.status == status
    assert text in answer.body.decode()
    assert dict(answer.headers).get(b"retry-after") == (b"3" if status == 503 else None)


def test_a_sink_that_is_away_makes_the_sender_come_again(dispatch) -> None:
    assert Exchange(dispatch, Collected(Retry("away"))).answer([event("one")], []).status == 503


LATER, NEVER = (404, 408, 409, 425, 429, 500, 502, 503, 504), (301, 307, 400, 401, 403, 405, 410, 413, 415, 422)


def answering(status: int) -> Sink:
    """A sink that answers always the same."""
    sink = Sink("http://sink.example/")
    more = {"retry-after": "7", "location": "http://elsewhere.example/"}
    sink._client = httpx.Client(transport=httpx.MockTransport(lambda _: httpx.Response(status, headers=more)))
    return sink


@pytest.mark.parametrize(("status", "told"), [*((each, 503) for each in LATER), *((each, 422) for each in NEVER), (200, 204)])
def test_what_a_sink_answers_tells_the_platform_whether_to_come_again(dispatch, status, told) -> None:
    answer = Exchange(dispatch, answering(status)).answer([event("one")], [])
    assert answer.status == told
    assert dict(answer.headers).get(b"retry-after") == (b"7" if told == 503 else None)


@pytest.mark.parametrize(("status", "error"), [*((each, Retry) for each in LATER), *((each, Reject) for each in NEVER)])
def test_on_lambda_a_sink_that_will_never_take_it_is_told_from_one_that_will(dispatch, status, error) -> None:
    host = aws_lambda.Host(dispatch, answering(status))
    with pytest.raises(error, match=f"answered {status}"):
        aws_lambda.handle({"specversion": "1.0", "id": "1", "source": "/s", "type": "one"}, host)


def test_of_a_batch_every_reply_goes_to_the_sink(dispatch) -> None:
    sink = Collected()
    assert Exchange(dispatch, sink).answer([event("one"), msgspec.structs.replace(event("one"), id="e2")], []).status == 204
    assert len({reply.id for reply in sink.events}) == 2


@pytest.mark.parametrize(
    ("value", "wanted"), [(b"reply", True), (b"REPLY", True), (b"wait=10, reply", True), (b"replying", False)]
)
def test_prefer_is_read_as_rfc_7240_has_it(value, wanted) -> None:
    assert wants_reply([(b"prefer", value)]) is wanted


def test_functions_that_read_objects_never_run_in_the_event_loop(monkeypatch) -> None:
    settings = {"SLUICE_FUNCTIONS": "[functions.ingest]", "SLUICE_OBJECTS_ENDPOINT": "http://127.0.0.1:9"}
    found = dispatcher(load(None, settings | {"SLUICE_OBJECTS_ACCESS_KEY": "a", "SLUICE_OBJECTS_SECRET_KEY": "b"}))
    assert found.blocks(event("com.amazonaws.s3.ObjectCreated:Put"))
    assert not found.blocks(event("other"))


def test_a_function_that_exits_does_not_take_its_host_along() -> None:
    def leave(event: Event) -> None:
        sys.exit("enough")

    answer = Exchange(Dispatcher(Routes([Handler("leave", ("one",), leave)]), {})).answer([event("one")], [])
    assert (answer.status, answer.body) == (500, b'{"error":"SystemExit: enough"}')


def test_what_is_encoded_is_refused_if_it_is_no_event() -> None:
    def bad(event: Event):
        yield Event(id="x", source="/s", type="t", extensions={"Bad": "x"})

    answer = Exchange(Dispatcher(Routes([Handler("bad", ("one",), bad)]), {})).answer([event("one")], PREFER)
    assert (answer.status, b"'Bad'" in answer.body) == (422, True)
    with pytest.raises(Reject):
        encode_binary(Event(id="x", source="/s", type="t", extensions={"Bad": "x"}))


# The rate that the handshake allowed

NAMED = (b"WebHook-Request-Origin", b"a.example")


def test_a_container_refuses_who_is_faster_than_allowed(dispatch) -> None:
    container = Container(Exchange(dispatch), Consent(["*"], 1))
    headers, body = encode_binary(event("one"))
    first, late = (container.at_once([*headers, NAMED], body) for _ in range(2))
    assert first is not None
    assert late is not None
    assert (first.status, late.status) == (200, 429)
    assert 1 <= int(dict(late.headers)[b"retry-after"]) <= 60
    unnamed = container.at_once(headers, body)
    assert unnamed is not None
    assert unnamed.status == 200


def test_a_delivery_that_takes_long_is_counted_once(dispatch) -> None:
    container = Container(Exchange(dispatch, Collected()), Consent(["*"], 1))
    headers, body = encode_binary(event("one"))
    assert container.at_once([*headers, NAMED], body) is None
    named = [(name.decode(), value.decode()) for name, value in [*headers, NAMED]]

    async def statuses() -> list[int]:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(container)) as client:
            return [(await client.post("http://c.example/", headers=named, content=body)).status_code for _ in range(2)]

    assert asyncio.run(statuses()) == [204, 429]


def test_a_lambda_refuses_as_far_as_one_environment_sees(dispatch) -> None:
    host = aws_lambda.Host(dispatch, None, Consent(["*"], 1))
    headers, body = encode_structured(event("one"))
    told = {name.decode(): value.decode() for name, value in [*headers, NAMED]}
    request = {"requestContext": {"http": {"method": "POST"}}, "headers": told, "body": body.decode()}
    first, late = (aws_lambda.handle(request, host) for _ in range(2))
    assert (first["statusCode"], late["statusCode"]) == (200, 429)
    assert 1 <= int(late["headers"]["retry-after"]) <= 60


# The trace of what brought an event

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_a_reply_joins_the_trace_of_the_request(dispatch) -> None:
    headers, body = encode_binary(event("one"))
    answer = Container(Exchange(dispatch)).at_once([*headers, (b"TraceParent", TRACE.encode())], body)
    assert answer is not None
    (reply,) = decode(answer.headers, answer.body)
    assert reply.extensions["traceparent"] == TRACE


@pytest.mark.parametrize("own", [{}, {"traceparent": TRACE.replace("0af", "1af")}])
def test_a_message_of_sqs_brings_its_trace_to_an_event_without_one(dispatch, own) -> None:
    text = {"dataType": "String", "stringValue": TRACE}
    values = {
        "traceparent": text,
        "tracestate": {**text, "stringValue": "a=b"},
        "n": {"dataType": "Binary", "binaryValue": "eA=="},
    }
    body = encode_structured(event("one", extensions=own))[1].decode()
    message = {"messageId": "1", "eventSource": "aws:sqs", "body": body, "messageAttributes": values}
    answer = aws_lambda.handle({"Records": [message]}, aws_lambda.Host(dispatch))
    (reply,) = answer["events"]
    assert answer["batchItemFailures"] == []
    assert {name: reply.get(name) for name in ("traceparent", "tracestate")} == (
        {**own, "tracestate": None} if own else {"traceparent": TRACE, "tracestate": "a=b"}
    )
