"""AWS Lambda: ``infra.runtime.aws_lambda.handler`` runs the modules of ``SLUICE_FUNCTIONS`` on whatever invokes it.

Each kind of invocation is a class of ``infer`` and ``handle``; the first in ``TRIGGERS`` that recognises it takes it. Replies
go to ``SLUICE_RUNTIME_SINK``, or are what the invocation returns (``{"events": [...]}``), for Lambda's destinations.

What fails is raised, so that Lambda repeats it and then hands it to the function's dead-letter queue or failure destination. Of
an SQS batch only the messages that failed come back (``ReportBatchItemFailures``); for good refused ones reach the queue's own
dead-letter queue that way.
"""

from __future__ import annotations

import base64
import binascii
import logging
import os
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from events.errors import BadEvent
from events.event import Event
from events.ingress import read
from events.json_format import from_document, parse_json, to_document
from events.received import Received, joined
from events.s3 import events_from
from events.s3.cloudevents import normalised
from events.s3.queues import attributes
from infra import config as configuration
from infra.delivery.handshake import Consent
from infra.delivery.tracing import traced_by
from infra.runtime.dispatch import Dispatcher, dispatcher
from infra.runtime.exchange import Exchange, crowded
from infra.runtime.logs import configure
from infra.runtime.messages import Answer

if TYPE_CHECKING:
    from infra.runtime.sink import Sink

logger = logging.getLogger("sluice.lambda")


class Host:
    """What a trigger works with: the functions, and where their replies go."""

    def __init__(self, dispatch: Dispatcher, sink: Sink | None = None, consent: Consent | None = None) -> None:
        self.dispatch, self.sink, self.consent = dispatch, sink, consent or Consent(["*"], 0)

    def run(self, received: Received) -> list[Event]:
        """Every event to its functions; the replies that no sink took. Raises the first failure after all have run."""
        replies: list[Event] = []
        failures: list[Exception] = [reject.error for reject in received.rejects]
        for event in received.events:
            try:
                replies += self._sent(self.dispatch(event))
            except Exception as error:
                about = {"event": event.id, "type": event.type}
                logger.warning("event %s failed: %s", event.id, error, extra=about, exc_info=True)
                failures.append(error)
        if failures:
            raise failures[0]
        return replies

    def _sent(self, replies: list[Event]) -> list[Event]:
        if self.sink is None:
            return replies
        self.sink.send(replies)
        return []


class Trigger(Protocol):
    """One kind of invocation."""

    def infer(self, invocation: Mapping[str, Any]) -> bool:
        """Whether the invocation is of this kind, judged by a glance."""
        ...

    def handle(self, invocation: dict[str, Any], host: Host) -> Any:
        """Run it; what the invocation returns."""
        ...


class FunctionUrl:
    """HTTP: a Function URL, an API Gateway (payload 1.0 and 2.0) or a load balancer. Answers as a Knative container does."""

    def infer(self, invocation: Mapping[str, Any]) -> bool:
        context = invocation.get("requestContext")
        return isinstance(context, dict) and ("http" in context or "httpMethod" in invocation)

    def handle(self, invocation: dict[str, Any], host: Host) -> dict[str, Any]:
        several = {name: ",".join(map(str, values)) for name, values in (invocation.get("multiValueHeaders") or {}).items()}
        told = (invocation.get("headers") or several).items()
        headers = [(name.lower().encode("latin-1"), str(value).encode()) for name, value in told]
        exchange = Exchange(host.dispatch, host.sink)
        method = invocation.get("httpMethod") or invocation["requestContext"].get("http", {}).get("method", "POST")
        if method == "OPTIONS":
            return _response(Answer(200, host.consent.answer(headers), b""))
        if method != "POST":
            return _response(Answer(405, [(b"allow", b"POST, OPTIONS")], b""))
        if wait := host.consent.wait(headers):
            return _response(crowded(wait))
        try:
            received = read(headers, _body(invocation))
            if received.rejects:
                raise received.rejects[0].error
        except BadEvent as error:
            return _response(exchange.failed(error))
        return _response(exchange.answer(traced_by(received.events, headers), headers))


class Queue:
    """SQS: each message for itself. Of a FIFO queue, what follows a failure in its group fails too, so order stays."""

    def infer(self, invocation: Mapping[str, Any]) -> bool:
        records = invocation.get("Records")
        return bool(isinstance(records, list) and records and isinstance(records[0], dict)
                    and records[0].get("eventSource") == "aws:sqs")  # fmt: skip

    def handle(self, invocation: dict[str, Any], host: Host) -> dict[str, Any]:
        failed: list[str] = []
        groups: set[str] = set()
        replies: list[Event] = []
        for message in invocation["Records"]:
            group = (message.get("attributes") or {}).get("MessageGroupId", "")
            try:
                if group and group in groups:
                    raise RuntimeError("an earlier message of its group failed")
                replies += host.run(_content(message))
            except Exception as error:
                logger.warning("SQS message %s failed: %s", message["messageId"], error)
                failed.append(message["messageId"])
                groups.add(group)
        return {"batchItemFailures": [{"itemIdentifier": each} for each in failed], **_told(replies)}


