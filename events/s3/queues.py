"""AWS messages around a notification: SQS (received, or as Lambda gets them) and SNS, also one within the other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from events.errors import BadEvent
from events.json_format import parse_json
from events.received import Confirmation, Received, joined, rejected
from events.s3.source import Unwrap


def attributes(message: Mapping[str, Any]) -> list[tuple[bytes, bytes]]:
    """The texts among the attributes of an SQS message, as headers: a CloudEvent in binary mode has its own there.

    ``message`` is one of ReceiveMessage, or one as Lambda gets it.
    """
    found = message.get("MessageAttributes") or message.get("messageAttributes")
    told = found.items() if isinstance(found, dict) else ()
    texts = {name: each.get("StringValue") or each.get("stringValue") for name, each in told if isinstance(each, dict)}
    return [(name.lower().encode(), text.encode()) for name, text in texts.items() if isinstance(text, str)]


class Sqs:
    """Messages of a queue: the answer of ReceiveMessage, one message of it, or one as Lambda gets it (lower-case names)."""

    def infer(self, body: Any, headers: Mapping[str, str]) -> bool:
        if not isinstance(body, dict):
            return False
        return isinstance(body.get("Messages"), list) or (
            isinstance(body.get("Body"), str)
            or (isinstance(body.get("body"), str) and ("messageId" in body or body.get("eventSource") == "aws:sqs"))
        )

    def read(self, body: dict[str, Any], path: str, unwrap: Unwrap) -> Received:
        if "Messages" in body:
            return joined(
                [
                    _inner(message, "Body", f"{path}.Messages[{number}]", unwrap)
                    for number, message in enumerate(body["Messages"])
                ]
            )
        return _inner(body, "Body" if "Body" in body else "body", path, unwrap)


class Sns:
    """A message of a topic, or its request to confirm the subscription. In Lambda the envelope is below ``Sns``."""

    def infer(self, body: Any, headers: Mapping[str, str]) -> bool:
        if not isinstance(body, dict):
            return False
        return isinstance(body.get("Sns"), dict) or (isinstance(body.get("Type"), str) and "TopicArn" in body)

    def read(self, body: dict[str, Any], path: str, unwrap: Unwrap) -> Received:
        if "Sns" in body:
            return self.read(body["Sns"], f"{path}.Sns", unwrap)
        kind = body.get("Type", "Notification")
        if kind == "Notification":
            return joined([_inner(body, "Message", path, unwrap), Received(sns=[body])])
        if kind == "UnsubscribeConfirmation":
            return Received(sns=[body])
        topic, url = body.get("TopicArn"), body.get("SubscribeURL")
        if kind == "SubscriptionConfirmation" and isinstance(topic, str) and isinstance(url, str):
            return Received(confirmation=Confirmation(topic=topic, url=url, token=str(body.get("Token", ""))), sns=[body])
        raise BadEvent(f"an SNS message of the type {str(kind)[:60]!r} cannot be read - at `{path}`")


def _inner(message: Any, member: str, path: str, unwrap: Unwrap) -> Received:
    """What the text in ``member`` brings. A bad message is a reject: its neighbours are read."""
    where = f"{path}.{member}"
    try:
        text = message.get(member) if isinstance(message, dict) else None
        if not isinstance(text, str):
            raise BadEvent(f"a text is expected at `{where}`")
        found = unwrap(parse_json(text, f"the text at `{where}`"), where)
        if found is None:
            raise BadEvent(f"the message at `{where}` is no S3 notification")
    except BadEvent as error:
        return Received(rejects=[rejected(message, error)])
    return found
