"""The official conformance cases of the JSON format: valid and invalid events and batches."""

import json

import pytest

from events.codec import decode, from_json, to_json
from events.errors import BadEvent

SOURCE = "https://cloudevents.io"


def minimal(name="minimal", **more):
    return {"specversion": "1.0", "id": name, "type": "io.cloudevents.test", "source": SOURCE, **more}


ALL_CORE = minimal(
    "allCore",
    datacontenttype="text/plain",
    dataschema="https://cloudevents.io/dataschema",
    subject="tests",
    time="2018-04-05T17:31:00Z",
)
ALL_EXTENSION_TYPES = minimal(
    "allExtensionTypes",
    extinteger=10,
    extboolean=True,
    extstring="text",
    exturi="https://cloudevents.io",
    exturiref="//authority/path",
    exttimestamp="2023-03-31T15:12:00Z",
    extbinary="TWE=",
)
VALID = [
    minimal(),
    minimal(datacontenttype=None, dataschema=None, subject=None, time=None),
    ALL_CORE,
    minimal(time="2018-04-05T17:31:00Z"),
    minimal(time="2018-04-05T17:31:00.000000000Z"),
    minimal(time="2018-04-05T18:31:00+01:00"),
    minimal(time="2018-04-05T16:31:00-01:00"),
    {**minimal(), "source": "#fragment"},
    minimal("simpleTextData", datacontenttype="text/plain", data="Simple text"),
    ALL_EXTENSION_TYPES,
]


@pytest.mark.parametrize("document", VALID)
def test_valid_events(document):
    event = from_json(json.dumps(document).encode())
    told = {name: value for name, value in document.items() if value is not None}
    assert json.loads(to_json(event)) == told
    if event.moment:
        assert event.moment.timestamp() == 1522949460


def without(name):
    return {key: value for key, value in minimal().items() if key != name}


#: the attribute that the error text must name, and the event
INVALID = [
    ("specversion", without("specversion")),
    ("id", without("id")),
    ("type", without("type")),
    ("source", without("source")),
    ("time", minimal(time="lunchtime")),
    ("time", minimal(time="2018-04-05T18:31Z")),
    ("time", minimal(time="2018-04-05T18:31:00X")),
    ("time", minimal(time="2018-04-05T18:31:00+25:00")),
    ("time", minimal(time="2018-04-05T18:31:00+xx:00")),
    ("time", minimal(time="2018-04-05T18:31:00+05")),
    ("id", {**minimal(), "id": ""}),
    ("type", {**minimal(), "type": ""}),
    ("source", {**minimal(), "source": ""}),
    ("specversion", {**minimal(), "specversion": ""}),
    ("specversion", {**minimal(), "specversion": "0.9"}),
    ("datacontenttype", minimal(datacontenttype="xyz")),
    ("datacontenttype", minimal(datacontenttype="")),
    ("dataschema", minimal(dataschema="")),
    ("subject", minimal(subject="")),
    ("id", {**minimal(), "id": 25}),
    ("id", {**minimal(), "id": {"xyz": "abc"}}),
    ("MyExtension", minimal(MyExtension="bad")),
    ("my.extension", minimal(**{"my.extension": "bad"})),
    ("my.extension", minimal(**{"my.extension": 1.5})),
    ("data_base64", minimal(data="text", data_base64="eyAieHl6IjogMTIzIH0=")),
]


@pytest.mark.parametrize(("name", "document"), INVALID)
def test_invalid_events(name, document):
    with pytest.raises(BadEvent, match=f"'{name}'"):
        from_json(json.dumps(document).encode())


def batch(documents):
    return decode([(b"content-type", b"application/cloudevents-batch+json")], json.dumps(documents).encode())


@pytest.mark.parametrize(
    "documents",
    [[], [minimal()], [minimal(), minimal()], [minimal(), ALL_CORE], [minimal(), ALL_EXTENSION_TYPES]],
)
def test_valid_batches(documents):
    assert [json.loads(to_json(event)) for event in batch(documents)] == documents


@pytest.mark.parametrize(
    ("documents", "reason"),
    [
        ([minimal(), {**minimal(), "specversion": "0.9"}], "event 1 .*'specversion'"),
        ([without("id")], "event 0 .*'id'"),
        (["not an object", minimal()], "event 0 .*must be an object"),
        (minimal(), "array"),
    ],
)
def test_invalid_batches(documents, reason):
    with pytest.raises(BadEvent, match=reason):
        batch(documents)
