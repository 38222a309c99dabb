"""The Lambda handler under the real runtime client, against a Runtime API on loopback."""

from __future__ import annotations

import base64
import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.plain_http import Silent

MODULE = """
from cloudevents.http import CloudEvent
from events.errors import Reject, Retry
from events.event import Event
from events.route import on

@on("com.amazonaws.s3.ObjectCreated:*", "ask")
def answer(event: CloudEvent) -> CloudEvent:
    if event["subject"] == "raw/broken.csv":
        raise Retry("not yet")
    return CloudEvent({"type": "answer", "source": "/mine"}, {"about": event["subject"]})
"""


class RuntimeApi(Silent):
    """What Lambda offers its runtimes: the next invocation, and where its answer or error goes."""

    invocations: queue.Queue[Any] = queue.Queue()
    answers: queue.Queue[tuple[str, Any]] = queue.Queue()
    disable_nagle_algorithm = True
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        invocation = self.invocations.get()
        self._send(
            200,
            json.dumps(invocation).encode(),
            {"Lambda-Runtime-Aws-Request-Id": "1", "Lambda-Runtime-Deadline-Ms": "9999999999999"},
        )

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.answers.put((self.path.rsplit("/", 1)[1], json.loads(body)))
        self._send(202, b"{}", {})

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body)), "Content-Type": "application/json"}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture(scope="module")
def invoke(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Call it with an invocation: ``("response" or "error", body)``."""
    folder: Path = tmp_path_factory.mktemp("lambda")
    (folder / "lambda_functions.py").write_text(MODULE)
    server = ThreadingHTTPServer(("127.0.0.1", 0), RuntimeApi)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    root = Path(__file__).parents[2]
    environment = {
        **os.environ, "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{server.server_port}", "AWS_LAMBDA_FUNCTION_NAME": "sluice",
        "AWS_LAMBDA_FUNCTION_VERSION": "1", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128", "AWS_LAMBDA_LOG_GROUP_NAME": "g",
        "AWS_LAMBDA_LOG_STREAM_NAME": "s", "SLUICE_FUNCTIONS": "[lambda_functions]",
        "PYTHONPATH": f"{folder}{os.pathsep}{root}",
    }  # fmt: skip
    log = (folder / "log").open("wb")
    command = [sys.executable, "-m", "awslambdaric", "infra.runtime.aws_lambda.handler"]
    process = subprocess.Popen(command, env=environment, cwd=folder, stdout=log, stderr=log)

    def call(invocation: Any) -> tuple[str, Any]:
        RuntimeApi.invocations.put(invocation)
        try:
            return RuntimeApi.answers.get(timeout=30)
        except queue.Empty:
            pytest.fail((folder / "log").read_text()[-2000:])

    yield call
    process.kill()
    process.wait()
    log.close()
    server.shutdown()
    server.server_close()


def record(key: str) -> dict[str, Any]:
    return {
        "eventVersion": "2.1", "eventSource": "aws:s3", "awsRegion": "eu-west-1", "eventTime": "2026-01-01T00:00:00.000Z",
        "eventName": "ObjectCreated:Put", "responseElements": {"x-amz-request-id": "R", "x-amz-id-2": "I"},
        "s3": {"bucket": {"name": "lake", "arn": "arn:aws:s3:::lake"},
               "object": {"key": key, "size": 3, "eTag": "e", "sequencer": "00A1"}},
    }  # fmt: skip


def about(result: Any) -> list[str]:
    return [event["data"]["about"] for event in result["events"]]


def test_s3(invoke) -> None:
    kind, result = invoke({"Records": [record("raw/a.csv"), record("raw/b+c.csv")]})
    assert (kind, about(result)) == ("response", ["raw/a.csv", "raw/b c.csv"])


def test_a_failure_is_raised_so_that_lambda_repeats_it(invoke) -> None:
    kind, result = invoke({"Records": [record("raw/broken.csv")]})
    assert (kind, result["errorType"], result["errorMessage"]) == ("error", "Retry", "not yet")


def test_of_an_sqs_batch_only_what_failed_comes_back(invoke) -> None:
    def message(number: int, key: str) -> dict[str, Any]:
        return {
            "messageId": str(number),
            "eventSource": "aws:sqs",
            "body": json.dumps({"Records": [record(key)]}),
            "attributes": {},
        }

    kind, result = invoke({"Records": [message(1, "raw/a.csv"), message(2, "raw/broken.csv"), message(3, "raw/c.csv")]})
    assert kind == "response"
    assert result["batchItemFailures"] == [{"itemIdentifier": "2"}]
    assert about(result) == ["raw/a.csv", "raw/c.csv"]


def test_what_follows_a_failure_in_its_fifo_group_comes_back_too(invoke) -> None:
    keys = [("a", "raw/broken.csv"), ("b", "raw/b.csv"), ("a", "raw/c.csv")]
    records = [
        {"messageId": str(n), "eventSource": "aws:sqs", "body": json.dumps({"Records": [record(key)]}),
         "attributes": {"MessageGroupId": group}}
        for n, (group, key) in enumerate(keys)
    ]  # fmt: skip
    _, result = invoke({"Records": records})
    assert result["batchItemFailures"] == [{"itemIdentifier": "0"}, {"itemIdentifier": "2"}]


@pytest.mark.parametrize(
    "attributes", [{}, {"ce-specversion": "1.0", "ce-id": "7", "ce-source": "/s", "ce-type": "ask", "ce-subject": "x"}]
)
def test_cloudevents_in_sqs(invoke, attributes) -> None:
    body = "" if attributes else json.dumps({"specversion": "1.0", "id": "7", "source": "/s", "type": "ask", "subject": "x"})
    values = {name: {"stringValue": value, "dataType": "String"} for name, value in attributes.items()}
    _, result = invoke({"Records": [{"messageId": "1", "eventSource": "aws:sqs", "body": body, "messageAttributes": values}]})
    assert (result["batchItemFailures"], about(result)) == ([], ["x"])


def test_sns(invoke) -> None:
    sns = {
        "Type": "Notification",
        "TopicArn": "arn:aws:sns:eu-west-1:1:t",
        "Message": json.dumps({"Records": [record("raw/a.csv")]}),
    }
    _, result = invoke({"Records": [{"EventSource": "aws:sns", "EventVersion": "1.0", "Sns": sns}]})
    assert about(result) == ["raw/a.csv"]


def test_eventbridge(invoke) -> None:
    detail = {
        "bucket": {"name": "lake"},
        "object": {"key": "raw/a b.csv", "size": 3, "etag": "e", "sequencer": "00"},
        "reason": "PutObject",
    }
    event = {
        "version": "0",
        "id": "1",
        "detail-type": "Object Created",
        "source": "aws.s3",
        "time": "2026-01-01T00:00:00Z",
        "detail": detail,
    }
    _, result = invoke(event)
    assert about(result) == ["raw/a b.csv"]


def test_a_cloudevent_as_the_payload(invoke) -> None:
    _, result = invoke({"specversion": "1.0", "id": "1", "source": "/s", "type": "ask", "subject": "x"})
    assert about(result) == ["x"]


def url(headers: dict[str, str], body: str, encoded: bool = False, method: str = "POST") -> dict[str, Any]:
    http = {"method": method, "path": "/"}
    return {"version": "2.0", "requestContext": {"http": http}, "headers": headers, "body": body, "isBase64Encoded": encoded}


CE = {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/s", "ce-type": "ask", "ce-subject": "x"}


@pytest.mark.parametrize("encoded", [False, True])
def test_a_function_url_in_binary_mode(invoke, encoded) -> None:
    body = base64.b64encode(b'{"a":1}').decode() if encoded else '{"a":1}'
    _, result = invoke(url({**CE, "content-type": "application/json"}, body, encoded))
    assert (result["statusCode"], result["headers"]["content-type"]) == (200, "application/cloudevents+json")
    assert json.loads(result["body"])["data"] == {"about": "x"}


def test_a_function_url_in_structured_mode(invoke) -> None:
    document = {"specversion": "1.0", "id": "1", "source": "/s", "type": "ask", "subject": "x"}
    _, result = invoke(url({"Content-Type": "application/cloudevents+json"}, json.dumps(document)))
    assert result["statusCode"] == 200


@pytest.mark.parametrize(
    ("invocation", "status"),
    [
        (url({**CE, "ce-type": ""}, ""), 400),
        (url({"content-type": "text/html"}, "x"), 415),
        (url(CE, "no base 64!", True), 400),
        (url({**CE, "ce-type": "nobody-wants-this"}, ""), 204),
        (url({**CE, "ce-subject": "raw/broken.csv"}, ""), 503),
        (url({}, "", method="GET"), 405),
    ],
)
def test_what_a_function_url_answers(invoke, invocation, status) -> None:
    assert invoke(invocation)[1]["statusCode"] == status


def test_what_nobody_understands_is_an_error(invoke) -> None:
    kind, result = invoke({"hello": "world"})
    assert (kind, result["errorType"]) == ("error", "BadEvent")


def old(headers: dict[str, str], body: str, **more: Any) -> dict[str, Any]:
    """API Gateway's payload 1.0; a load balancer's has another context."""
    return {"resource": "/", "path": "/", "httpMethod": "POST", "headers": headers, "body": body, "requestContext": {}, **more}


@pytest.mark.parametrize("context", [{"stage": "x"}, {"elb": {"targetGroupArn": "arn"}}])
@pytest.mark.parametrize("several", [False, True])
def test_an_older_gateway_and_a_load_balancer(invoke, context, several) -> None:
    headers = {**CE, "content-type": "application/json"}
    more = {"multiValueHeaders": {name: [value] for name, value in headers.items()}} if several else {}
    _, result = invoke(old({} if several else headers, '{"a":1}', requestContext=context, **more))
    assert (result["statusCode"], json.loads(result["body"])["data"]) == (200, {"about": "x"})


@pytest.mark.parametrize("make", [lambda h: url(h, "", method="OPTIONS"), lambda h: old(h, "", httpMethod="OPTIONS")])
def test_the_handshake_of_webhooks_is_answered(invoke, make) -> None:
    _, result = invoke(make({"WebHook-Request-Origin": "sender.example"}))
    assert (result["statusCode"], result["headers"]["webhook-allowed-origin"]) == (200, "sender.example")


CUSTOM = {
    "version": "0", "id": "7", "detail-type": "ask", "source": "com.example.shop", "account": "1", "region": "eu-west-1",
    "time": "2026-01-01T00:00:00Z", "resources": ["arn:thing"], "detail": {"a": 1},
}  # fmt: skip


def test_any_other_event_of_eventbridge_becomes_a_cloudevent(invoke) -> None:
    assert about(invoke(CUSTOM)[1]) == ["arn:thing"]
    assert about(invoke([CUSTOM, {**CUSTOM, "resources": ["arn:other"]}])[1]) == ["arn:thing", "arn:other"]


def test_a_pipe_sends_an_array_of_messages(invoke) -> None:
    good = {"eventSource": "aws:sqs", "messageId": "1", "body": json.dumps(CUSTOM)}
    assert about(invoke([good])[1]) == ["arn:thing"]
    assert invoke([good, {**good, "messageId": "2", "body": "x"}])[1]["batchItemFailures"] == [{"itemIdentifier": "2"}]
