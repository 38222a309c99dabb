"""Cases taken from the text of the specification, CloudEvents 1.0.2: structured mode, batches, and what is not sent."""

import pytest

from events.codec import decode, encode_batch, encode_binary, encode_structured
from events.errors import BadEvent, UnsupportedMediaType
from events.event import Event
from tests.conformance.cases import CORE, structured


def test_headers_beside_a_structured_event_are_not_read():
    stray = [(b"ce-id", b"other"), (b"ce-bad_name", b"%FF"), (b"ce-id", b"again")]
    assert structured(headers=stray).id == "1"


@pytest.mark.parametrize(
    "content_type",
    [
        "application/cloudevents+xml",
        "application/cloudevents+avro",
        "application/cloudevents-batch+xml",
        "application/cloudevents",
    ],
)
def test_formats_that_nobody_reads(content_type):
    with pytest.raises(UnsupportedMediaType, match="event format"):
        structured(content_type)


@pytest.mark.parametrize("charset", ["utf-16", "iso-8859-1"])
def test_a_structured_event_is_in_utf_8(charset):
    assert structured("Application/CloudEvents+JSON;Charset=UTF-8").id == "1"
    with pytest.raises(UnsupportedMediaType, match="character set"):
        structured(f"application/cloudevents+json; charset={charset}")


@pytest.mark.parametrize("body", [b"", b"[]", b"5", b"null", b'"x"', b"{", b"\xff", b"{}"])
def test_structured_bodies_that_are_no_event(body):
    with pytest.raises(BadEvent):
        decode([(b"content-type", b"application/cloudevents+json")], body)


def test_a_batch_mixes_what_it_likes():
    events = [structured(), structured(data_base64="AP8="), structured(data="x", datacontenttype="text/plain", n=5)]
    assert decode(*encode_batch(events)) == events
    assert decode(*encode_batch([])) == []


@pytest.mark.parametrize(
    "event",
    [
        Event(**CORE, subject="a\nb"),
        Event(**{**CORE, "source": "a b"}),
        Event(**CORE, extensions={"Upper": "x"}),
        Event(**CORE, extensions={"subject": "x"}),
        Event(**CORE, extensions={"n": 2**40}),
        Event(**CORE, time="noon"),
        Event(**CORE, data={"a": 1}, datacontenttype="text/plain"),
        Event(**CORE, data=object()),
        Event(**CORE, data="\ud800"),
        Event(**CORE, data="x", datacontenttype="nonsense"),
    ],
)
@pytest.mark.parametrize("encode", [encode_binary, encode_structured])
def test_what_breaks_the_specification_is_not_sent(event, encode):
    with pytest.raises(BadEvent):
        encode(event)
