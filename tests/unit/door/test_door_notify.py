import re
import threading

import msgspec
import pytest

from events.types import S3Record
from infra.objects.door import Door

LAKE = "arn:sluice:sns:::lake"


@pytest.fixture
def clean(served):
    def empty():
        while found := served.door.pending(1000):
            served.door.delivered(sequence for sequence, _, _ in found)

    empty()
    yield served.door
    empty()


def records(door):
    return [(target, record) for _, target, record in door.pending(1000)]


def test_default_configuration(s3, bucket):
    found = s3.get_bucket_notification_configuration(Bucket=bucket)["TopicConfigurations"]
    assert found == [{"Id": "lake", "TopicArn": LAKE, "Events": ["s3:ObjectCreated:*", "s3:ObjectRemoved:*"]}]


def test_a_silent_door(serve, tmp_path):
    with serve(Door(tmp_path, {"AKTEST": "secret/of+the=test"}, notify=False)) as endpoint:
        client = endpoint.client()
        client.create_bucket(Bucket="quiet")
        client.put_object(Bucket="quiet", Key="k", Body=b"")
        assert "TopicConfigurations" not in client.get_bucket_notification_configuration(Bucket="quiet")
        assert endpoint.door.pending() == []
        endpoint.door.close()


def test_every_change_has_its_record(s3, bucket, clean):
    key = "a b+c%20/ü/日本.txt"
    etag = s3.put_object(Bucket=bucket, Key=key, Body=b"four")["ETag"].strip('"')
    s3.copy_object(Bucket=bucket, Key="copy", CopySource={"Bucket": bucket, "Key": key})
    upload = s3.create_multipart_upload(Bucket=bucket, Key="multi")["UploadId"]
    part = s3.upload_part(Bucket=bucket, Key="multi", UploadId=upload, PartNumber=1, Body=b"x")["ETag"]
    done = {"Parts": [{"PartNumber": 1, "ETag": part}]}
    s3.complete_multipart_upload(Bucket=bucket, Key="multi", UploadId=upload, MultipartUpload=done)
    s3.complete_multipart_upload(Bucket=bucket, Key="multi", UploadId=upload, MultipartUpload=done)
    s3.delete_object(Bucket=bucket, Key=key)
    s3.delete_object(Bucket=bucket, Key=key)
    s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "copy"}, {"Key": "never"}, {"Key": "multi"}]})
    found = records(clean)
    assert {target for target, _ in found} == {"lake"}
    changes = [(record["eventName"], record["s3"]["object"]["key"]) for _, record in found]
    assert changes == [
        ("ObjectCreated:Put", key),
        ("ObjectCreated:Copy", "copy"),
        ("ObjectCreated:CompleteMultipartUpload", "multi"),
        ("ObjectRemoved:Delete", key),
        ("ObjectRemoved:Delete", "copy"),
        ("ObjectRemoved:Delete", "multi"),
    ]
    record = found[0][1]
    assert record["eventVersion"] == "2.1"
    assert record["eventSource"] == "sluice:s3"
    assert record["awsRegion"] == "us-east-1"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", record["eventTime"])
    assert record["requestParameters"] == {"sourceIPAddress": "127.0.0.1"}
    assert record["userIdentity"] == {"principalId": "AKTEST"}
    assert set(record["responseElements"]) == {"x-amz-request-id", "x-amz-id-2"}
    assert record["s3"]["configurationId"] == "lake"
    assert record["s3"]["bucket"]["name"] == bucket
    assert record["s3"]["object"] | {"sequencer": ""} == {"key": key, "size": 4, "eTag": etag, "sequencer": ""}
    sequencers = [record["s3"]["object"]["sequencer"] for _, record in found]
    assert all(re.fullmatch("[0-9A-F]{16}", one) for one in sequencers)
    assert sequencers == sorted(set(sequencers))


def test_failed_requests_tell_nobody(s3, bucket, clean, refused):
    s3.put_object(Bucket=bucket, Key="k", Body=b"")
    refused(s3.put_object, Bucket=bucket, Key="k", Body=b"", IfNoneMatch="*")
    refused(s3.put_object, Bucket=bucket, Key="k", Body=b"", ContentMD5="AAAAAAAAAAAAAAAAAAAAAA==")
    assert len(records(clean)) == 1


