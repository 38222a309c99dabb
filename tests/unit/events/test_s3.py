"""Bucket notifications of every store, from real bodies (RGW, moto) and from each maker's documentation (MinIO, AWS)."""

import copy
import json
from pathlib import Path

import pytest

from events.codec import decode, encode_binary, from_json, to_json
from events.s3 import events_from
from events.s3.stores import nanoseconds
from events.types import S3Record

PAYLOADS = Path(__file__).parents[2] / "payloads"
#: Taken, and nothing to do.
NOTHING = (
    "aws-test-event", "aws-sns-confirmation", "b2-test-event", "google-pubsub-metadata", "seaweedfs-folder",
)  # fmt: skip


def payload(name):
    found = json.loads((PAYLOADS / f"{name}.json").read_text())
    if name == "moto-http":
        return json.loads(found[0]["body"])
    return found["body"] if isinstance(found, dict) and "headers" in found else found


def take(body):
    found = events_from(body)
    assert found is not None
    return found


def events(name):
    received = take(json.dumps(payload(name)).encode())
    assert received.rejects == []
    return received.events


def one(name):
    (event,) = events(name)
    return event


# name: bucket, key, event name, size, version, source
STORES = {
    "rgw-put": ("nb62253", "data/in.csv", "ObjectCreated:Put", 4, "", "ceph:s3..nb62253"),
    "rgw-key0": ("nb62253", "with space.txt", "ObjectCreated:Put", 1, "", "ceph:s3..nb62253"),
    "rgw-key1": ("nb62253", "plus+plus", "ObjectCreated:Put", 1, "", "ceph:s3..nb62253"),
    "rgw-key2": ("nb62253", "100%.txt", "ObjectCreated:Put", 1, "", "ceph:s3..nb62253"),
    "rgw-key3": ("nb62253", "pct%20lit", "ObjectCreated:Put", 1, "", "ceph:s3..nb62253"),
    "rgw-key4": ("nb62253", "ünï/日本.txt", "ObjectCreated:Put", 1, "", "ceph:s3..nb62253"),
    "rgw-multipart-complete": ("nb62253", "mp.bin", "ObjectCreated:CompleteMultipartUpload", 10485760, "", "ceph:s3..nb62253"),
    "rgw-post-form": ("nb62253", "post/n.txt", "ObjectCreated:Post", 6, "", "ceph:s3..nb62253"),
    "rgw-delete-missing": ("nb62253", "nope", "ObjectRemoved:Delete", 0, "", "ceph:s3..nb62253"),
    "rgw-delete-marker": ("nv62253", "k", "ObjectRemoved:DeleteMarkerCreated", 2, "", "ceph:s3..nv62253"),
    "rgw-versioned-put": ("nv62253", "k", "ObjectCreated:Put", 1, "slst.CeOX82mZXPwzRgm8jEz0gnZksG", "ceph:s3..nv62253"),
    "minio-webhook": ("bucket", "a b/ü+%.txt", "ObjectCreated:Put", 5, "", "minio:s3..bucket"),
    "minio-webhook-delete": ("bucket", "a b/c", "ObjectRemoved:Delete", 0, "", "minio:s3.us-east-1.bucket"),
    "minio-listen": ("bucket", "a b/ü+%20.txt", "ObjectCreated:PutTagging", 5, "9c414f7d", "minio:s3.us-east-1.bucket"),
    "aws-records": (
        "amzn-s3-demo-bucket",
        "red flower+x/ü.jpg",
        "ObjectCreated:Put",
        1024,
        "096fKKXTRTtl3on89fVO.nfljtsv6qko",
        "aws:s3.us-west-2.amzn-s3-demo-bucket",
    ),
    "moto-sqs": ("mmm", "a b/ü+%.txt", "ObjectCreated:Put", 2, "", "aws:s3.us-east-1.mmm"),
    "moto-sns-sqs": ("mmm", "a b/ü+%.txt", "ObjectCreated:Put", 2, "", "aws:s3.us-east-1.mmm"),
    "door": ("bucket", "a b+c%20/ü/日本.txt", "ObjectCreated:Put", 3, "", "sluice:s3.us-east-1.bucket"),
}


@pytest.mark.parametrize("name", STORES)
def test_each_store(name):
    bucket, key, event_name, size, version, source = STORES[name]
    event = one(name)
    assert (event.type, event.source, event.subject) == (f"com.amazonaws.s3.{event_name}", source, key)
    assert event.extensions["partitionkey"] == f"{bucket}/{key}"
    assert event.datacontenttype == "application/json"
    record = event.read(S3Record)
    assert record.eventName == event_name
    assert event.time == record.eventTime
    assert (record.s3.bucket.name, record.s3.object.key) == (bucket, key)
    assert (record.s3.object.size, record.s3.object.versionId) == (size, version)


