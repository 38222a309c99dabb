"""The conformance scenarios of the Kafka binding, as tables, and what the binding says besides."""

from __future__ import annotations

import json

import pytest

from events import kafka
from events.errors import BadEvent
from events.event import Event
from tests.conformance.test_http_binding import ATTRIBUTES, attributes_of

BODY = b'{\n    "message": "Hello World!"\n}'
HEADERS = [(f"ce_{name}", value.encode()) for name, value in ATTRIBUTES.items()]


def test_binary_content_mode():
    event = kafka.from_message([*HEADERS, ("content-type", b"application/json")], BODY)
    assert attributes_of(event) == {**ATTRIBUTES, "datacontenttype": "application/json"}
    assert event.data == {"message": "Hello World!"}


@pytest.mark.parametrize("content_type", ["application/cloudevents+json", "application/cloudevents+json; charset=UTF-8"])
def test_structured_content_mode(content_type):
    document = {**ATTRIBUTES, "datacontenttype": "application/json", "data": {"message": "Hello World!"}}
    event = kafka.from_message([("content-type", content_type.encode())], json.dumps(document).encode())
    assert attributes_of(event) == {**ATTRIBUTES, "datacontenttype": "application/json"}
    assert event.data == {"message": "Hello World!"}


EVENTS = [
    Event(id="1", source="/s", type="t"),
    Event(
        id="1",
        source="/s",
        type="t",
        subject='Ångström 100% "x"',
        time="2026-01-02T03:04:05Z",
        dataschema="https://s.example/1",
    ),
    Event(id="1", source="/s", type="t", datacontenttype="application/json", data={"a": [1, None]}),
    Event(id="1", source="/s", type="t", datacontenttype="text/plain", data="ü"),
    Event(id="1", source="/s", type="t", datacontenttype="application/octet-stream", data=b"\x00\xff"),
    Event(id="1", source="/s", type="t", extensions={"partitionkey": "b/k", "traceparent": "00-1-2-3"}),
]


@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize("mode", [kafka.binary, kafka.structured])
def test_what_is_written_is_read(event, mode):
    message = mode(event)
    assert kafka.from_message(message.headers, message.value) == event
    assert message.key == (b"b/k" if event.extensions else None)


def test_headers_are_utf_8_as_they_are_and_an_event_without_data_is_a_tombstone():
    message = kafka.binary(Event(id="ü %", source="/s", type="t", extensions={"count": 5, "final": True}))
    assert ("ce_id", "ü %".encode()) in message.headers
    assert {("ce_count", b"5"), ("ce_final", b"true")} <= set(message.headers)
    assert message.value is None


@pytest.mark.parametrize(
    ("headers", "value", "why"),
    [
        (HEADERS[1:], None, "'id'"),
        ([*HEADERS, HEADERS[0]], None, "more than once"),
        ([*HEADERS, ("ce_x", b"\xff")], None, "UTF-8"),
        ([*HEADERS, ("ce_datacontenttype", b"text/plain")], None, "content-type"),
        ([("content-type", b"application/cloudevents-batch+json")], b"[]", "batched"),
        ([("content-type", b"application/cloudevents+json")], None, "JSON"),
    ],
)
def test_what_is_no_event(headers, value, why):
    with pytest.raises(BadEvent, match=why):
        kafka.from_message(headers, value)
