"""Changes of objects that others tell as CloudEvents: they get the form, and the identity, of the notification itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from events.codec import encode_batch, encode_binary, encode_structured
from events.event import Event
from events.ingress import read
from events.s3 import events_from
from events.types import S3Record
from infra.sources.sqs import read as read_message

PAYLOADS = Path(__file__).parents[2] / "payloads"


def payload(name: str):
    found = json.loads((PAYLOADS / f"{name}.json").read_text())
    return found.get("body", found) if isinstance(found, dict) else found


def only(body: Any) -> Event:
    """The one event of a notification."""
    received = events_from(body)
    assert received is not None
    (event,) = received.events
    return event


def direct(name: str) -> Event:
    """The event of the notification as its store sends it."""
    return only(payload(name))


def told(record: dict, **more) -> Event:
    """The same by the CloudEvents adapter for S3."""
    answer = record.get("responseElements", {})
    fields = {
        "id": f"{answer.get('x-amz-request-id')}.{answer.get('x-amz-id-2')}",
        "source": f"{record['eventSource']}.{record['awsRegion']}.{record['s3']['bucket']['name']}",
        "type": f"com.amazonaws.s3.{record['eventName']}",
        "subject": record["s3"]["object"]["key"],
        "time": record["eventTime"],
        "datacontenttype": "application/json",
        "data": record,
    }
    return Event(**{**fields, **more})


def taken(event: Event) -> Event:
    """As it is read from each mode of HTTP, and from a queue."""
    (first,) = read(*encode_binary(event)).events
    for encoded in (encode_structured(event), encode_batch([event])):
        assert read(*encoded).events == [first]
    assert read_message(encode_structured(event)[1].decode()).events == [first]
    assert read(*encode_structured(first)).events == [first], "what is in our form stays as it is"
    return first


@pytest.mark.parametrize("name", ["aws-records", "rgw-put", "rgw-key4", "rgw-delete-version", "minio-listen", "door"])
def test_by_the_adapter_or_by_the_store_it_is_the_same_change(name):
    record = payload(name)["Records"][0]
    expected = only({"Records": [record]})
    event = taken(told(record))
    assert event == expected
    assert event.key == expected.key
    prefixed = told(record, type=f"com.amazonaws.s3.s3:{record['eventName']}")
    assert taken(prefixed) == expected


@pytest.mark.parametrize(
    "kind",
    ["com.amazonaws.s3", "com.amazonaws.ObjectCreated:Put", "com.amazon.s3.objectcreated", "aws.sqs.message",
     "dev.knative.eventing.aws-sqs", "org.apache.camel.event.aws-sqs-source"],
)  # fmt: skip
def test_records_and_messages_in_the_data(kind):
    expected = direct("aws-records")
    for data in (payload("aws-records"), {"Body": json.dumps(payload("aws-records"))}, json.dumps(payload("aws-records"))):
        event = Event(id="1", source="arn:aws:sqs:x", type=kind, datacontenttype="application/json", data=data)
        assert taken(event) == expected
    text = Event(id="1", source="/q", type=kind, datacontenttype="text/plain", data=json.dumps(payload("aws-records")))
    assert taken(text) == expected


def test_events_of_eventbridge_with_and_without_their_envelope():
    envelope = payload("aws-eventbridge")
    envelope = next(each for each in (envelope if isinstance(envelope, list) else [envelope]) if "detail" in each)
    expected = only(envelope)
    around = {"id": envelope["id"], "source": "aws.s3", "type": envelope["detail-type"], "time": envelope["time"]}
    whole = taken(Event(**around, datacontenttype="application/json", data=envelope))
    assert whole == expected
    bare = taken(Event(**around, datacontenttype="application/json", data=envelope["detail"]))
    assert (bare.id, bare.subject, bare.type) == (expected.id, expected.subject, expected.type)
    assert bare.extensions == expected.extensions
    theirs = Event(**{**around, "source": "/me"}, datacontenttype="application/json", data=envelope["detail"])
    assert taken(theirs) == theirs


def test_many_records_in_one_event_are_many_and_a_bad_one_is_told():
    (good,) = payload("aws-records")["Records"]
    other = json.loads(json.dumps(good))
    other["s3"]["object"]["key"] = "other"
    event = Event(
        id="1", source="ceph:s3.x.b", type="com.amazonaws.s3.ObjectCreated:Put", datacontenttype="application/json",
        data={"Records": [good, {"bad": 1}, other]}, extensions={"traceparent": "00-1", "sequence": "theirs"},
    )  # fmt: skip
    received = read(*encode_structured(event))
    assert [each.subject for each in received.events] == ["red flower+x/ü.jpg", "other"]
    assert [json.loads(each.body) for each in received.rejects] == [{"bad": 1}]
    assert {each.extensions["traceparent"] for each in received.events} == {"00-1"}
    assert "theirs" not in {each.extensions["sequence"] for each in received.events}


@pytest.mark.parametrize("data", [None, {}, {"s3": 7}, {"s3": {"bucket": {}}}, {"Records": 7}, {"Records": []}, "no JSON", [1]])
def test_what_cannot_be_read_stays_as_it_is(data):
    event = Event(id="1", source="/s", type="com.amazonaws.s3.ObjectCreated:Put", datacontenttype="application/json", data=data)
    assert taken(event) == event


def test_events_of_ones_own_are_left_alone_whatever_their_data():
    event = Event(
        id="1", source="/s", type="com.example.audit", datacontenttype="application/json", data=payload("aws-records")
    )
    assert taken(event) == event


def test_what_an_adapter_left_out_of_the_record_the_attributes_tell():
    event = Event(
        id="1", source="/adapter", type="com.amazonaws.s3.ObjectRemoved:Delete", time="2026-01-01T00:00:00Z",
        datacontenttype="application/json", data={"s3": {"bucket": {"name": "b"}, "object": {"key": "a+b"}}},
    )  # fmt: skip
    found = taken(event)
    assert (found.type, found.subject, found.extensions["partitionkey"]) == (event.type, "a b", "b/a b")


def google(kind: str, generation: int, **more) -> Event:
    data = {
        "kind": "storage#object", "bucket": "b", "name": "in/a b+%.csv", "generation": str(generation), "metageneration": "1",
        "size": "4", "md5Hash": "1B2M2Y8AsgTpgAmY7PhCfg==", "etag": "CJ+eksC9nPECEAE=", "contentType": "text/csv", **more,
    }  # fmt: skip
    return Event(
        id=f"{kind}{generation}", source="//storage.googleapis.com/projects/_/buckets/b", subject="objects/in/a b+%.csv",
        type=f"google.cloud.storage.object.v1.{kind}", time="2026-01-01T00:00:00.123456Z",
        datacontenttype="application/json", data=data,
    )  # fmt: skip


def test_google():
    event = taken(google("finalized", 1788123456789012))
    assert event.type == "com.amazonaws.s3.ObjectCreated:Put"
    assert (event.subject, event.extensions["partitionkey"]) == ("in/a b+%.csv", "b/in/a b+%.csv")
    found = event.read(S3Record).s3.object
    assert (found.key, found.size, found.eTag) == ("in/a b+%.csv", 4, "d41d8cd98f00b204e9800998ecf8427e")
    changes = [
        google("finalized", 2**50),
        google("deleted", 2**50),
        google("finalized", 2**50 + 1),
        google("archived", 2**50 + 1),
    ]
    sequences = [taken(each).extensions["sequence"] for each in changes]
    assert sequences == sorted(set(sequences))
    assert taken(changes[1]).type == "com.amazonaws.s3.ObjectRemoved:Delete"
    for odd in (google("metadataUpdated", 1), google("finalized", 1, md5Hash="?"), google("finalized", 1, size="many")):
        assert taken(odd) == odd


def azure(kind: str, sequencer: str, **more) -> Event:
    fields = {
        "id": f"{kind}{sequencer}", "type": f"Microsoft.Storage.{kind}", "time": "2026-01-01T00:00:00.9584103Z",
        "source": "/subscriptions/s/resourceGroups/g/providers/Microsoft.Storage/storageAccounts/account",
        "subject": "/blobServices/default/containers/c/blobs/in/blobs/a b.csv", "datacontenttype": "application/json",
        "data": {"api": "PutBlob", "eTag": "0x8D4BCC2E4835CD0", "contentLength": 9, "sequencer": sequencer},
    }  # fmt: skip
    return Event(**{**fields, **more})


def test_azure():
    event = taken(azure("BlobCreated", "00000000000000eb0000000000046199"))
    assert event.source == "azure:blob.account.c"
    found = msgspec.convert(event.data, S3Record)
    assert (found.s3.bucket.name, found.s3.object.key, found.s3.object.size) == ("c", "in/blobs/a b.csv", 9)
    assert found.s3.object.eTag == ""
    later = taken(azure("BlobDeleted", "00000000000000EB000000000004619A"))
    assert later.type == "com.amazonaws.s3.ObjectRemoved:Delete"
    assert str(later.extensions["sequence"]) > str(event.extensions["sequence"])
    for odd in (azure("BlobRenamed", "1"), azure("BlobCreated", "1", subject="/x"), azure("BlobCreated", "1", subject=None)):
        assert taken(odd) == odd
