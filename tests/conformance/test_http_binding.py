"""The official conformance scenarios of the HTTP binding and the v1 deliveries, as tables."""

import json

import pytest

from events.codec import decode, encode_binary, encode_structured

ATTRIBUTES = {
    "id": "1234-1234-1234",
    "specversion": "1.0",
    "type": "com.example.someevent",
    "source": "/mycontext/subcontext",
    "time": "2018-04-05T03:56:24Z",
}
BODY = b'{\n    "message": "Hello World!"\n}'


def attributes_of(event):
    names = ("id", "specversion", "type", "source", "time", "subject", "datacontenttype", "dataschema")
    return {name: getattr(event, name) for name in names if getattr(event, name) is not None} | event.extensions


@pytest.mark.parametrize("content_type", ["application/json", "application/json; charset=utf-8"])
def test_binary_content_mode(content_type):
    headers = [(b"host", b"example.com"), (b"content-length", b"33")]
    headers += [(f"ce-{name}".encode(), value.encode()) for name, value in ATTRIBUTES.items()]
    (event,) = decode([*headers, (b"content-type", content_type.encode())], BODY)
    assert attributes_of(event) == {**ATTRIBUTES, "datacontenttype": content_type}
    assert event.data == {"message": "Hello World!"}


@pytest.mark.parametrize("content_type", ["application/cloudevents+json", "application/cloudevents+json; charset=utf-8"])
def test_structured_content_mode(content_type):
    document = {**ATTRIBUTES, "datacontenttype": "application/json", "data": {"message": "Hello World!"}}
    (event,) = decode([(b"content-type", content_type.encode())], json.dumps(document).encode())
    assert attributes_of(event) == {**ATTRIBUTES, "datacontenttype": "application/json"}
    assert event.data == {"message": "Hello World!"}


GLOBE = "Hello, \N{EARTH GLOBE AMERICAS}!"
#: datacontenttype, body in binary mode, ``data`` in structured mode, data in memory from binary mode
DELIVERIES = [
    ("text/plain; charset=us-ascii", "Hello, World!\n", "Hello, World!\n", "Hello, World!\n"),
    ("text/plain; charset=utf-8", GLOBE, GLOBE, GLOBE),
    ("application/json; charset=utf-8", f'"{GLOBE}"', GLOBE, GLOBE),
    ("application/json; charset=utf-8", f'{{"msg":"{GLOBE}"}}', {"msg": GLOBE}, {"msg": GLOBE}),
    ("application/json; charset=utf-8", f'["Hello","{GLOBE}"]', ["Hello", GLOBE], ["Hello", GLOBE]),
    ("application/xml; charset=utf-8", f"<msg>{GLOBE}</msg>", f"<msg>{GLOBE}</msg>", f"<msg>{GLOBE}</msg>".encode()),
]
MINIMUM = {
    "specversion": "1.0",
    "type": "io.cloudevents.minimum",
    "id": "conformance-0001",
    "source": "//github.com/cloudevents/cloudeventsconformance/yaml/v1.yaml",
}


@pytest.mark.parametrize(("content_type", "body", "member", "data"), DELIVERIES)
def test_deliveries(content_type, body, member, data):
    headers = [(f"ce-{name}".encode(), value.encode()) for name, value in MINIMUM.items()]
    (binary,) = decode([*headers, (b"content-type", content_type.encode())], body.encode())
    assert attributes_of(binary) == {**MINIMUM, "datacontenttype": content_type}
    assert binary.data == data
    document = {**MINIMUM, "datacontenttype": content_type, "data": member}
    (structured,) = decode([(b"content-type", b"application/cloudevents+json")], json.dumps(document).encode())
    assert attributes_of(structured) == {**MINIMUM, "datacontenttype": content_type}
    assert structured.data == member
    assert encode_binary(structured)[1].decode().replace(" ", "") == body.replace(" ", "")


def test_two_extensions_in_both_modes():
    extensions = {"comexampleextension1": "value", "comexampleextension2": '{"othervalue": 5}'}
    headers = [(f"ce-{name}".encode(), value.encode()) for name, value in {**ATTRIBUTES, **extensions}.items()]
    (event,) = decode([*headers, (b"user-agent", b"foo"), (b"content-type", b"application/json")], b'{"world":"hello"}')
    assert event.extensions == extensions
    assert decode(*encode_structured(event)) == [event]
    assert decode(*encode_binary(event)) == [event]
