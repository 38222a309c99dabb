"""AWS Signature Version 4, verified: in the Authorization header and in presigned URLs, and of single chunks.

Source: Amazon S3 API Reference, "Authenticating Requests (AWS Signature Version 4)".
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import lru_cache
from urllib.parse import quote, unquote_to_bytes

from infra.objects.door.errors import S3Error
from infra.objects.door.request import Request

ALGORITHM = "AWS4-HMAC-SHA256"
UNSIGNED = "UNSIGNED-PAYLOAD"
EMPTY = hashlib.sha256(b"").hexdigest()
SKEW = timedelta(minutes=15)
LONGEST = 7 * 24 * 3600
DATE = "%Y%m%dT%H%M%SZ"
_FIELDS = re.compile(r"\s*(Credential|SignedHeaders|Signature)\s*=\s*([^,\s]+)\s*(?:,|$)")


@dataclass(frozen=True)
class Signature:
    """A verified request: who signed it, and what signing the chunks of its body needs."""

    access_key: str
    date: str = ""
    scope: str = ""
    key: bytes = b""
    signature: str = ""
    payload: str = UNSIGNED

    def of(self, kind: str, previous: str, *digests: str) -> str:
        """The signature of a chunk (kind ``PAYLOAD``) or of the trailer (kind ``TRAILER``) that follows ``previous``."""
        text = "\n".join((f"{ALGORITHM}-{kind}", self.date, self.scope, previous, *digests))
        return hmac.new(self.key, text.encode(), hashlib.sha256).hexdigest()


def verify(request: Request, keys: Mapping[str, str], now: datetime | None = None) -> Signature:
    """Who signed the request.

    Args:
        request: read, its body not begun.
        keys: access key -> secret key.
        now: the present (UTC), for tests.

    Raises:
        S3Error: AccessDenied without a signature or outside its time; InvalidAccessKeyId; SignatureDoesNotMatch;
            RequestTimeTooSkewed; or one of the codes for what cannot be read.

    """
    present = now or datetime.now(UTC)
    if "X-Amz-Algorithm" in request.query:
        if "authorization" in request.headers:
            raise S3Error(
                "InvalidArgument", "Only one way of signing is allowed; this request has a header and a query signature."
            )
        return _presigned(request, keys, present)
    authorization = request.headers.get("authorization", "")
    if not authorization:
        raise S3Error("AccessDenied")
    return _header(request, authorization, keys, present)


def _header(request: Request, authorization: str, keys: Mapping[str, str], now: datetime) -> Signature:
    algorithm, _, rest = authorization.partition(" ")
    if algorithm != ALGORITHM:
        raise S3Error("InvalidRequest", f"Please sign with {ALGORITHM}; {algorithm[:40]!r} is not supported.")
    fields = dict(_FIELDS.findall(rest))
    if len(fields) != 3 or _FIELDS.sub("", rest).strip():
        raise S3Error("AuthorizationHeaderMalformed", "The header needs Credential, SignedHeaders and Signature.")
    payload = request.headers.get("x-amz-content-sha256", "")
    if not payload:
        raise S3Error("InvalidRequest", "Missing required header for this request: x-amz-content-sha256")
    moment = _header_date(request)
    access_key, scope = credential(fields["Credential"], moment, "AuthorizationHeaderMalformed")
    if abs(moment - now) > SKEW:
        raise S3Error("RequestTimeTooSkewed", RequestTime=moment.strftime(DATE), ServerTime=now.strftime(DATE))
    return _check(request, keys, access_key, moment, scope, fields["SignedHeaders"], fields["Signature"], payload)


def _presigned(request: Request, keys: Mapping[str, str], now: datetime) -> Signature:
    wrong = "AuthorizationQueryParametersError"
    query = request.query
    names = ("X-Amz-Credential", "X-Amz-Date", "X-Amz-Expires", "X-Amz-SignedHeaders", "X-Amz-Signature")
    if missing := [name for name in names if not query.get(name)]:
        raise S3Error(wrong, f"A presigned URL needs {missing[0]}.")
    if query["X-Amz-Algorithm"] != ALGORITHM:
        raise S3Error(wrong, f"X-Amz-Algorithm must be {ALGORITHM}.")
    if len({name for name, _ in request.pairs if name in names}) != sum(name in names for name, _ in request.pairs):
        raise S3Error(wrong, "A parameter of the signature stands in the URL twice.")
    expires = query["X-Amz-Expires"]
    if not re.fullmatch("[0-9]{1,9}", expires) or not 1 <= int(expires) <= LONGEST:
        raise S3Error(wrong, f"X-Amz-Expires must be a number of seconds from 1 to {LONGEST}.")
    moment = basic(query["X-Amz-Date"])
    if moment is None:
        raise S3Error(wrong, "X-Amz-Date must be in the ISO 8601 long format \"yyyyMMdd'T'HHmmss'Z'\".")
    access_key, scope = credential(query["X-Amz-Credential"], moment, wrong)
    if moment - now > SKEW:
        raise S3Error("AccessDenied", "Request is not valid yet.")
    ends = moment + timedelta(seconds=int(expires))
    if now > ends:
        raise S3Error("AccessDenied", "Request has expired.", Expires=ends.strftime(DATE), ServerTime=now.strftime(DATE))
    payload = request.header("x-amz-content-sha256") or query.get("X-Amz-Content-Sha256", UNSIGNED)
    return _check(request, keys, access_key, moment, scope, query["X-Amz-SignedHeaders"], query["X-Amz-Signature"], payload)


def _check(
    request: Request,
    keys: Mapping[str, str],
    access_key: str,
    moment: datetime,
    scope: str,
    signed: str,
    signature: str,
    payload: str,
) -> Signature:
    secret = keys.get(access_key)
    if secret is None:
        raise S3Error("InvalidAccessKeyId", AWSAccessKeyId=access_key)
    names = signed.lower().split(";")
    if "host" not in names:
        raise S3Error("AccessDenied", "The Host header must be signed.")
    if loose := [name for name in request.headers if name.startswith("x-amz-") and name not in names]:
        raise S3Error(
            "AccessDenied", "There were headers present in the request which were not signed.", HeadersNotSigned=",".join(loose)
        )
    date = moment.strftime(DATE)
    text = "\n".join((ALGORITHM, date, scope, hashlib.sha256(_canonical(request, names, payload)).hexdigest()))
    key = signing_key(secret, *scope.split("/")[:3])
    expected = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
    if not hmac.compare_digest(expected.encode(), signature.encode("utf-8", "replace")):
        raise S3Error("SignatureDoesNotMatch", AWSAccessKeyId=access_key)
    return Signature(access_key, date, scope, key, signature, payload)


@lru_cache(maxsize=64)
def signing_key(secret: str, date: str, region: str, service: str) -> bytes:
    """The key of one day, region and service, derived from the secret key."""
    key = b"AWS4" + secret.encode()
    for part in (date, region, service, "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return key


def _canonical(request: Request, names: list[str], payload: str) -> bytes:
    """The canonical request. Header values are taken as the bytes they came as."""
    values: dict[bytes, list[bytes]] = {}
    for name, value in request.scope["headers"]:
        values.setdefault(name, []).append(b" ".join(value.split()))
    query = sorted(
        (quote(name, safe="-_.~"), quote(value, safe="-_.~")) for name, value in request.pairs if name != "X-Amz-Signature"
    )
    return b"\n".join(
        (
            request.method.encode(),
            quote(unquote_to_bytes(request.scope["raw_path"]), safe="/-_.~").encode(),
            "&".join(f"{name}={value}" for name, value in query).encode(),
            *(name.encode() + b":" + b",".join(values.get(name.encode(), ())) for name in names),
            b"",
            ";".join(names).encode(),
            payload.encode("utf-8", "replace"),
        )
    )


def credential(text: str, moment: datetime, wrong: str) -> tuple[str, str]:
    """Access key and scope of a credential. Any region will do: it is part of what is signed, and there is one door."""
    access_key, *scope = text.rsplit("/", 4)
    if len(scope) != 4 or scope[2:] != ["s3", "aws4_request"]:
        raise S3Error(wrong, "The credential must read ACCESS_KEY/DATE/REGION/s3/aws4_request.")
    if scope[0] != moment.strftime("%Y%m%d"):
        raise S3Error(wrong, "The credential's date differs from the request's.")
    return access_key, "/".join(scope)


def _header_date(request: Request) -> datetime:
    """When the request says it was signed: ``x-amz-date``, else ``Date``."""
    text = request.headers.get("x-amz-date") or request.headers.get("date", "")
    moment = basic(text)
    if moment is None and text:
        try:
            moment = parsedate_to_datetime(text).astimezone(UTC)
        except (ValueError, OverflowError):
            moment = None
    if moment is None:
        raise S3Error("AccessDenied", "A signed request needs a valid x-amz-date or Date header.")
    return moment


def basic(text: str) -> datetime | None:
    """An ISO 8601 basic time in UTC, the form signatures use."""
    if not re.fullmatch(r"[0-9]{8}T[0-9]{6}Z", text):
        return None
    try:
        return datetime.strptime(text, DATE).replace(tzinfo=UTC)
    except ValueError:
        return None
