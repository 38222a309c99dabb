"""Presigned URLs: for some seconds, whoever has one may send or fetch one object, without keys.

Source: Amazon S3 API Reference, "Authenticating Requests: Using Query Parameters"; a URL lives at most seven days.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import msgspec

from events.errors import Reject
from events.ports import ObjectInfo
from infra.objects.providers import Providers
from infra.objects.s3 import S3Store, errors

LONGEST = 7 * 24 * 3600
MOST_PARTS = 10_000


class Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A part that was sent: its number, and the ``ETag`` that the store answered."""

    number: int
    etag: str


#: Digests that a store checks by itself: the parameter that asks for it, and the header that carries it.
BOUND = {
    "md5": ("ContentMD5", "content-md5"), "sha1": ("ChecksumSHA1", "x-amz-checksum-sha1"),
    "sha256": ("ChecksumSHA256", "x-amz-checksum-sha256"),
}  # fmt: skip


def put(
    objects: Providers, bucket: str, key: str, seconds: int, content_type: str = "", digests: Mapping[str, str] | None = None
) -> tuple[str, dict[str, str]]:
    """A URL to PUT the object to, and the headers that must be sent with it: its content type, and digests for the store."""
    more = {"ContentType": content_type} if content_type else {}
    headers = {"content-type": content_type} if content_type else {}
    strongest = next((name for name in ("sha256", "sha1") if name in (digests or {})), "")  # S3 takes one of these
    for name in {"md5", strongest} & (digests or {}).keys():
        parameter, header = BOUND[name]
        more[parameter] = headers[header] = base64.b64encode(bytes.fromhex((digests or {})[name])).decode()
    return _url(objects, "put_object", bucket, key, seconds, **more), headers


def get(objects: Providers | S3Store, bucket: str, key: str, seconds: int, version: str = "") -> str:
    """A URL to GET the object from, in one of its versions."""
    more = {"VersionId": version} if version else {}
    return _url(objects, "get_object", bucket, key, seconds, **more)


def begin(objects: Providers, bucket: str, key: str, parts: int, seconds: int, content_type: str = "") -> tuple[str, list[str]]:
    """Begin a multipart upload: its id, and a URL to PUT each part to. Raises ``Reject``, ``Retry``, ``NotFound``."""
    if not 1 <= parts <= MOST_PARTS:
        raise Reject(f"parts must lie between 1 and {MOST_PARTS}, not {parts}")
    store, name = objects.of(bucket)
    more = {"ContentType": content_type} if content_type else {}
    with errors(bucket, key):
        upload = store.client.create_multipart_upload(Bucket=name, Key=key, **more)["UploadId"]
    urls = [
        _url(objects, "upload_part", bucket, key, seconds, UploadId=upload, PartNumber=number) for number in range(1, parts + 1)
    ]
    return upload, urls


def complete(objects: Providers, bucket: str, key: str, upload: str, parts: list[Part]) -> ObjectInfo:
    """Make one object of the parts. Raises ``Reject`` for parts that the store does not have, ``Retry``, ``NotFound``."""
    store, name = objects.of(bucket)
    told = [{"PartNumber": part.number, "ETag": part.etag} for part in sorted(parts, key=lambda part: part.number)]
    with errors(bucket, key):
        store.client.complete_multipart_upload(Bucket=name, Key=key, UploadId=upload, MultipartUpload={"Parts": told})
    return objects.head(bucket, key)


def abort(objects: Providers, bucket: str, key: str, upload: str) -> None:
    """Forget a multipart upload and its parts."""
    store, name = objects.of(bucket)
    with errors(bucket, key):
        store.client.abort_multipart_upload(Bucket=name, Key=key, UploadId=upload)


def checked(seconds: int) -> int:
    """For how long a URL shall be good. Raises ``Reject`` where none can be."""
    if not 1 <= seconds <= LONGEST:
        raise Reject(f"ttl must lie between 1 and {LONGEST} seconds, not {seconds}")
    return seconds


def _url(objects: Providers | S3Store, operation: str, bucket: str, key: str, seconds: int, **more: Any) -> str:
    store, name = objects.of(bucket) if isinstance(objects, Providers) else (objects, bucket)
    url: str = store.client.generate_presigned_url(operation, {"Bucket": name, "Key": key, **more}, ExpiresIn=checked(seconds))
    return url
