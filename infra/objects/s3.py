"""Objects in any S3 store (the door, Ceph RGW, MinIO, AWS) behind the ``ObjectStore`` port, through boto3."""

from __future__ import annotations

import base64
import builtins
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.config import Config as BotoConfig
from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError

from events.errors import Reject, Retry
from events.ports import Changed, NotFound, ObjectInfo

CHUNK = 1 << 20
#: What a store answers when asking again later may help.
TRANSIENT = {429, 500, 502, 503, 504}


class S3Store:
    """One S3 endpoint with one pair of keys. Thread-safe; ``close`` frees its connections."""

    def __init__(self, endpoint: str, access_key: str, secret_key: str, region: str = "us-east-1") -> None:
        self.endpoint = endpoint
        #: Access key, secret key and region, for clients of other kinds; empty keys are found as boto3 does.
        self.keys = access_key, secret_key, region
        self.client: Any = boto3.client(
            "s3",
            endpoint_url=endpoint or None,
            aws_access_key_id=access_key or None,
            aws_secret_access_key=secret_key or None,
            region_name=region,
            config=BotoConfig(
                signature_version="s3v4",  # of presigned URLs too, where boto3 would still take version 2
                # Ceph over TLS refuses the trailing checksums that boto3 sends unasked; the ETag and our digest guard content.
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
                s3={"addressing_style": "path"},
                retries={"mode": "standard", "max_attempts": 3},
                connect_timeout=5,
                read_timeout=60,
                max_pool_connections=32,
            ),
        )

    def head(self, bucket: str, key: str, *, version: str = "") -> ObjectInfo:
        more = {"VersionId": version} if version else {}
        with errors(bucket, key):
            return _info(bucket, key, self.client.head_object(Bucket=bucket, Key=key, ChecksumMode="ENABLED", **more))

    def read(self, bucket: str, key: str, start: int, end: int, *, etag: str = "") -> bytes:
        if end <= start:
            return b""
        more = {"IfMatch": f'"{etag}"'} if etag else {}
        with errors(bucket, key):
            try:
                got = self.client.get_object(Bucket=bucket, Key=key, Range=f"bytes={start}-{end - 1}", **more)
            except ClientError as error:
                if start == 0 and error.response["Error"].get("Code") == "InvalidRange":
                    return b""  # it is empty, and no range lies within it
                raise
            with got["Body"] as body:
                data: bytes = body.read()
                return data

    def stream(self, bucket: str, key: str, *, etag: str = "") -> Generator[bytes, None, None]:
        more = {"IfMatch": f'"{etag}"'} if etag else {}
        with errors(bucket, key):
            got = self.client.get_object(Bucket=bucket, Key=key, **more)
            with got["Body"] as body:
                while chunk := body.read(CHUNK):
                    yield chunk

    def write(self, bucket: str, key: str, data: bytes, *, content_type: str = "application/octet-stream") -> ObjectInfo:
        with errors(bucket, key):
            try:
                put = self.client.put_object(Bucket=bucket, Key=key, Body=data, ContentType=content_type)
            except self.client.exceptions.NoSuchBucket:
                self.ensure(bucket)
                put = self.client.put_object(Bucket=bucket, Key=key, Body=data, ContentType=content_type)
        return ObjectInfo(bucket=bucket, key=key, size=len(data), etag=put["ETag"].strip('"'), content_type=content_type)

    def create(self, bucket: str, key: str, data: bytes, *, content_type: str = "application/octet-stream") -> ObjectInfo:
        """Write it unless the key is taken; what is there then, mine or another's. The bucket must exist."""
        with errors(bucket, key):
            try:
                put = self.client.put_object(Bucket=bucket, Key=key, Body=data, ContentType=content_type, IfNoneMatch="*")
            except ClientError as error:
                if error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") not in (409, 412):
                    raise
                return self.head(bucket, key)
        return ObjectInfo(bucket=bucket, key=key, size=len(data), etag=put["ETag"].strip('"'), content_type=content_type)

    def upload(self, bucket: str, key: str, file: Path, *, content_type: str, user: dict[str, str]) -> ObjectInfo:
        def put() -> None:
            with file.open("rb") as content:
                more = {"ContentType": content_type, "Metadata": user}
                self.client.upload_fileobj(content, bucket, key, ExtraArgs=more, Config=TransferConfig(use_threads=False))

        with errors(bucket, key):
            try:
                put()
            except self.client.exceptions.NoSuchBucket:
                self.ensure(bucket)
                put()
        return self.head(bucket, key)

    def delete(self, bucket: str, key: str) -> None:
        with errors(bucket, key):
            self.client.delete_object(Bucket=bucket, Key=key)

    def list(self, bucket: str, prefix: str = "", *, after: str = "") -> Iterator[ObjectInfo]:
        """In the order of keys, a page of 1000 at a time; ``after`` is the key to go on behind."""
        more = {"StartAfter": after} if after else {}
        with errors(bucket, prefix):
            for page in self.client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix, **more):
                for item in page.get("Contents", ()):
                    yield _info(bucket, item["Key"], {**item, "ContentLength": item["Size"]})

    def buckets(self) -> builtins.list[str]:
        """The names of the buckets these keys may see."""
        with errors("", ""):
            return [bucket["Name"] for bucket in self.client.list_buckets()["Buckets"]]

    def ensure(self, bucket: str) -> None:
        """Create the bucket unless it is there."""
        ours = self.client.exceptions
        with errors(bucket, ""), suppress(ours.BucketAlreadyOwnedByYou, ours.BucketAlreadyExists):
            self.client.create_bucket(Bucket=bucket)

    def close(self) -> None:
        """Free the connections."""
        self.client.close()


def _info(bucket: str, key: str, answer: dict[str, Any]) -> ObjectInfo:
    modified = answer.get("LastModified")
    return ObjectInfo(
        bucket=bucket,
        key=key,
        size=answer["ContentLength"],
        etag=answer["ETag"].strip('"'),
        modified=modified.isoformat().replace("+00:00", "Z") if modified else "",
        version=answer.get("VersionId", ""),
        content_type=answer.get("ContentType", "application/octet-stream"),
        user=answer.get("Metadata", {}),
        digests=_digests(answer),
    )


def _digests(answer: dict[str, Any]) -> dict[str, str]:
    """The checksums of the whole object; those of parts put together say nothing of it."""
    if answer.get("ChecksumType") == "COMPOSITE":
        return {}
    told = {name.lower(): answer.get(f"Checksum{name}", "") for name in ("CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256")}
    try:
        return {name: base64.b64decode(value, validate=True).hex() for name, value in told.items() if value}
    except ValueError:  # VALUE-PARTS, as stores have it that know no type
        return {}


@contextmanager
def errors(bucket: str, key: str) -> Iterator[None]:
    """Botocore's errors as ours: gone, changed, later, or never."""
    what = f"s3://{bucket}/{key}" if bucket else "the object store"
    try:
        yield
    except ClientError as error:
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        code, text = error.response["Error"].get("Code", ""), error.response["Error"].get("Message", "")
        if status == 404:
            raise NotFound(f"{what} does not exist ({code})") from error
        if status == 412:
            raise Changed(f"{what} changed since it was described: its ETag differs") from error
        if status in TRANSIENT:
            raise Retry(f"{what}: the store answered {status} {code} {text}") from error
        raise Reject(f"{what}: the store refused with {status} {code} {text}".rstrip()) from error
    except ParamValidationError as error:
        raise Reject(f"{what}: no store has that: {error}") from error
    except (BotoCoreError, OSError) as error:
        raise Retry(f"{what}: the store cannot be reached: {error}") from error
