"""Stores that tell of changes in words of their own: each body is written after its maker's documentation or source."""

from __future__ import annotations

import contextlib
import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from events.codec import encode_binary, encode_structured
from events.errors import BadEvent
from events.event import Event
from events.ingress import read
from events.received import Received
from events.types import S3Record

PAYLOADS = Path(__file__).parents[2] / "payloads"
JSON = [(b"content-type", b"application/json")]
KEY = "in/a b+ü.csv"
MD5 = "2848d811982973ffda34cf8c8599e3f6"


def payload(name: str) -> Any:
    return json.loads((PAYLOADS / f"{name}.json").read_text())


def take(body: Any) -> Received:
    return read(JSON, json.dumps(body).encode())


def told(name: str) -> list[Event]:
    received = take(payload(name))
    assert received.rejects == []
    return received.events


def changes(events: list[Event]) -> list[tuple[str, str]]:
    return [(event.type.removeprefix("com.amazonaws.s3."), str(event.subject)) for event in events]


# name: source, bucket, what happened to which key, size, ETag of the first
STORES = {
    "r2-put": ("cloudflare:r2..lake", [("ObjectCreated:Put", "in/a b+c%20ü.csv")], 65536, "c846ff7a18f28c2e262116d6e8719ef0"),
    "r2-copy": ("cloudflare:r2..lake", [("ObjectCreated:Copy", "copy.csv")], 65536, "c846ff7a18f28c2e262116d6e8719ef0"),
    "r2-delete": ("cloudflare:r2..lake", [("ObjectRemoved:Delete", "in/a b+c%20ü.csv")], 0, ""),
    "r2-lifecycle": ("cloudflare:r2..lake", [("LifecycleExpiration:Delete", "old.csv")], 0, ""),
    "seaweedfs-create": ("seaweedfs:filer..lake", [("ObjectCreated:Put", KEY)], 12, MD5),
    "seaweedfs-overwrite": ("seaweedfs:filer..lake", [("ObjectCreated:Put", KEY)], 12, "098f6bcd4621d373cade4e832627b4f6"),
    "seaweedfs-delete": ("seaweedfs:filer..lake", [("ObjectRemoved:Delete", KEY)], 0, ""),
    "seaweedfs-rename": (
        "seaweedfs:filer..lake",
        [("ObjectRemoved:Delete", KEY), ("ObjectCreated:Put", "out/b.csv")],
        0,
        "",
    ),
    "seaweedfs-meta-tail": ("seaweedfs:filer..lake", [("ObjectCreated:Put", KEY)], 12, MD5),
    "b2": (
        "backblaze:b2..lake",
        [
            ("ObjectCreated:Put", KEY),
            ("ObjectCreated:CompleteMultipartUpload", "big.csv"),
            ("ObjectRemoved:DeleteMarkerCreated", KEY),
            ("ObjectRemoved:Delete", KEY),
        ],
        12,
        "",
    ),
    "tigris": (
        "tigris:s3..lake",
        [("ObjectCreated:Put", KEY), ("ObjectRemoved:Delete", "in/b.csv")],
        12,
        "d41d8cd98f00b204e9800998ecf8427e",
    ),
    "google-pubsub-finalize": ("google:storage..lake", [("ObjectCreated:Put", KEY)], 12, MD5),
    "google-pubsub-delete": ("google:storage..lake", [("ObjectRemoved:Delete", KEY)], 0, ""),
    "azure-event-grid": (
        "azure:blob.account.lake",
        [("ObjectCreated:Put", KEY), ("ObjectRemoved:Delete", KEY)],
        524288,
        "",
    ),
    "oracle-create": (
        "oracle:objectstorage.tenant.lake",
        [("ObjectCreated:Put", KEY)],
        0,
        "199f8dbf-0b8c-41b6-9596-4d2a6792d7e5",
    ),
    "oracle-delete": ("oracle:objectstorage.tenant.lake", [("ObjectRemoved:Delete", KEY)], 0, ""),
    "ibm-write": ("ibm:cos..lake", [("ObjectCreated:Put", KEY)], 12, MD5),
    "ibm-delete": ("ibm:cos..lake", [("ObjectRemoved:Delete", KEY)], 0, ""),
    "ibm-system-marker": ("ibm:cos..lake", [("ObjectRemoved:DeleteMarkerCreated", KEY)], 0, ""),
}
NOTHING = ["seaweedfs-folder", "b2-test-event", "google-pubsub-metadata"]


