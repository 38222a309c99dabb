"""Ingest: one read, the right digest and format, and silence about what has changed since."""

from __future__ import annotations

import hashlib
import os
from functools import partial

import msgspec
import pytest
from blake3 import blake3

from events.errors import Reject
from events.types import ObjectIngested, S3Record
from functions.ingest import HEAD, Lane, ingest


class Claimed:
    """The ``Claims`` port with one answer."""

    def __init__(self, **digests: str) -> None:
        self._digests = digests

    def claimed(self, bucket: str, key: str, etag: str) -> dict[str, str]:
        return self._digests


UNCLAIMED = Claimed()


def run(event, objects, settings, claims=UNCLAIMED):
    return [reply.read(ObjectIngested) for reply in ingest(event, event.read(S3Record), objects, settings, claims)]


@pytest.mark.parametrize(("algorithm", "oracle"), [("sha256", hashlib.sha256), ("sha512", hashlib.sha512), ("blake3", blake3)])
@pytest.mark.parametrize("size", [1, HEAD - 1, HEAD, HEAD + 1, 3_500_000])
def test_the_digest_is_of_every_byte_by_the_configured_algorithm(notified, objects, settings, algorithm, oracle, size):
    content = b"\0" + os.urandom(size - 1)  # a single byte at random may be a letter, and the object a text
    (event,) = notified(("x.bin", content))
    (found,) = run(event, objects, msgspec.structs.replace(settings, digest=algorithm))
    assert found.digest == f"{algorithm}:{oracle(content).hexdigest()}"
    assert (found.bucket, found.key, found.size, found.format) == ("raw", "x.bin", size, "opaque")
    assert found.etag == hashlib.md5(content).hexdigest()


def test_the_format_is_told_from_content_not_only_the_name(notified, objects, settings):
    (event,) = notified(("table.bin", b"a,b\n1,2\n3,4\n"))
    assert run(event, objects, settings)[0].format == "csv"
    (event,) = notified(("table.csv", b"\x89PNG\r\n\x1a\n" + os.urandom(1000)))
    assert run(event, objects, settings)[0].format == "opaque"


def test_what_the_scanner_saw_travels_with_the_event(notified, objects, settings):
    (event,) = notified(("t.csv", b"a,b\n" + b"1,2\n" * 500_000))
    (found,) = run(event, objects, settings)
    assert found.scan["records"] == 500_001
    assert len(msgspec.json.encode(found.scan)) < 20_000


def test_an_empty_object_is_rejected_with_its_name(notified, objects, settings):
    (event,) = notified(("a/ü.csv", b""))
    with pytest.raises(Reject, match=r"s3://raw/a/ü\.csv is empty"):
        run(event, objects, settings)


def test_folder_markers_tag_changes_and_the_lakes_own_bucket_are_no_content(notified, objects, settings):
    marker, other = notified(("folder/", b""), ("x", b"1"))
    assert run(marker, objects, settings) == []
    record = other.read(S3Record)
    assert list(ingest(other, record, objects, msgspec.structs.replace(settings, bucket="raw"), Claimed())) == []
    tagged = msgspec.structs.replace(record, eventName="ObjectCreated:PutTagging")
    assert list(ingest(other, tagged, objects, settings, Claimed())) == []


def test_an_object_changed_or_removed_since_is_left_to_its_newer_event(notified, objects, settings):
    first, second = notified(("x", b"one"), ("x", b"two"))
    assert run(first, objects, settings) == []
    assert run(second, objects, settings)[0].sequence > str(first.extensions["sequence"])
    third, _ = notified(("y", b"one"), ("y", None))
    assert run(third, objects, settings) == []


def test_an_error_in_a_lane_reaches_the_reader_and_nothing_hangs():
    def fails(chunk: bytes) -> None:
        raise ValueError("in the lane")

    with pytest.raises(ValueError, match="in the lane"), Lane(fails) as lane:  # noqa: PT012
        for _ in range(100):
            lane.take(b"x")
    with pytest.raises(KeyError), Lane(fails) as lane:
        raise KeyError("the reader's own error wins")


@pytest.mark.parametrize("algorithm", ["md5", "sha1", "sha256", "sha512", "blake3"])
def test_what_was_claimed_is_held_against_the_content(notified, objects, settings, algorithm):
    content = os.urandom(300_000)
    (event,) = notified(("x.bin", content))
    made = (blake3 if algorithm == "blake3" else partial(hashlib.new, algorithm))(content).hexdigest()
    (found,) = run(event, objects, settings, Claimed(**{algorithm: made}))
    assert found.digests.get(algorithm, found.digest.partition(":")[2]) == made
    wrong = made[:-1] + "01"[made[-1] == "0"]
    with pytest.raises(Reject, match=rf"s3://raw/x\.bin is not what .* its {algorithm} is {made}, not {wrong}"):
        run(event, objects, settings, Claimed(**{algorithm: wrong}))
