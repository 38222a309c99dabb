"""One S3 request: which bucket and key, which query and headers, read strictly from the ASGI scope."""

from __future__ import annotations

import re
import secrets
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote_to_bytes

from starlette.types import Receive, Scope

from infra.objects.door.errors import S3Error
from infra.objects.door.notify import OWNER

if TYPE_CHECKING:
    from infra.objects.door.sigv4 import Signature

MAX_HEADERS = 16 * 1024
MAX_KEY = 1024
BAD_PERCENT = re.compile(rb"%(?![0-9A-Fa-f]{2})")
#: Each label between dots must be one of a host name; S3 keeps some beginnings and ends for itself.
BUCKET = re.compile(
    r"(?!xn--|sthree-|\d+\.\d+\.\d+\.\d+$|.*(?:\.\.|\.-|-\.|-s3alias$|--ol-s3$|--x-s3$|--table-s3$|\.mrap$))"
    r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]"
)


class Request:
    """A request as S3 understands it. ``bucket`` and ``key`` are decoded and empty where the path has none.

    ``headers`` has lower-case names; values of repeated headers are joined with commas. ``signature`` is set once verified.
    """

    #: Whether the client must tell the length of the body before sending it.
    measured = True

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self.id = secrets.token_hex(8).upper()
        self.scope = scope
        self.receive = receive
        self.method: str = scope["method"]
        self.bucket = self.key = ""
        self.query: dict[str, str] = {}
        self.pairs: list[tuple[str, str]] = []
        self.headers: dict[str, str] = {}
        self.signature: Signature | None = None
        self.body_begun = False

    def read(self) -> None:
        """Fill in what the path, the query and the headers say.

        Raises:
            S3Error: InvalidURI, KeyTooLongError, InvalidBucketName, RequestHeaderSectionTooLarge or AccessDenied (when
                the request expects another owner).

        """
        pairs: list[tuple[bytes, bytes]] = self.scope["headers"]
        if sum(len(name) + len(value) for name, value in pairs) > MAX_HEADERS:
            raise S3Error("RequestHeaderSectionTooLarge")
        for name, value in pairs:
            text = name.decode("latin-1")
            decoded = value.decode("latin-1").strip()
            self.headers[text] = f"{self.headers[text]},{decoded}" if text in self.headers else decoded
        raw: bytes = self.scope["raw_path"]
        query: bytes = self.scope["query_string"]
        if BAD_PERCENT.search(raw) or BAD_PERCENT.search(query):
            raise S3Error("InvalidURI", "A percent sign in the URI is not followed by two hexadecimal digits.")
        bucket, _, key = raw.removeprefix(b"/").partition(b"/")
        if len(unquote_to_bytes(key)) > MAX_KEY:
            raise S3Error("KeyTooLongError", Size=str(len(unquote_to_bytes(key))), MaxSizeAllowed=str(MAX_KEY))
        try:
            self.bucket = unquote_to_bytes(bucket).decode()
            self.key = unquote_to_bytes(key).decode()
            self.pairs = parse_qsl(query.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=100)
        except UnicodeDecodeError as error:
            raise S3Error("InvalidURI") from error
        except ValueError as error:
            raise S3Error("InvalidURI", "The query has more than 100 parameters.") from error
        for parameter, text in self.pairs:
            self.query.setdefault(parameter, text)
        if self.bucket and not BUCKET.fullmatch(self.bucket):
            raise S3Error("InvalidBucketName", BucketName=self.bucket)
        for expected in ("x-amz-expected-bucket-owner", "x-amz-source-expected-bucket-owner"):
            if self.header(expected) not in ("", OWNER):
                raise S3Error("AccessDenied", f"The bucket's owner is {OWNER}, not the one that {expected} expects.")

    def header(self, name: str) -> str:
        """A header's value, empty if missing. An ``x-amz-`` one may stand in a presigned URL's query instead."""
        return self.headers.get(name, "") or (self.query.get(name, "") if name.startswith("x-amz-") else "")

    def number(self, name: str, default: int, most: int = 2**31 - 1) -> int:
        """A whole number from 0 to ``most`` in the query.

        Raises:
            S3Error: InvalidArgument, when it is none.

        """
        text = self.query.get(name, "")
        if not text:
            return default
        if not re.fullmatch(r"[0-9]{1,10}", text) or int(text) > most:
            raise S3Error(
                "InvalidArgument", f"{name} must be a whole number from 0 to {most}, not {text[:40]!r}.", ArgumentName=name
            )
        return int(text)

    @property
    def verified(self) -> Signature:
        """Who signed it; only for requests that ``app`` has let in."""
        if self.signature is None:
            raise S3Error("AccessDenied")
        return self.signature

    @property
    def length(self) -> int | None:
        """Content-Length, or ``None`` when the client does not tell."""
        text = self.headers.get("content-length")
        if text is None:
            return None
        if not re.fullmatch(r"[0-9]{1,15}", text):
            raise S3Error("InvalidArgument", "Content-Length is not a number.")
        return int(text)

    @property
    def resource(self) -> str:
        """The path as error answers name it."""
        return f"/{self.bucket}/{self.key}" if self.key else f"/{self.bucket}"

    @property
    def source_address(self) -> str:
        """The client's IP address, empty if the server does not know it."""
        client: Any = self.scope.get("client")
        return str(client[0]) if client else ""
