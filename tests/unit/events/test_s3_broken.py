"""Notifications with something wrong or odd in them: told, and the neighbours go on."""

import copy
import json

import pytest

from events.attributes import check
from events.codec import from_json, to_json
from events.errors import BadEvent
from events.s3 import events_from
from events.s3.stores import nanoseconds
from events.types import S3Record
from tests.unit.events.test_s3 import one, payload, take


def broken(change):
    body = copy.deepcopy(payload("aws-records"))
    record = body["Records"][0]
    change(record)
    return record


def at(*path, value=None, remove=False):
    def change(record):
        for part in path[:-1]:
            record = record[part]
        if remove:
            del record[path[-1]]
        else:
            record[path[-1]] = value

    return change


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (at("s3", remove=True), "`s3` - at `$.Records[1]`"),
        (at("s3", "object", "key", remove=True), "`key` - at `$.Records[1].s3.object`"),
        (at("s3", "object", "key", value=5), "at `$.Records[1].s3.object.key`"),
        (at("s3", "object", "key", value=""), "must not be empty - at `$.Records[1]`"),
        (at("s3", "object", "key", value="%FF"), "not form-encoded UTF-8"),
        (at("s3", "object", "size", value="big"), "at `$.Records[1].s3.object.size`"),
        (at("s3", "object", "versionId", value=[]), "at `$.Records[1].s3.object.versionId`"),
        (at("s3", "bucket", "name", value=""), "must not be empty"),
        (at("s3", "bucket", value="name"), "at `$.Records[1].s3.bucket`"),
        (at("eventName", value=""), "must not be empty"),
        (at("eventName", value="Object\nCreated"), "'type'"),
        (at("eventTime", value="yesterday"), "'eventTime'"),
        (at("eventTime", remove=True), "`eventTime` - at `$.Records[1]`"),
        (at("eventSource", remove=True), "`eventSource` - at `$.Records[1]`"),
    ],
)
def test_a_bad_record_does_not_spoil_its_neighbours(change, reason):
    good = payload("aws-records")["Records"][0]
    bad = broken(change)
    received = take({"Records": [good, bad, good]})
    assert received.events == [one("aws-records")] * 2
    (reject,) = received.rejects
    assert json.loads(reject.body) == bad
    assert isinstance(reject.error, BadEvent)
    assert reason in str(reject.error)


@pytest.mark.parametrize("record", [None, 5, "x", [], {}])
def test_records_that_are_none(record):
    received = take({"Records": [record]})
    assert received.events == []
    assert "at `$.Records[0]`" in str(received.rejects[0].error)


def test_a_bad_message_does_not_spoil_its_neighbours():
    body = copy.deepcopy(payload("aws-sqs-receive"))
    body["Messages"][1:1] = [{"MessageId": "x", "Body": "{"}, {"MessageId": "y", "Body": '{"a":1}'}, {"MessageId": "z"}, 5]
    received = take(body)
    assert len(received.events) == 3
    assert len(received.rejects) == 4
    assert "$.Messages[1].Body" in str(received.rejects[0].error)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"{", "JSON"),
        (b"", "JSON"),
        ({"Records": 5}, r"`\$\.Records`"),
        ({"Type": "Other", "TopicArn": "a"}, "SNS message of the type 'Other'"),
        ({"Type": "SubscriptionConfirmation", "TopicArn": "a"}, "SNS message"),
    ],
)
def test_malformed_envelopes(body, reason):
    with pytest.raises(BadEvent, match=reason):
        take(body)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"detail": {}}, "`bucket` - at `$.detail`"),
        ({"detail-type": "Object Pondered"}, "no change of an object"),
        ({"time": "noon"}, "'eventTime'"),
        ({"id": None}, "at `$.id`"),
    ],
)
def test_malformed_eventbridge(change, reason):
    received = take({**payload("aws-eventbridge")[0], **change})
    assert received.events == []
    assert reason in str(received.rejects[0].error)


@pytest.mark.parametrize("body", [{}, [], 5, None, "text", {"hello": 1}, [1, 2], {"detail-type": "x", "source": "other"}])
def test_what_is_no_notification(body):
    assert events_from(json.dumps(body)) is None


def test_a_bad_message_in_lambda_does_not_spoil_its_neighbours():
    body = copy.deepcopy(payload("aws-lambda-sns"))
    body["Records"] += [{"EventSource": "aws:sns", "Sns": {"Type": "Other"}}, {"messageId": "1", "body": "[1]"}]
    received = take(body)
    assert received.events == [one("aws-records")]
    assert len(received.rejects) == 2


def test_envelopes_within_envelopes_end():
    body = json.dumps(payload("aws-records"))
    for _ in range(8):
        body = json.dumps({"MessageId": "1", "Body": body})
    received = take(body)
    assert received.events == []
    assert "too many envelopes" in str(received.rejects[0].error)


def test_keys_that_no_attribute_may_hold():
    record = copy.deepcopy(payload("rgw-put")["Records"][0])
    record["s3"]["object"]["key"] = "a\nb\x7f"
    (event,) = take({"Records": [record]}).events
    assert event.subject == "a%0Ab%7F"
    assert event.read(S3Record).s3.object.key == "a\nb\x7f"
    assert from_json(to_json(event)) == event
    check("partitionkey", event.extensions["partitionkey"])


def test_odd_bucket_names_stay_in_a_legal_source():
    record = copy.deepcopy(payload("rgw-put")["Records"][0])
    record["s3"]["bucket"]["name"] = "tenant:my bucket#1"
    (event,) = take({"Records": [record]}).events
    assert event.source == "ceph:s3..tenant:my%20bucket%231"


def test_other_makers_are_read_as_aws_writes():
    record = copy.deepcopy(payload("aws-records")["Records"][0])
    record["eventSource"] = "garage:s3"
    (event,) = take({"Records": [record]}).events
    assert event.subject == "red flower+x/ü.jpg"
    assert event.source == "garage:s3.us-west-2.amzn-s3-demo-bucket"


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("2019-11-22 13:47:35.124724Z", "2019-11-22T13:47:35.124724Z"),
        ("2019-11-22T14:47:35.124724+0100", "2019-11-22T14:47:35.124724+01:00"),
        ("2019-11-22T13:47:35.124724Z", "2019-11-22T13:47:35.124724Z"),
    ],
)
def test_times_of_older_ceph_are_read(written, told):
    body = copy.deepcopy(payload("rgw-put"))
    body["Records"][0]["eventTime"] = written
    (event,) = take(json.dumps(body).encode()).events
    assert event.time == event.read(S3Record).eventTime == told
    assert event.extensions["sequence"].startswith(nanoseconds("2019-11-22T13:47:35.124724Z"))
