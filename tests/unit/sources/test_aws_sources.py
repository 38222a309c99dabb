"""AWS by moto's server: S3 tells SQS directly, through SNS and by EventBridge; the queue is polled and emptied."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import boto3
import httpx
import pytest
from moto.server import ThreadedMotoServer

from events.errors import Reject, Retry
from events.received import Confirmation
from infra.config import Queue, Sources
from infra.objects.s3 import S3Store
from infra.sources import push
from infra.sources.dialect import AWS, dialect_of
from infra.sources.notifications import Wish, disable, enable, status
from infra.sources.sns import Topics
from infra.sources.sqs import Poller, read
from tests.conftest import eventually, serving

KEYS = {"aws_access_key_id": "k", "aws_secret_access_key": "s", "region_name": "us-east-1"}
CSV = b"a,b\n1,2\n"
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture(scope="module")
def moto():
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def aws(moto):
    """A fresh account: its store, and clients of its other services."""
    httpx.post(f"{moto}/moto-api/reset").raise_for_status()
    store = S3Store(moto, "k", "s")
    store.ensure("raw")
    make: Any = boto3.client
    clients = {name: make(name, endpoint_url=moto, **KEYS) for name in ("sqs", "sns")}
    yield store, clients["sqs"], clients["sns"]
    store.close()
    for client in clients.values():
        client.close()


@pytest.fixture
def queue(aws):
    _, sqs, _ = aws
    url = sqs.create_queue(QueueName="q")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    return url, arn


@pytest.fixture
def poller(moto, queue, lake):
    made = Poller(Queue(url=queue[0], endpoint=moto, access_key="k", secret_key="s", wait_s=0), lake)
    yield made
    made.stop()


def left(aws, url: str) -> tuple[int, int]:
    """How many messages are visible, and in flight."""
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    found = aws[1].get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
    return int(found[names[0]]), int(found[names[1]])


def subjects(lake) -> list[str]:
    return [event.subject for _, _, event in lake.log.tail(0, 100, "com.amazonaws.s3.*")]


def test_a_bucket_tells_a_queue_that_is_polled(aws, queue, poller, lake):
    store = aws[0]
    assert dialect_of(store, "raw") is AWS
    wish = Wish(bucket="raw", push="http://127.0.0.1:9/events/t", prefix="in/", topic=queue[1])
    enable(store, AWS, wish)
    enable(store, AWS, wish)
    assert len(status(store, AWS, "raw")["configurations"]["QueueConfigurations"]) == 1
    store.write("raw", "in/ü +%.csv", CSV)
    store.write("raw", "out.csv", CSV)
    eventually(lambda: poller.step() == 0)  # the test event is taken too
    assert subjects(lake) == ["in/ü +%.csv"]
    assert left(aws, queue[0]) == (0, 0)
    assert len(disable(store, AWS, "raw")) == 1
    assert disable(store, AWS, "raw") == []


def test_a_queue_or_topic_must_be_named(aws):
    with pytest.raises(Reject, match="needs --topic"):
        enable(aws[0], AWS, Wish(bucket="raw", push="http://127.0.0.1:9/events/secret"))


def test_through_a_topic_and_as_a_cloudevent(aws, queue, poller, lake):
    store, sqs, sns = aws
    topic = sns.create_topic(Name="t")["TopicArn"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue[1])
    enable(store, AWS, Wish(bucket="raw", push="", topic=topic))
    store.write("raw", "a.csv", CSV)
    event = {"specversion": "1.0", "id": "1", "source": "/me", "type": "com.example.hello", "data": {"x": 1}}
    sqs.send_message(QueueUrl=queue[0], MessageBody=json.dumps(event))
    eventually(lambda: poller.step() == 0)
    assert subjects(lake) == ["a.csv"]
    assert [event.data for _, _, event in lake.log.tail(0, 100, "com.example.*")] == [{"x": 1}]


def test_attributes_of_a_message_are_its_trace_and_those_of_an_event_in_binary_mode(aws, queue, poller, lake):
    def text(value: str) -> dict[str, str]:
        return {"DataType": "String", "StringValue": value}

    trace = {"traceparent": text(TRACE), "AWSTraceHeader-like": text("Root=1-5759e988-bd862e3fe1be46a994272793")}
    event = {"specversion": "1.0", "id": "1", "source": "/me", "type": "com.example.hello"}
    aws[1].send_message(QueueUrl=queue[0], MessageBody=json.dumps(event), MessageAttributes=trace)
    binary = {f"ce-{name}": text(value) for name, value in {**event, "id": "2"}.items()}
    aws[1].send_message(QueueUrl=queue[0], MessageBody="hi", MessageAttributes={**binary, "content-type": text("text/plain")})
    eventually(lambda: poller.step() == 0)
    found = {event.id: event for _, _, event in lake.log.tail(0, 100, "com.example.*")}
    assert (found["1"].extensions.get("traceparent"), found["2"].data) == (TRACE, "hi")
    assert "traceparent" not in found["2"].extensions


def test_a_large_payload_goes_into_the_lake(aws, queue, poller, lake):
    event = {"specversion": "1.0", "id": "1", "source": "/s", "type": "large", "data": "x" * 70_000}
    aws[1].send_message(QueueUrl=queue[0], MessageBody=json.dumps(event))
    poller.step()
    ((_, _, found),) = lake.log.tail(0, 10, "large")
    assert found.data is None
    assert lake.claims.redeem(found).data == "x" * 70_000


def test_bad_messages_are_dead_letters_and_do_not_hold_up_good_ones(aws, queue, poller, lake):
    store, sqs, _ = aws
    enable(store, AWS, Wish(bucket="raw", push="", topic=queue[1]))
    sqs.send_message(QueueUrl=queue[0], MessageBody="no JSON at all")
    store.write("raw", "good.csv", CSV)
    sqs.send_message(QueueUrl=queue[0], MessageBody='{"neither": "nor"}')
    eventually(lambda: poller.step() == 0)
    assert subjects(lake) == ["good.csv"]
    assert lake.status()["log"]["dead"] == 2
    assert left(aws, queue[0]) == (0, 0)


def test_what_cannot_be_stored_stays_in_the_queue_and_comes_again(aws, queue, poller, lake, monkeypatch):
    store = aws[0]
    enable(store, AWS, Wish(bucket="raw", push="", topic=queue[1]))
    store.write("raw", "a.csv", CSV)
    monkeypatch.setattr("infra.sources.sqs.AGAIN", 0)

    def full(_events):
        raise Retry("the log is full")

    with monkeypatch.context() as broken:
        broken.setattr(lake, "append", full)
        with pytest.raises(Retry, match="full"):
            poller.step()
    assert left(aws, queue[0]) == (2, 0)  # with the test event
    eventually(lambda: poller.step() == 0)
    assert subjects(lake) == ["a.csv"]


def test_a_message_that_was_not_deleted_is_not_doubled(aws, queue, poller, lake, monkeypatch):
    store = aws[0]
    enable(store, AWS, Wish(bucket="raw", push="", topic=queue[1]))
    store.write("raw", "a.csv", CSV)
    with monkeypatch.context() as broken:
        broken.setattr(poller, "_delete", poller._return)
        monkeypatch.setattr("infra.sources.sqs.AGAIN", 0)
        assert poller.step() == 2
    eventually(lambda: poller.step() == 0)
    assert subjects(lake) == ["a.csv"]


def test_the_thread_survives_a_queue_that_is_not_there(moto, lake, caplog):
    poller = Poller(Queue(url=f"{moto}/123456789012/none", endpoint=moto, access_key="k", secret_key="s", wait_s=0), lake)
    poller.start()
    eventually(lambda: "again in" in caplog.text)
    poller.stop()


@pytest.mark.parametrize("name", ["aws-eventbridge", "moto-eventbridge-sqs", "moto-sqs", "moto-sns-sqs", "aws-test-event"])
def test_every_body_is_read(name):
    text = (Path(__file__).parents[2] / "payloads" / f"{name}.json").read_text()
    received = read(text)
    assert received.rejects == []
    assert bool(received.events) is (name != "aws-test-event")


def test_only_named_topics_are_confirmed_and_by_their_own_service(lake, monkeypatch):
    """By a stand-in for the service: moto's answer to ConfirmSubscription cannot be parsed."""
    monkeypatch.setattr(push, "HOLD_SECONDS", 0.0)
    arn = "arn:aws:sns:eu-west-1:123456789012:ours"
    asked: list[dict[str, list[str]]] = []
    answer = (
        b'<ConfirmSubscriptionResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/"><ConfirmSubscriptionResult>'
        b"<SubscriptionArn>x</SubscriptionArn></ConfirmSubscriptionResult></ConfirmSubscriptionResponse>"
    )

    async def service(scope, receive, send):
        asked.append(parse_qs((await receive())["body"].decode()))
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/xml")]})
        await send({"type": "http.response.body", "body": answer})

    async def nobody(scope, receive, send):
        raise AssertionError("not for the endpoint")

    request = json.loads((Path(__file__).parents[2] / "payloads" / "aws-sns-confirmation.json").read_text())
    headers = {"content-type": "text/plain; charset=UTF-8"}
    with (
        serving(service) as aws,
        serving(push.Push(nobody, lake, "token", Topics(Sources(topics=[arn], sns_endpoint=aws, sns_verify=False)))) as url,
    ):
        ours = httpx.post(f"{url}/events/token", content=json.dumps({**request, "TopicArn": arn}), headers=headers)
        assert ours.status_code == 202
        theirs = json.dumps({**request, "TopicArn": arn + "-theirs"})
        assert httpx.post(f"{url}/events/token", content=theirs, headers=headers).status_code == 403
    assert [(each["Action"], each["TopicArn"], each["Token"]) for each in asked] == [
        (["ConfirmSubscription"], [arn], [request["Token"]])
    ]


def test_a_name_that_is_no_arn_of_a_topic_is_never_confirmed():
    odd = "arn:aws:sns:evil.example.com/:123456789012:x"
    assert Topics(Sources(topics=[odd])).confirm(Confirmation(topic=odd, url="http://x", token="t")) is False