class Notification:
    """S3 notifications, directly, by SNS or by EventBridge, and CloudEvents as an invocation's payload."""

    def infer(self, invocation: Mapping[str, Any]) -> bool:
        return True

    def handle(self, invocation: dict[str, Any], host: Host) -> dict[str, Any]:
        return _told(host.run(_received(invocation)))


TRIGGERS: tuple[Trigger, ...] = (FunctionUrl(), Queue(), Notification())


def handler(invocation: dict[str, Any], context: Any) -> Any:
    """Lambda's entry point. Raises what the functions raised."""
    return handle(invocation, _host())


def handle(invocation: Any, host: Host) -> Any:
    """Run one invocation, or the array of records that a pipe sends. Raises ``BadEvent`` for what nobody here understands."""
    if isinstance(invocation, list):
        if not Queue().infer({"Records": invocation}):
            return _told(host.run(joined([_received(each) for each in invocation])))
        invocation = {"Records": invocation}
    if not isinstance(invocation, dict):
        raise BadEvent("an invocation must be a JSON object: a CloudEvent, or what S3, SQS, SNS, EventBridge or a URL sends")
    trigger = next(each for each in TRIGGERS if each.infer(invocation))
    return trigger.handle(invocation, host)


@lru_cache(1)
def _host() -> Host:
    config = configuration.load()
    configure(config.runtime.log_format)
    url, sink = config.runtime.sink or os.environ.get("K_SINK", ""), None
    if url:
        from infra.runtime.sink import Sink  # a cold start does not wait for a client that it has no use for

        sink = Sink(url)
    return Host(dispatcher(config), sink, Consent(config.http.webhook_origins, config.http.webhook_rate))


def _received(payload: Any) -> Received:
    """The events in a payload: a CloudEvent, one as EventBridge's detail or SNS's message, or an S3 notification.

    Any other event of EventBridge becomes a CloudEvent.
    """
    if isinstance(payload, dict):
        if "specversion" in payload:
            return normalised([from_document(payload)])
        detail = payload.get("detail")
        if "detail-type" in payload and isinstance(detail, dict) and "specversion" in detail:
            return normalised([from_document(detail)])
        if inner := list(_sns_messages(payload)):
            parts = [_received(parse_json(text, "the SNS message")) for text in inner]
            return Received(
                events=[event for part in parts for event in part.events],
                rejects=[reject for part in parts for reject in part.rejects],
            )
    found = events_from(payload)
    if found is None and isinstance(payload, dict) and not {"id", "source", "detail-type", "detail"} - payload.keys():
        return Received(events=[_wrapped(payload)])
    if found is None:
        raise BadEvent("the payload is neither a CloudEvent nor a notification of S3, SQS, SNS or EventBridge")
    return found


def _wrapped(envelope: dict[str, Any]) -> Event:
    """An event of EventBridge that is none of S3's: its type is the detail type, its subject a sole resource. ``BadEvent``."""
    resources = envelope.get("resources")
    document = {
        "specversion": "1.0", "id": envelope["id"], "source": envelope["source"], "type": envelope["detail-type"],
        "time": envelope.get("time"), "subject": resources[0] if isinstance(resources, list) and len(resources) == 1 else None,
        "datacontenttype": "application/json", "data": envelope["detail"],
    }  # fmt: skip
    return from_document(document)


def _sns_messages(payload: dict[str, Any]) -> Iterable[str]:
    """The texts of SNS messages, as Lambda gets them or as SQS holds them."""
    records = payload.get("Records")
    for record in records if isinstance(records, list) else [{"Sns": payload}] if "TopicArn" in payload else []:
        sns = record.get("Sns") if isinstance(record, dict) else None
        if isinstance(sns, dict) and isinstance(sns.get("Message"), str):
            yield sns["Message"]


def _content(message: dict[str, Any]) -> Received:
    """What one SQS message holds, in the message's trace; in binary mode its attributes are those of the event (``ce-...``)."""
    headers, body = attributes(message), str(message.get("body", ""))
    if any(name in (b"ce-specversion", b"content-type") for name, _ in headers):
        received = read(headers, body.encode())
    else:
        received = _received(parse_json(body, "the message"))
    return msgspec.structs.replace(received, events=list(traced_by(received.events, headers)))


def _body(invocation: dict[str, Any]) -> bytes:
    body = invocation.get("body") or ""
    if not invocation.get("isBase64Encoded"):
        return str(body).encode()
    try:
        return base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadEvent(f"the body is not Base64: {error}") from error


def _response(answer: Answer) -> dict[str, Any]:
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in answer.headers}
    return {"statusCode": answer.status, "headers": headers, "body": answer.body.decode(), "isBase64Encoded": False}


def _told(replies: list[Event]) -> dict[str, Any]:
    return {"events": [to_document(reply) for reply in replies]} if replies else {}