def test_sequencer_orders_racing_writers(s3, bucket, clean):
    threads = [
        threading.Thread(target=lambda number=number: s3.put_object(Bucket=bucket, Key="k", Body=f"{number}".encode()))
        for number in range(16)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = [record["s3"]["object"] for _, record in records(clean)]
    assert len(found) == 16
    assert max(found, key=lambda one: one["sequencer"])["eTag"] == s3.head_object(Bucket=bucket, Key="k")["ETag"].strip('"')


def test_filters_and_targets(s3, bucket, clean):
    rules = [("prefix", "in/"), ("suffix", ".csv")]
    configuration = {
        "TopicConfigurations": [
            {
                "Id": "one",
                "TopicArn": "arn:sluice:sns:::hook",
                "Events": ["s3:ObjectCreated:Put"],
                "Filter": {"Key": {"FilterRules": [{"Name": name, "Value": value} for name, value in rules]}},
            }
        ],
        "QueueConfigurations": [{"Id": "two", "QueueArn": "arn:sluice:sqs:::lake", "Events": ["s3:ObjectRemoved:*"]}],
    }
    s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration=configuration)
    got = s3.get_bucket_notification_configuration(Bucket=bucket)
    assert got["QueueConfigurations"] == configuration["QueueConfigurations"]
    assert got["TopicConfigurations"] == configuration["TopicConfigurations"]
    for key in ("in/a.csv", "in/a.CSV", "out/a.csv", "in/.csv"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"")
    s3.delete_object(Bucket=bucket, Key="out/a.csv")
    found = [(target, record["s3"]["configurationId"], record["s3"]["object"]["key"]) for target, record in records(clean)]
    assert found == [("hook", "one", "in/a.csv"), ("hook", "one", "in/.csv"), ("lake", "two", "out/a.csv")]
    assert [target for _, target, _ in clean.pending(10, target="lake")] == ["lake"]
    s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration={})
    s3.put_object(Bucket=bucket, Key="in/b.csv", Body=b"")
    assert len(records(clean)) == 3


@pytest.mark.parametrize(
    ("arn", "event", "rule"),
    [
        ("arn:sluice:sns:::nobody", "s3:ObjectCreated:*", "prefix"),
        ("arn:sluice:sqs:::lake", "s3:ObjectCreated:*", "prefix"),
        (LAKE, "s3:ObjectRestore:Completed", "prefix"),
        (LAKE, "s3:ObjectCreated:*", "regex"),
    ],
)
def test_bad_configurations(s3, bucket, refused, arn, event, rule):
    topic = {"TopicArn": arn, "Events": [event], "Filter": {"Key": {"FilterRules": [{"Name": rule, "Value": "x"}]}}}
    code = refused(
        s3.put_bucket_notification_configuration,
        Bucket=bucket,
        NotificationConfiguration={"TopicConfigurations": [topic]},
    )
    assert code == "InvalidArgument"
    assert s3.get_bucket_notification_configuration(Bucket=bucket)["TopicConfigurations"][0]["Id"] == "lake"


def test_wait(s3, bucket, clean):
    assert clean.wait(0.01) is False
    woken = []
    waiter = threading.Thread(target=lambda: woken.append(clean.wait(30)))
    waiter.start()
    s3.put_object(Bucket=bucket, Key="k", Body=b"")
    waiter.join()
    assert woken == [True]
    assert clean.wait(0) is True


def test_close_wakes_who_waits_and_frees_the_folder(tmp_path):
    door = Door(tmp_path, {"a": "b"})
    with pytest.raises(RuntimeError, match="open in another process"):
        Door(tmp_path, {"a": "b"})
    woken = []
    waiter = threading.Thread(target=lambda: woken.append(door.wait(30)))
    waiter.start()
    door.close()
    door.close()
    waiter.join()
    assert woken == [False]
    Door(tmp_path, {"a": "b"}).close()


def test_records_are_what_the_events_layer_reads(s3, bucket, clean):
    s3.put_object(Bucket=bucket, Key="k", Body=b"1")
    record = msgspec.convert(records(clean)[0][1], S3Record)
    assert (record.eventName, record.s3.object.key, record.s3.object.size) == ("ObjectCreated:Put", "k", 1)


def test_close_while_others_read(tmp_path):
    """A connection closed under a reader used to end the process."""
    for turn in range(20):
        door = Door(tmp_path / str(turn), {"a": "b"})
        done = threading.Event()

        def reads(door=door, done=done):
            while not done.is_set():
                door.wait(0)
                door.pending(1)
                door.backlog()

        readers = [threading.Thread(target=reads) for _ in range(4)]
        for reader in readers:
            reader.start()
        door.close()
        done.set()
        for reader in readers:
            reader.join()