@pytest.mark.parametrize("name", STORES)
def test_each_store(name):
    source, happened, size, etag = STORES[name]
    events = told(name)
    assert changes(events) == happened
    assert {event.source for event in events} == {source}
    assert len({event.id for event in events}) == len(events)
    record = events[0].read(S3Record)
    assert (record.s3.bucket.name, record.s3.object.key) == ("lake", events[0].subject)
    assert (record.s3.object.size, record.s3.object.eTag) == (size, etag)
    assert [event.extensions["partitionkey"] for event in events] == [f"lake/{key}" for _, key in happened]


@pytest.mark.parametrize("name", NOTHING)
def test_what_is_no_change_of_a_content_is_taken_and_left_alone(name):
    assert told(name) == []


@pytest.mark.parametrize("name", [*STORES, *NOTHING])
def test_as_an_array_and_in_a_queue_it_is_the_same(name):
    body = payload(name)
    assert take(body if isinstance(body, list) else [body]).events == told(name)
    assert take({"Messages": [{"MessageId": "1", "Body": json.dumps(body)}]}).events == told(name)


# Order


def later(name: str, *changed: Any) -> list[str]:
    """The sequences of these bodies, after that of the payload."""
    return [str(event.extensions["sequence"]) for body in (payload(name), *changed) for event in take(body).events]


def ordered(sequences: list[str]) -> bool:
    return sequences == sorted(set(sequences)) and len({len(each) for each in sequences}) == 1


def test_changes_in_r2_stand_in_the_order_of_their_times():
    assert ordered(later("r2-put", payload("r2-delete")))


def test_a_removal_in_seaweedfs_stands_behind_what_it_removes_and_before_what_is_newer():
    assert ordered(later("seaweedfs-create", payload("seaweedfs-delete"), payload("seaweedfs-overwrite")))


def test_a_removal_in_google_stands_behind_its_generation_and_before_the_next():
    following = payload("google-pubsub-finalize")
    following["message"]["attributes"]["objectGeneration"] = "1752619219999001"
    assert ordered(later("google-pubsub-finalize", payload("google-pubsub-delete"), following))


@pytest.mark.parametrize(
    ("first", "more"),
    [("azure-event-grid", []), ("oracle-create", ["oracle-delete"]), ("ibm-write", ["ibm-delete", "ibm-system-marker"])],
)
def test_the_others_stand_in_theirs(first, more):
    assert ordered(later(first, *map(payload, more)))


# One and the same change, whichever way it comes


def test_google_by_eventarc_is_the_same_as_by_pubsub():
    body = payload("google-pubsub-finalize")
    event = Event(
        id="1", source="//pubsub.googleapis.com/projects/p/topics/t", type="google.cloud.pubsub.topic.v1.messagePublished",
        datacontenttype="application/json", data=body,
    )  # fmt: skip
    assert read(*encode_structured(event)).events == told("google-pubsub-finalize")
    other = Event(id="1", source="/p", type=event.type, datacontenttype="application/json", data={"message": {"data": "aGk="}})
    assert read(*encode_structured(other)).events == [other], "a message of somebody else stays as it is"


@pytest.mark.parametrize("start", ["/blobServices", "blobServices"])
def test_azure_by_either_schema_is_the_same(start):
    one = payload("azure-event-grid")[0]
    event = Event(
        id=one["id"], source=one["topic"], type=one["eventType"], time=one["eventTime"], data=one["data"],
        subject=one["subject"].replace("/blobServices", start), datacontenttype="application/json",
    )  # fmt: skip
    assert read(*encode_structured(event)).events == told("azure-event-grid")[:1]


def test_ibm_by_code_engine_and_by_its_own_system_is_the_same():
    body = payload("ibm-write")
    event = Event(
        id=body["notification"]["request_id"], source="https://cloud.ibm.com/catalog/services/cloud-object-storage/lake",
        type="com.ibm.cloud.cos.document.write", subject=KEY, datacontenttype="application/json", data=body,
    )  # fmt: skip
    assert read(*encode_structured(event)).events == read(*encode_binary(event)).events == told("ibm-write")
    assert take(body["notification"]).events == told("ibm-write")


def test_the_keys_of_one_batch_delete_in_ibm_are_told_apart():
    one, other = payload("ibm-delete"), payload("ibm-delete")
    other["notification"]["object_name"] = other["key"] = "b.csv"
    assert take(one).events[0].id != take(other).events[0].id


# Files of SeaweedFS that are no objects


@pytest.mark.parametrize(
    "path", ["/etc/seaweedfs/filer.toml", "/buckets/file", "/buckets/lake/.uploads/5f3a/0001.part", "/topics/x"]
)
def test_other_files_of_a_filer_are_left_alone(path):
    body = payload("seaweedfs-create")
    body["key"], body["message"]["new_parent_path"] = path, path.rpartition("/")[0]
    body["message"]["new_entry"]["name"] = path.rpartition("/")[2]
    assert (take(body).events, take(body).rejects) == ([], [])


