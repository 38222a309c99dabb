"""The one way in: what an HTTP request is taken for, and what it is refused for."""

import json
from pathlib import Path

import pytest

from events.codec import encode_batch, encode_binary, encode_structured
from events.errors import BadEvent, UnsupportedMediaType
from events.event import Event
from events.ingress import read

PAYLOADS = Path(__file__).parents[2] / "payloads"
EVENT = Event(id="1", source="/s", type="t", datacontenttype="application/json", data={"Records": []})


@pytest.mark.parametrize("encoded", [encode_binary(EVENT), encode_structured(EVENT), encode_batch([EVENT])])
def test_cloudevents_in_every_mode(encoded):
    assert read(*encoded).events == [EVENT]


def test_a_notification_as_it_came():
    captured = json.loads((PAYLOADS / "rgw-put.json").read_text())
    headers = [(name.lower().encode(), value.encode()) for name, value in captured["headers"]]
    (event,) = read(headers, json.dumps(captured["body"]).encode()).events
    assert event.subject == "data/in.csv"


def test_sns_as_it_came():
    (captured,) = json.loads((PAYLOADS / "moto-http.json").read_text())
    headers = [(name.lower().encode(), value.encode()) for name, value in captured["headers"]]
    (event,) = read(headers, captured["body"].encode()).events
    assert event.subject == "a b/ü+%.txt"


@pytest.mark.parametrize(
    "content_type", [None, b"application/json", b"application/json; charset=UTF-8", b"text/plain", b"application/x+json"]
)
def test_content_types_of_a_notification(content_type):
    body = (PAYLOADS / "aws-records.json").read_bytes()
    headers = [(b"content-type", content_type)] if content_type else []
    assert len(read(headers, body).events) == 1


def test_newer_ceph_sends_a_notification_under_cloudevents_headers():
    body = json.loads((PAYLOADS / "rgw-batch-delete-0.json").read_text())["body"]
    headers = [
        (b"ce-specversion", b"1.0"),
        (b"ce-id", b"request.node"),
        (b"ce-source", b"ceph:s3.default.nb62253"),
        (b"ce-type", b"com.amazonaws.ObjectRemoved:Delete"),
        (b"content-type", b"application/json"),
    ]
    (event,) = read(headers, json.dumps(body).encode()).events
    assert event.type == "com.amazonaws.s3.ObjectRemoved:Delete"
    assert event.extensions["partitionkey"] == "nb62253/m"


@pytest.mark.parametrize(
    "content_type",
    [b"application/x-www-form-urlencoded", b"multipart/form-data; boundary=x", b"image/png", b"nonsense", b"\xff/x"],
)
def test_media_types_that_nobody_reads(content_type):
    with pytest.raises(UnsupportedMediaType):
        read([(b"content-type", content_type)], b"{}")


@pytest.mark.parametrize("charset", [b"utf-16", b"iso-8859-1"])
def test_character_sets_that_nobody_reads(charset):
    with pytest.raises(UnsupportedMediaType, match="character set"):
        read([(b"content-type", b"application/json; charset=" + charset)], b"{}")


@pytest.mark.parametrize(
    "body", [b"", b"{", b"\xff", b"{}", b"[]", b"null", b'{"specversion":"1.0","id":"1","source":"/s","type":"t"}']
)
def test_bodies_that_are_nothing_known(body):
    with pytest.raises(BadEvent) as caught:
        read([(b"content-type", b"application/json")], body)
    assert not isinstance(caught.value, UnsupportedMediaType)


def test_a_half_written_cloudevent_is_told_what_is_missing():
    with pytest.raises(BadEvent, match="'ce-id' is missing"):
        read([(b"ce-specversion", b"1.0"), (b"ce-type", b"t"), (b"ce-source", b"/s")], b"{}")


PLAIN = [(b"ce-specversion", b"1.0"), (b"ce-id", b"1"), (b"ce-source", b"/s"), (b"ce-type", b"t")]


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ((b"ce-content-type", b"text/plain"), "'content-type' may have lower-case letters"),
        ((b"ce-", b"x"), "the attribute name ''"),
        ((b"ce-Id", b"1"), "'id' is there more than once"),
        ((b"ce-x", b"a\nb"), r"U\+000A"),
        ((b"ce-x", b"a%0Ab"), r"U\+000A"),
        ((b"ce-subject", b""), "'subject' must not be empty"),
        ((b"ce-time", b"today"), "'time' is no RFC 3339 time"),
    ],
)
def test_what_one_header_spoils(more, told):
    for headers in ([*PLAIN, more], [more, *PLAIN]):
        with pytest.raises(BadEvent, match=told):
            read(headers, b"")


def test_one_header_that_is_encoded_does_not_change_the_others():
    headers = [*PLAIN, (b"CE-Subject", b"a%20b%25"), (b"ce-x", b' "c \\" d" '), (b"ce-y", b""), (b"ce-z", b"a b")]
    (event,) = read(headers, b"").events
    assert (event.subject, event.extensions) == ("a b%", {"x": 'c " d', "y": "", "z": "a b"})


def test_good_and_bad_records_part_ways():
    body = json.loads((PAYLOADS / "aws-records.json").read_text())
    received = read([], json.dumps({"Records": [*body["Records"], {"bad": 1}]}).encode())
    assert len(received.events) == 1
    assert json.loads(received.rejects[0].body) == {"bad": 1}
