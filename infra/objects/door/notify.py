"""Bucket notifications: the configuration in S3's XML, which rule wants which change, and the record a change becomes.

Source: Amazon S3 API Reference, PutBucketNotificationConfiguration; User Guide, "Event message structure" (version 2.1).
Keys stand in the records as they are, in UTF-8 without URL encoding.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import msgspec

from infra.objects.door import xml
from infra.objects.door.errors import S3Error

OWNER = "sluice"
CREATED = ("Put", "Post", "Copy", "CompleteMultipartUpload")
EVENTS = frozenset(
    [
        *(f"s3:ObjectCreated:{name}" for name in ("*", *CREATED)),
        *(f"s3:ObjectRemoved:{name}" for name in ("*", "Delete", "DeleteMarkerCreated")),
    ]
)
#: Element of the configuration -> (element of the ARN, service in the ARN). Functions (CloudFunction) have no target here.
KINDS = {"TopicConfiguration": ("Topic", "sns"), "QueueConfiguration": ("Queue", "sqs")}
MOST_RULES = 100


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """One configuration: which events on which keys go to which ARN. ``events`` keep the ``s3:`` of the API."""

    id: str
    kind: str
    arn: str
    events: list[str]
    prefix: str = ""
    suffix: str = ""

    @property
    def target(self) -> str:
        """The name at the ARN's end."""
        return self.arn.rpartition(":")[2]

    def wants(self, event: str, key: str) -> bool:
        """Whether a change (``ObjectCreated:Put``) of this key goes to the target."""
        full = "s3:" + event
        group = full.rpartition(":")[0] + ":*"
        return (full in self.events or group in self.events) and key.startswith(self.prefix) and key.endswith(self.suffix)


@dataclass(frozen=True)
class Cause:
    """The request behind a change, as its records tell it."""

    request_id: str
    host_id: str
    principal: str
    address: str
    region: str


#: What a new bucket has unless the door is told to be silent.
DEFAULT = [
    Rule(
        id="lake",
        kind="TopicConfiguration",
        arn="arn:sluice:sns:::lake",
        events=["s3:ObjectCreated:*", "s3:ObjectRemoved:*"],
    )
]


def read(document: bytes, targets: Iterable[str]) -> list[Rule]:
    """The rules of a ``NotificationConfiguration``.

    Args:
        document: the XML; without any configuration in it, notifications are off.
        targets: names an ARN may end in.

    Raises:
        S3Error: MalformedXML, InvalidArgument (unknown ARN, event or filter), NotImplemented (EventBridge, functions).

    """
    rules: list[Rule] = []
    arns = {f"arn:sluice:{service}:::{name}" for _, service in KINDS.values() for name in targets}
    for element in xml.parse(document, "NotificationConfiguration").children:
        if element.name not in KINDS:
            raise S3Error("NotImplemented", f"<{element.name}> is not supported; use topic or queue configurations.")
        tag, service = KINDS[element.name]
        arn = element.get(tag)
        if arn not in arns or f":{service}:" not in arn:
            known = ", ".join(sorted(arn for arn in arns if f":{service}:" in arn))
            raise S3Error(
                "InvalidArgument", f"The ARN is unknown here; known are: {known}", ArgumentName=tag, ArgumentValue=arn
            )
        events = [event.text for event in element.all("Event")]
        if not events:
            raise S3Error("MalformedXML", f"<{element.name}> needs at least one <Event>.")
        if unknown := [event for event in events if event not in EVENTS]:
            raise S3Error(
                "InvalidArgument",
                "The event is not supported for notifications",
                ArgumentName="Event",
                ArgumentValue=unknown[0],
            )
        prefix, suffix = _filter(element)
        identity = element.get("Id", "") or secrets.token_hex(8)
        rules.append(Rule(id=identity, kind=element.name, arn=arn, events=events, prefix=prefix, suffix=suffix))
    if len(rules) > MOST_RULES or len({rule.id for rule in rules}) < len(rules):
        raise S3Error("InvalidArgument", f"At most {MOST_RULES} configurations, whose Ids differ.")
    return rules


def _filter(element: xml.Element) -> tuple[str, str]:
    found: dict[str, str] = {}
    for holder in element.all("Filter"):
        for keys in holder.children:
            if keys.name != "S3Key":
                raise S3Error("InvalidArgument", f"Filters by <{keys.name}> are not supported; filter by prefix and suffix.")
            for rule in keys.all("FilterRule"):
                name = rule.get("Name").lower()
                if name not in ("prefix", "suffix") or name in found:
                    raise S3Error(
                        "InvalidArgument", "A filter has at most one rule for each of prefix and suffix.", ArgumentName="Name"
                    )
                found[name] = rule.get("Value", "")
    return found.get("prefix", ""), found.get("suffix", "")


def render(rules: Iterable[Rule]) -> bytes:
    """The rules as S3's XML."""
    children: list[xml.Pair] = []
    for rule in rules:
        inner: list[xml.Pair] = [("Id", rule.id), (KINDS[rule.kind][0], rule.arn), *(("Event", event) for event in rule.events)]
        filters = [(name, value) for name, value in (("prefix", rule.prefix), ("suffix", rule.suffix)) if value]
        if filters:
            pairs: list[xml.Pair] = [("FilterRule", [("Name", name), ("Value", value)]) for name, value in filters]
            inner.append(("Filter", [("S3Key", pairs)]))
        children.append((rule.kind, inner))
    return xml.render("NotificationConfiguration", children)


def record(
    rule: str, cause: Cause, event: str, *, time: str, bucket: str, key: str, size: int, etag: str, sequencer: str
) -> dict[str, Any]:
    """One element of ``Records``: a change as the target of the rule with this id is told of it."""
    return {
        "eventVersion": "2.1",
        "eventSource": "sluice:s3",
        "awsRegion": cause.region,
        "eventTime": time,
        "eventName": event,
        "userIdentity": {"principalId": cause.principal},
        "requestParameters": {"sourceIPAddress": cause.address},
        "responseElements": {"x-amz-request-id": cause.request_id, "x-amz-id-2": cause.host_id},
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": rule,
            "bucket": {"name": bucket, "ownerIdentity": {"principalId": OWNER}, "arn": f"arn:aws:s3:::{bucket}"},
            "object": {"key": key, "size": size, "eTag": etag, "sequencer": sequencer},
        },
    }