@pytest.mark.parametrize("file", sorted(PAYLOADS.glob("*.json")), ids=lambda file: file.stem)
def test_every_payload_gives_legal_events_that_travel(file):
    body = payload(file.stem)
    received = take(json.dumps(body))
    assert received.rejects == []
    assert received.events or file.stem in NOTHING
    for event in received.events:
        assert from_json(to_json(event)) == event
        assert decode(*encode_binary(event)) == [event]
        assert event.read(S3Record).s3.object.key


@pytest.mark.parametrize("file", sorted(PAYLOADS.glob("*.json")), ids=lambda file: file.stem)
def test_redelivery_gives_the_same_events(file):
    body = payload(file.stem)
    assert take(json.dumps(body)) == take(json.dumps(copy.deepcopy(body), indent=2).encode())


def test_the_adapters_id_is_made_unique_for_a_batch_delete():
    record = payload("rgw-batch-delete-0")["Records"][0]
    other = copy.deepcopy(record)
    other["s3"]["object"]["key"] = "n"
    first, second = take({"Records": [record, other]}).events
    adapters = "93dd7766-ab03-4c07-80cb-b8023c1ede0c.4113.2009700814442746835.1011-default-default."
    assert first.id.startswith(adapters)
    assert second.id.startswith(adapters)
    assert first.id != second.id


def test_records_without_a_request_id_differ_by_their_time():
    body = payload("moto-sqs")[0]
    later = copy.deepcopy(body)
    later["Records"][0]["eventTime"] = "2026-11-22T16:26:17.405Z"
    assert take(body).events[0].id != take(later).events[0].id


def test_ceph_keeps_user_metadata_only():
    assert one("rgw-put").data["s3"]["object"]["metadata"] == [{"key": "x-amz-meta-color", "val": "blue"}]
    assert one("rgw-put-empty").data["s3"]["object"]["metadata"] == []
    kept = one("rgw-metadata-special").data["s3"]["object"]["metadata"]
    assert {pair["key"] for pair in kept} == {"x-amz-meta-pct", "x-amz-meta-q"}


# Order


def sequences(name, *changes):
    body = payload(name)
    found = []
    for time, sequencer in changes:
        record = copy.deepcopy(body["Records"][0])
        record["eventTime"] = time
        record["s3"]["object"]["sequencer"] = sequencer
        found.append(take({**body, "Records": [record]}).events[0].extensions["sequence"])
    return found


def test_ceph_orders_by_time_then_by_the_decoded_sequencer():
    found = sequences(
        "rgw-put",
        ("2026-11-22T15:44:13.625493Z", "FF0D036B00000000"),
        ("2026-11-22T15:44:13.7Z", "CD0D036BFF000000"),
        ("2026-11-22T15:44:13.700Z", "CD0D036B00010000"),
        ("2026-11-22T15:44:13.700000Z", "CE0D036B00000000"),
        ("2026-11-22T15:44:14Z", ""),
    )
    assert found == sorted(found)
    assert len(set(found)) == len(found)
    assert {len(each) for each in found} == {32}


@pytest.mark.parametrize("name", ["minio-webhook", "minio-listen", "door"])
def test_minio_and_the_door_order_by_a_number(name):
    time = "2026-11-22T15:44:13Z"
    found = sequences(name, (time, "FF"), (time, "8EA7F2B3C4D5E6F"), (time, "18ea7f2b3c4d5e6f"), (time, "18EA7F2B3C4D5E70"))
    assert found == sorted(found)
    assert found[0] == "00000000000000FF"


def test_minio_without_a_sequencer_falls_back_to_the_time_in_the_same_unit():
    assert sequences("minio-webhook", ("2026-11-22T16:00:00.000000001Z", "")) == [nanoseconds("2026-11-22T16:00:00.000000001Z")]


def test_aws_pads_on_the_right():
    time = "2026-11-22T15:44:13Z"
    found = sequences("aws-records", (time, "0055AED6DCD90281E5"), (time, "0055aed6dcd90281e501"), (time, "0055AED6DCD90281E6"))
    assert found == sorted(found)
    assert found[0] == "0055AED6DCD90281E5".ljust(32, "0")


def test_times_are_ordered_whatever_their_form():
    forms = ["1969-01-01T00:00:00Z", "2026-11-22T15:44:13Z", "2026-11-22T15:44:13.000000001Z", "2026-11-22T16:44:13.5+01:00"]
    found = [nanoseconds(form) for form in forms]
    assert found == sorted(found)
    assert nanoseconds("2026-11-22T16:44:13.500+01:00") == nanoseconds("2026-11-22T15:44:13.5Z")
    assert nanoseconds("1970-01-01T00:00:01Z") == f"{10**9:016X}"


