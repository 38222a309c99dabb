"""Signature Version 2 in presigned URLs: what boto3 still makes by default for the region us-east-1. Nowhere else.

Source: Amazon S3 User Guide, "Signing and authenticating REST requests (AWS signature version 2)", query string authentication.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping
from datetime import UTC, datetime

from infra.objects.door.errors import S3Error
from infra.objects.door.request import Request
from infra.objects.door.sigv4 import Signature

#: Query parameters that belong to the resource that is signed.
SIGNED = frozenset(
    """accelerate acl analytics cors defaultObjectAcl delete inventory lifecycle location logging metrics notification
    object-lock partNumber policy replication requestPayment response-cache-control response-content-disposition response-
    content-encoding response-content-language response-content-type response-expires restore select select-type
    storageClass tagging torrent uploadId uploads versionId versioning versions website""".split()  # noqa: SIM905
)


def verify(request: Request, keys: Mapping[str, str], now: datetime | None = None) -> Signature:
    """Who signed the URL.

    Raises:
        S3Error: AccessDenied (malformed or expired), InvalidAccessKeyId, SignatureDoesNotMatch.

    """
    query = request.query
    expires, access_key = query.get("Expires", ""), query["AWSAccessKeyId"]
    if not re.fullmatch("[0-9]{1,12}", expires) or "Signature" not in query:
        raise S3Error("AccessDenied", "A query signature needs AWSAccessKeyId, Expires (a number) and Signature.")
    if (now or datetime.now(UTC)).timestamp() > int(expires):
        raise S3Error("AccessDenied", "Request has expired.", Expires=expires)
    secret = keys.get(access_key)
    if secret is None:
        raise S3Error("InvalidAccessKeyId", AWSAccessKeyId=access_key)
    amz = {name.lower(): value for name, value in request.pairs if name.lower().startswith("x-amz-")}
    amz |= {name: value for name, value in request.headers.items() if name.startswith("x-amz-")}
    resource = request.scope["raw_path"].decode("latin-1")
    parts = [f"{name}={value}" if value else name for name, value in sorted(request.pairs) if name in SIGNED]
    text = "\n".join(
        (
            request.method,
            request.headers.get("content-md5", query.get("content-md5", "")),
            request.headers.get("content-type", query.get("content-type", "")),
            expires,
            *(f"{name}:{amz[name]}" for name in sorted(amz)),
            resource + ("?" + "&".join(parts) if parts else ""),
        )
    )
    expected = base64.b64encode(hmac.new(secret.encode(), text.encode("utf-8"), hashlib.sha1).digest())
    if not hmac.compare_digest(expected, query["Signature"].encode("utf-8", "replace")):
        raise S3Error("SignatureDoesNotMatch", AWSAccessKeyId=access_key)
    return Signature(access_key)
