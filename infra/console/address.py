"""Addresses of objects: ``s3://bucket/key``, as people and programs write them."""

from __future__ import annotations

from infra.console.client import Complaint

SCHEME = "s3://"


def parse(address: str) -> tuple[str, str]:
    """Bucket and key (or prefix, possibly empty) of ``s3://bucket/key``. Nothing is decoded: a key is any text.

    Raises:
        Complaint: it is written otherwise, or names no bucket.

    """
    bucket, _, key = address.removeprefix(SCHEME).partition("/")
    if not address.startswith(SCHEME) or not bucket:
        raise Complaint(f"{address!r} is no address of objects: write s3://BUCKET or s3://BUCKET/KEY")
    return bucket, key


def full(address: str) -> tuple[str, str]:
    """Bucket and key of one object. Raises ``Complaint`` where the key is missing."""
    bucket, key = parse(address)
    if not key:
        raise Complaint(f"{address!r} names a bucket but no object in it: write s3://{bucket}/KEY")
    return bucket, key