# Stores that are almost like S3


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("s3:ObjectCreated:Put", "ObjectCreated:Put"),
        ("objectcreated:put", "ObjectCreated:Put"),
        ("S3:OBJECTREMOVED:DELETEMARKERCREATED", "ObjectRemoved:DeleteMarkerCreated"),
        ("ObjectCreated:PutTagging", "ObjectCreated:PutTagging"),
        ("s3:Own:Thing", "Own:Thing"),
    ],
)
def test_capitals_of_event_names(name, read):
    record = {**payload("aws-records")["Records"][0], "eventName": name}
    (event,) = take({"Records": [record]}).events
    assert (event.type, event.data["eventName"]) == (f"com.amazonaws.s3.{read}", read)


@pytest.mark.parametrize(
    ("wrong", "etag", "size"),
    [
        ({"etag": '"e"', "eTag": None}, "e", 1024),
        ({"etag": "no", "eTag": "e"}, "e", 1024),
        ({"eTag": None}, "", 1024),
        ({"size": "7"}, "d41d8cd98f00b204e9800998ecf8427e", 7),
        ({"size": None, "sequencer": None, "versionId": None}, "d41d8cd98f00b204e9800998ecf8427e", 0),
    ],
)
def test_members_that_are_missing_null_or_of_another_type(wrong, etag, size):
    record = copy.deepcopy(payload("aws-records")["Records"][0])
    record["s3"]["object"] |= wrong
    for body in ({"Records": [record]}, [record], record):
        (event,) = take(body).events
        read = event.read(S3Record).s3.object
        assert (read.eTag, read.size) == (etag, size)


# AWS's envelopes


@pytest.mark.parametrize(
    ("name", "count"), [("aws-lambda-sqs", 3), ("aws-sqs-receive", 3), ("aws-lambda-sns", 1), ("aws-sns", 1)]
)
def test_envelopes_hold_what_was_sent(name, count):
    found = events(name)
    assert len(found) == count
    assert found[0] == one("aws-records") == found[-1]


def test_eventbridge_gives_the_same_records_as_elsewhere():
    found = events("aws-eventbridge")
    assert [event.type.removeprefix("com.amazonaws.s3.") for event in found] == [
        "ObjectCreated:Put",
        "ObjectCreated:CompleteMultipartUpload",
        "ObjectRemoved:DeleteMarkerCreated",
        "LifecycleExpiration:Delete",
        "ObjectRestore:Completed",
        "ObjectTagging:Put",
    ]
    first = found[0]
    assert first.id.startswith("17793124-05d4-b198-2fde-7ededc63b103.")
    assert first.source == "aws:s3.ca-central-1.amzn-s3-demo-bucket1"
    thing = first.read(S3Record).s3.object
    assert (thing.key, thing.eTag) == ("example+key/100%.txt", "b1946ac92492d2347c6235b4d2611184")
    assert thing.versionId == "IYV3p45BT0ac8hjHg1houSdS1a.Mro8e"
    assert first.extensions["sequence"] == "617F08299329D189".ljust(32, "0")
    assert len({event.id for event in found}) == len(found)


def test_motos_eventbridge():
    created, tagged = events("moto-eventbridge-sqs")
    assert (created.type, tagged.type) == ("com.amazonaws.s3.ObjectCreated:Put", "com.amazonaws.s3.ObjectTagging:Put")
    assert created.read(S3Record).s3.object.eTag == "49f68a5c8493ec2c0bf489821c21fc3b"


def test_a_test_event_is_taken_in_any_envelope():
    test = payload("aws-test-event")
    sqs = {"Messages": [{"MessageId": "1", "Body": json.dumps(test)}]}
    sns = {**payload("aws-sns"), "Message": json.dumps(test)}
    bodies: list[object] = [test, sqs, sns, {"Messages": []}]
    for body in bodies:
        received = take(json.dumps(body))
        assert (received.events, received.rejects) == ([], [])


def test_a_subscription_confirmation_is_told_apart():
    received = take(json.dumps(payload("aws-sns-confirmation")))
    assert received.events == []
    assert received.confirmation.topic == "arn:aws:sns:us-west-2:123456789012:MyTopic"
    assert received.confirmation.url.startswith("https://sns.us-west-2.amazonaws.com/?Action=ConfirmSubscription")
    assert received.confirmation.token == "2336412f37fb687f5d51e6e2425f004bc5fd2d7c"


@pytest.mark.parametrize("body", [{"Records": []}, {"Records": None}])
def test_a_keep_alive_of_the_listen_stream(body):
    assert take(body).events == []


def test_one_record_and_an_array_of_bodies():
    body = payload("aws-records")
    assert take(body["Records"][0]).events == [one("aws-records")]
    received = take([body, body["Records"][0], {"hello": 1}, payload("aws-test-event")])
    assert received.events == [one("aws-records")] * 2
    assert [str(reject.error) for reject in received.rejects] == ["no S3 notification - at `$[2]`"]
