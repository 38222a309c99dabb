"""Bucket notifications: have a store tell this lake of a bucket's changes, each store in its own way.

Ceph RGW    a topic with our push address, and a configuration that names it     ceph.py
the door    a configuration that names the lake itself
MinIO, AWS  a configuration that names a target, queue or topic, which an operator has made
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec

from events.errors import Reject
from infra.objects.s3 import S3Store, errors
from infra.sources import ceph
from infra.sources.dialect import Dialect

EVENTS = ("s3:ObjectCreated:*", "s3:ObjectRemoved:*")
OURS = "sluice-"
#: What the lake is called by the door.
LAKE = "arn:sluice:sns:::lake"
MINIO_ARN = "arn:minio:sqs::sluice:webhook"
#: Service in an ARN -> list in the configuration, and the name of the ARN in its elements.
KINDS = {"sns": ("TopicConfigurations", "TopicArn"), "sqs": ("QueueConfigurations", "QueueArn")}


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What to be told of, and how.

    ``push`` is our address with its token. ``topic`` is a name on Ceph, elsewhere the ARN of a target. ``persistent`` has Ceph
    queue and retry; otherwise it tells before it answers the upload, and only once.
    """

    bucket: str
    push: str
    prefix: str = ""
    suffix: str = ""
    persistent: bool = False
    events: tuple[str, ...] = EVENTS
    topic: str = ""

    @property
    def id(self) -> str:
        """The configuration's name: the same wish replaces itself, another prefix or suffix stands beside it."""
        return OURS + hashlib.blake2b(f"{self.prefix}\x1f{self.suffix}".encode(), digest_size=6).hexdigest()


def enable(store: S3Store, dialect: Dialect, wish: Wish) -> dict[str, Any]:
    """Make the bucket tell us. Doing it again changes nothing. Returns the configuration. Raises ``Reject``, ``Retry``."""
    if dialect.name == "ceph":
        arn = ceph.create_topic(store, wish.topic or ceph.topic_name(wish.bucket), wish.push, persistent=wish.persistent)
        kind, name = KINDS["sns"]
    else:
        arn = wish.topic or {"sluice": LAKE, "minio": MINIO_ARN}.get(dialect.name, "")
        kind, name = KINDS.get([*arn.split(":"), "", ""][2], ("", ""))
        if not kind:
            raise Reject(
                f"this store needs --topic, the ARN of a queue (arn:aws:sqs:...) or topic (arn:aws:sns:...); not {arn!r}. "
                f"Poll the queue with sluice.sources.queues, or subscribe {_place(wish.push)}/events/TOKEN to the topic"
            )
    rules = [{"Name": part, "Value": value} for part, value in (("prefix", wish.prefix), ("suffix", wish.suffix)) if value]
    made: dict[str, Any] = {"Id": wish.id, name: arn, "Events": list(wish.events)}
    if rules:
        made["Filter"] = {"Key": {"FilterRules": rules}}
    with _explained(dialect, wish), errors(wish.bucket, ""):
        if dialect.name == "ceph":  # adds, or replaces what has this Id
            _put(store, wish.bucket, {kind: [made]})
        else:  # replaces everything: what others configured has to be said again
            _put(store, wish.bucket, _joined(_without(_configuration(store, wish.bucket), [wish.id]), kind, made))
    return made


def status(store: S3Store, dialect: Dialect, bucket: str) -> dict[str, Any]:
    """The bucket's configurations, and on Ceph the topics they name, their push addresses without the token."""
    with errors(bucket, ""):
        found = _configuration(store, bucket)
    named = {each["TopicArn"] for each in found.get("TopicConfigurations", ())}
    topics = [topic for topic in ceph.topics(store) if topic["arn"] in named] if dialect.name == "ceph" and named else []
    return {"bucket": bucket, "store": dialect.name, "configurations": found, "topics": topics}


def disable(store: S3Store, dialect: Dialect, bucket: str) -> list[str]:
    """Take our configurations away, on Ceph with the topics only they named. Returns their names; none is no error."""
    with errors(bucket, ""):
        found = _configuration(store, bucket)
        ours = {
            each["Id"]: each.get("TopicArn", "")
            for kind, _ in KINDS.values()
            for each in found.get(kind, ())
            if each["Id"].startswith(OURS) or (dialect.name == "sluice" and each.get("TopicArn") == LAKE)
        }
        if ours and dialect.name == "ceph":
            for name in ours:
                ceph.delete_configuration(store, bucket, name)
            left = {each["TopicArn"] for each in found["TopicConfigurations"] if each["Id"] not in ours}
            ceph.delete_topics(store, {arn for arn in ours.values() if arn.endswith(f":{ceph.topic_name(bucket)}")} - left)
        elif ours:
            _put(store, bucket, _without(found, ours))
    return sorted(ours)


def _configuration(store: S3Store, bucket: str) -> dict[str, Any]:
    answer = store.client.get_bucket_notification_configuration(Bucket=bucket)
    return {name: value for name, value in answer.items() if name != "ResponseMetadata"}


def _put(store: S3Store, bucket: str, configuration: dict[str, Any]) -> None:
    store.client.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration=configuration)


def _without(configuration: dict[str, Any], names: Any) -> dict[str, Any]:
    return {
        kind: [each for each in value if each.get("Id") not in names] if isinstance(value, list) else value
        for kind, value in configuration.items()
    }


def _joined(configuration: dict[str, Any], kind: str, made: dict[str, Any]) -> dict[str, Any]:
    return {**configuration, kind: [*configuration.get(kind, ()), made]}


def _place(push: str) -> str:
    return push.partition("/events/")[0]


@contextmanager
def _explained(dialect: Dialect, wish: Wish) -> Iterator[None]:
    """MinIO's refusal of an unknown target, with what its operator has to do first."""
    try:
        yield
    except Reject as error:
        if dialect.name != "minio":
            raise
        arn = wish.topic or MINIO_ARN
        name = arn.split(":")[-2]
        raise Reject(
            f"MinIO does not take {arn}: {error}. Its server needs, when it is started: "
            f"MINIO_NOTIFY_WEBHOOK_ENABLE_{name}=on MINIO_NOTIFY_WEBHOOK_ENDPOINT_{name}={_place(wish.push)}/events "
            f"MINIO_NOTIFY_WEBHOOK_AUTH_TOKEN_{name}=TOKEN MINIO_NOTIFY_WEBHOOK_QUEUE_DIR_{name}=FOLDER, "
            f"where TOKEN is what DATA/push-token holds. Or follow its stream: sluice.sources.listen"
        ) from error
