"""Google Cloud Storage by object change notification: what happened stands in a header of what a channel posts."""

from __future__ import annotations

import json
from typing import Any

import pytest

from events.errors import BadEvent
from events.ingress import read
from events.received import Received
from events.types import S3Record
from tests.unit.events.test_s3_other_stores import JSON, KEY, MD5, changes, told

OBJECT = {
    "kind": "storage#object",
    "id": f"lake/{KEY}/1752619211123000",
    "selfLink": "https://www.googleapis.com/storage/v1/b/lake/o/in%2Fa%20b%2B%C3%BC.csv",
    "name": KEY,
    "bucket": "lake",
    "generation": "1752619211123000",
    "metageneration": "1",
    "contentType": "text/csv",
    "timeCreated": "2026-07-15T22:40:11.126Z",
    "updated": "2026-07-15T22:40:11.126Z",
    "size": "12",
    "md5Hash": "KEjYEZgpc//aNM+MhZnj9g==",
    "etag": "CLiAtJvM4Y8DEAE=",
}


def watched(state: str, body: Any) -> Received:
    headers = [*JSON, (b"x-goog-channel-id", b"1"), (b"x-goog-resource-state", state.encode())]
    return read(headers, json.dumps(body).encode() if body is not None else b"")


def test_an_object_that_a_channel_of_google_tells_of():
    (event,) = watched("exists", OBJECT).events
    assert (changes([event]), event.source, event.time) == (
        [("ObjectCreated:Put", KEY)],
        "google:storage..lake",
        OBJECT["updated"],
    )
    assert (event.read(S3Record).s3.object.size, event.read(S3Record).s3.object.eTag) == (12, MD5)
    by_pubsub = told("google-pubsub-finalize")[0]
    assert event.extensions == by_pubsub.extensions, "so the second of the two changes nothing"
    (gone,) = watched("not_exists", {**OBJECT, "timeDeleted": "2026-07-15T22:41:00Z"}).events
    assert (changes([gone]), gone.time) == ([("ObjectRemoved:Delete", KEY)], "2026-07-15T22:41:00Z")
    assert str(gone.extensions["sequence"]) > str(event.extensions["sequence"])


def test_what_a_channel_of_google_tells_besides_is_taken_and_left_alone():
    for received in (watched("sync", None), watched("exists", {**OBJECT, "metageneration": "2"})):
        assert (received.events, received.rejects) == ([], [])


@pytest.mark.parametrize(("state", "body"), [("exists", None), ("sync", {"kind": "calendar#event"}), ("eaten", {})])
def test_what_a_channel_of_another_service_tells_is_unknown(state, body):
    with pytest.raises(BadEvent, match="neither a CloudEvent nor a bucket notification"):
        watched(state, body)
