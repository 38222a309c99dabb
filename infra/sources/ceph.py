"""Ceph RGW's side of notifications: topics, made with the SNS API at the store's own endpoint, and the call boto3 lacks.

Measured with 16.2: a configuration that is put is added to the others; topics are global, so one of the same name is the same;
a configuration keeps the topic's address as it was when the configuration was put. ``OpaqueData`` is not decoded.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

import boto3
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config as BotoConfig
from botocore.httpsession import URLLib3Session

from events.errors import Reject, Retry
from infra.objects.s3 import TRANSIENT, S3Store, errors
from infra.sources.token import masked

#: What a topic's opaque data may hold; everything else arrives otherwise than it was given.
PLAIN = re.compile(r"[A-Za-z0-9=._-]*").fullmatch


def topic_name(bucket: str) -> str:
    """The topic of one bucket. Topic names have no dots."""
    return f"sluice-{bucket.replace('.', '_')}"


def create_topic(store: S3Store, name: str, push: str, *, persistent: bool, opaque: str = "") -> str:
    """Make the topic, or change the one of this name; returns its ARN. Raises ``Reject`` or ``Retry``."""
    if not PLAIN(opaque):
        raise Reject(f"the opaque data {opaque!r} would not arrive as they are: use letters, digits and = . _ - only")
    attributes = {"push-endpoint": push, "persistent": "true" if persistent else "false", "verify-ssl": "true"}
    if opaque:
        attributes["OpaqueData"] = opaque
    with _sns(store) as client:
        return str(client.create_topic(Name=name, Attributes=attributes)["TopicArn"])


def topics(store: S3Store) -> list[dict[str, Any]]:
    """All topics: name, ARN, where they push to (without the token) and whether they are persistent."""
    found: list[dict[str, Any]] = []
    with _sns(store) as client:
        # 16.2 lists a topic once more for each configuration that names it
        for arn in sorted({each["TopicArn"] for each in client.list_topics().get("Topics", ())}):
            told = client.get_topic_attributes(TopicArn=arn)["Attributes"]
            push = json.loads(told.get("EndPoint") or "{}")
            address = masked(str(push.get("EndpointAddress", "")))
            persistent = str(push.get("Persistent", "")).lower() == "true"
            found.append({"name": arn.rpartition(":")[2], "arn": arn, "push": address, "persistent": persistent})
    return found


def delete_topics(store: S3Store, arns: Iterable[str]) -> None:
    """Remove topics; those that are not there are no error."""
    with _sns(store) as client:
        for arn in arns:
            client.delete_topic(TopicArn=arn)


def delete_configuration(store: S3Store, bucket: str, name: str) -> None:
    """``DELETE /bucket?notification=ID``, an extension of Ceph's that boto3 has no call for. Raises ``Reject`` or ``Retry``."""
    credentials = store.client._request_signer._credentials
    url = f"{store.endpoint.rstrip('/')}/{quote(bucket)}?notification={quote(name, safe='')}"
    request = AWSRequest("DELETE", url, data=b"")
    S3SigV4Auth(credentials.get_frozen_credentials(), "s3", store.keys[2]).add_auth(request)
    session = URLLib3Session(timeout=30)
    try:
        with errors(bucket, ""):
            answer = session.send(request.prepare())
    finally:
        session.close()
    if answer.status_code in TRANSIENT:
        raise Retry(f"s3://{bucket}: the store answered {answer.status_code} to DELETE ?notification={name}")
    if answer.status_code not in (200, 204, 404):
        raise Reject(f"s3://{bucket}: the store refused DELETE ?notification={name} with {answer.status_code}")


@contextmanager
def _sns(store: S3Store) -> Iterator[Any]:
    """A client of the store's topics."""
    access, secret, region = store.keys
    client = boto3.client(
        "sns",
        endpoint_url=store.endpoint,
        aws_access_key_id=access or None,
        aws_secret_access_key=secret or None,
        region_name=region,
        config=BotoConfig(connect_timeout=5, read_timeout=30, retries={"mode": "standard"}),
    )
    try:
        with errors("", ""):
            yield client
    finally:
        client.close()