def test_a_small_file_without_chunks_has_the_time_of_its_last_change():
    body = payload("seaweedfs-create")
    del body["message"]["new_entry"]["chunks"]
    (event,) = take(body).events
    assert event.time == "2026-01-02T03:00:00.000000000Z"


# What is wrong with a body is said


def test_a_bad_one_among_several_is_told_and_the_others_are_read():
    for name, member in (("b2", "objectName"), ("tigris", "bucket")):
        body = payload(name)
        count = len(take(body).events)
        del body["events"][0][member]
        received = take(body)
        assert len(received.events) == count - 1
        (reject,) = received.rejects
        assert member in str(reject.error)
        assert "$.events[0]" in str(reject.error)


@pytest.mark.parametrize(
    ("name", "change", "where"),
    [
        ("r2-put", lambda body: body["object"].pop("key"), "$.object"),
        ("r2-put", lambda body: body.update(eventTime="yesterday"), "`$`"),
        ("seaweedfs-create", lambda body: body["message"]["new_entry"]["attributes"].update(md5="?"), "MD5"),
        ("seaweedfs-create", lambda body: body["message"]["new_entry"].update(chunks=7), "$.message"),
        ("google-pubsub-finalize", lambda body: body["message"].update(data="no base64"), "$.message.data"),
        ("google-pubsub-finalize", lambda body: body["message"]["attributes"].update(eventType="OBJECT_EATEN"), "OBJECT_EATEN"),
        ("tigris", lambda body: body["events"].pop(0) and body["events"][0].update(eventName="OBJECT_EATEN"), "OBJECT_EATEN"),
        ("oracle-create", lambda body: body["data"].pop("additionalDetails"), "$.data"),
        ("ibm-write", lambda body: body["notification"].update(object_length="long"), "$.notification.object_length"),
        ("ibm-write", lambda body: body["notification"].update(event_type="Object:Eat"), "Object:Eat"),
        ("volcengine-tos", lambda body: body["events"][0].update(eventName="tos:Eaten"), "tos:Eaten"),
    ],
)  # fmt: skip
def test_a_body_that_is_wrong_somewhere_is_a_reject_that_says_where(name, change, where):
    body = copy.deepcopy(payload(name))
    change(body)
    received = take(body)
    assert received.events == []
    (reject,) = received.rejects
    assert where in str(reject.error)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where something stands in a body."""
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, member in members:
        yield (*path, name)
        yield from places(member, (*path, name))


@pytest.mark.parametrize("name", sorted(file.stem for file in PAYLOADS.glob("*.json")))
@pytest.mark.parametrize("odd", [None, 7, -(10**30), 1.5, "", "?", "\x00", [], [None], {}, True], ids=repr)
def test_whatever_stands_anywhere_a_body_is_read_or_refused(name, odd):
    for *path, last in places(payload(name)):
        body = payload(name)
        inside = body
        for step in path:
            inside = inside[step]
        inside[last] = odd
        with contextlib.suppress(BadEvent):
            assert all(event.read(S3Record) for event in take(body).events)


@pytest.mark.parametrize("at", [10**40, -(10**40)])
def test_a_time_of_no_calendar(at):
    body = payload("b2")
    body["events"] = [{**body["events"][0], "eventTimestamp": at}]
    assert [take(body).events, len(take(body).rejects)] == [[], 1]


def test_a_subscription_of_event_grid_says_which_schema_to_choose():
    one = payload("azure-event-grid")[0]
    asked = {**one, "eventType": "Microsoft.EventGrid.SubscriptionValidationEvent", "data": {"validationCode": "1"}}
    received = take([asked])
    assert [str(reject.error) for reject in received.rejects if "Cloud Event Schema" in str(reject.error)]


@pytest.mark.parametrize(
    "body",
    [
        {"account": "a", "action": "Upload", "bucket": "lake", "object": {"key": "k"}},
        {"event_type": "create", "key": "/buckets/lake/k", "message": "hello"},
        {"events": [{"eventType": "other:ObjectCreated"}]},
        {"events": []},
        {"message": {"data": "aGVsbG8=", "messageId": "1"}, "subscription": "projects/p/subscriptions/s"},
        {"eventType": "com.oraclecloud.objectstorage.createbucket", "cloudEventsVersion": "0.1"},
    ],
)
def test_an_unknown_body_is_refused_with_what_was_expected(body):
    with pytest.raises(BadEvent, match=r"neither a CloudEvent nor a bucket notification.*Records"):
        take(body)


@pytest.mark.parametrize(
    ("name", "bucket", "time", "size"),
    [
        ("alibaba-oss", "raw", "2026-02-03T04:05:06.000Z", 5),
        ("tencent-cos", "raw-1253970026", "2026-02-03T04:05:06.000000000Z", 5),
        ("huawei-obs", "raw", "2026-02-03T04:05:06.418Z", 5),
        ("yandex-storage", "raw", "2026-02-03T04:05:06.424389236Z", 0),
        ("volcengine-tos", "raw", "2026-02-03T04:05:06Z", 5),
    ],
)
def test_the_clouds_of_the_east(name, bucket, time, size):
    (event,) = told(name)
    assert (event.type, event.subject, event.time) == ("com.amazonaws.s3.ObjectCreated:Put", KEY, time)
    record = event.read(S3Record)
    assert (record.s3.bucket.name, record.s3.object.key, record.s3.object.size) == (bucket, KEY, size)
    assert told(name)[0].key == event.key


@pytest.mark.parametrize(
    ("name", "change", "kind"),
    [
        ("alibaba-oss", lambda body: body["events"][0].update(eventName="ObjectRemoved:DeleteObject"), "ObjectRemoved:Delete"),
        ("tencent-cos", lambda body: body["Records"][0]["event"].update(eventName="cos:ObjectRemove:Delete"),
         "ObjectRemoved:Delete"),
        ("tencent-cos", lambda body: body["Records"][0]["event"].update(eventName="cos:ObjectRemove:DeleteMarkerCreated"),
         "ObjectRemoved:DeleteMarkerCreated"),
        ("huawei-obs", lambda body: body["Records"][0].update(eventName="ObjectRemoved:Delete"), "ObjectRemoved:Delete"),
        ("yandex-storage",
         lambda body: body["messages"][0]["event_metadata"].update(event_type="yandex.cloud.events.storage.ObjectDelete"),
         "ObjectRemoved:Delete"),
        ("volcengine-tos", lambda body: body["events"][0].update(eventName="tos:LifecycleExpiration:Delete"),
         "LifecycleExpiration:Delete"),
    ],
)  # fmt: skip
def test_their_removals(name, change, kind):
    body = payload(name)
    change(body)
    (event,) = take(body).events
    assert (event.type, event.read(S3Record).s3.object.size) == (f"com.amazonaws.s3.{kind}", 0)


def test_the_later_of_two_changes_is_told_by_their_sequences():
    earlier, later = payload("huawei-obs"), payload("huawei-obs")
    later["Records"][0]["obs"]["object"]["sequencer"] = "0000000001733A60DD6BC4E0"
    first, second = (str(take(body).events[0].extensions["sequence"]) for body in (earlier, later))
    assert first < second


@pytest.mark.parametrize("name", ["alibaba-oss", "tencent-cos", "huawei-obs", "yandex-storage", "volcengine-tos"])
def test_what_of_them_cannot_be_read_is_a_reject(name):
    body = payload(name)
    (records,) = body.values()
    broken = copy.deepcopy(records[0])
    broken[next(key for key in ("oss", "cos", "obs", "tos", "details") if key in broken)] = 7
    records.append(broken)
    received = take(body)
    assert (len(received.events), len(received.rejects), received.store) == (1, 1, True)


@pytest.mark.parametrize(
    "body",
    [
        {"EventName": "s3:BucketCreated:*", "Key": "raw", "Records": [
            {"eventSource": "minio:s3", "eventName": "s3:BucketCreated:*", "eventTime": "2026-02-03T04:05:06Z",
             "s3": {"bucket": {"name": "raw"}, "object": {"key": ""}}}]},
        {"source": "aws.s3", "detail-type": "AWS API Call via CloudTrail", "id": "1", "time": "2026-02-03T04:05:06Z",
         "detail": {"eventName": "PutBucketPolicy", "requestParameters": {"bucketName": "raw"}}},
        {"events": [{"eventSource": "acs:oss", "eventName": "ObjectCreated:UploadPart", "eventTime": "2026-02-03T04:05:06Z",
                     "oss": {"bucket": {"name": "raw"}, "object": {"key": "k"}}}]},
        {"events": [{"eventSource": "tos", "eventName": "tos:ObjectRestore:Completed", "eventTime": "2026-02-03T04:05:06Z",
                     "tos": {"bucket": {"name": "raw"}, "object": {"key": "k"}}}]},
    ],
    ids=["a bucket", "a call", "a part", "a restored object"],
)  # fmt: skip
def test_what_is_about_no_object_is_taken_and_left_alone(body):
    received = take(body)
    assert (received.events, received.rejects) == ([], [])
