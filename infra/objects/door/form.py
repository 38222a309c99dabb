"""Uploads by browser forms (POST Object): the fields are read, the policy checked, and the file streams in like any PUT.

Source: Amazon S3 API Reference, "Browser-based uploads using POST": form fields, policy and its conditions, signatures 4 and 2.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping, MutableMapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlencode, urlsplit, urlunsplit

import msgspec
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.responses import Response

from infra.objects.door import objects, xml
from infra.objects.door.body import MOST, Disconnected
from infra.objects.door.errors import S3Error
from infra.objects.door.request import MAX_KEY, Request
from infra.objects.door.service import STORED, Service, answer, plain
from infra.objects.door.sigv4 import ALGORITHM, Signature, basic, credential, signing_key

#: Most bytes of everything before the file.
MOST_FIELDS = 64 << 10
#: Fields of a signature, version 4.
SIGNING = {"x-amz-algorithm", "x-amz-credential", "x-amz-date", "x-amz-signature", "x-amz-security-token"}
#: Fields that need no condition in the policy.
FREE = {"policy", "signature", "x-amz-signature", "awsaccesskeyid", "file"}


def is_form(request: Request) -> bool:
    """Whether a POST carries a form."""
    return request.headers.get("content-type", "").lower().startswith("multipart/form-data")


async def upload(service: Service, request: Request, keys: Mapping[str, str]) -> Response:
    """POST Object.

    Raises:
        S3Error: AccessDenied without a policy that allows it; the codes of a form or policy that cannot be read; those of PUT.

    """
    form = Form(request)
    await form.read_fields()
    form.key = form.fields.get("key", "").replace("${filename}", form.filename)
    if not form.key or len(form.key.encode()) > MAX_KEY:
        raise S3Error("KeyTooLongError" if form.key else "InvalidArgument", "The form needs a field named key.")
    policy = _signed(form, keys)
    form.bounds = _allowed(form, policy)
    form.describe()
    response = await objects.put(service, form, "ObjectCreated:Post")
    etag = response.headers["etag"]
    target = form.fields.get("success_action_redirect") or form.fields.get("redirect", "")
    if urlsplit(target).scheme in ("http", "https"):
        scheme, host, path, query, fragment = urlsplit(target)
        told = urlencode({"bucket": form.bucket, "key": form.key, "etag": etag})
        place = plain(urlunsplit((scheme, host, path, f"{query}&{told}" if query else told, fragment)))
        return Response(status_code=303, headers={"Location": place, "ETag": etag})
    place = f"{request.scope.get('scheme', 'http')}://{request.headers.get('host', '')}/{form.bucket}/{quote(form.key)}"
    status = form.fields.get("success_action_status", "")
    if status != "201":
        return Response(status_code=200 if status == "200" else 204, headers={"ETag": etag, "Location": place})
    made = answer("PostResponse", [("Location", place), ("Bucket", form.bucket), ("Key", form.key), ("ETag", etag)])
    made.status_code = 201
    made.headers.update({"ETag": etag, "Location": place})
    return made


class Form(Request):
    """The request that a form stands for: its fields are the headers, its file is the body."""

    measured = False  # only the end of the form tells how long its file is

    def __init__(self, outer: Request) -> None:
        super().__init__(outer.scope, self._file)
        self.id, self.bucket, self.method = outer.id, outer.bucket, "PUT"
        self.fields: dict[str, str] = {}
        self.filename = ""
        self.bounds = (0, MOST)
        self._outer = outer
        kind, options = parse_options_header(outer.headers.get("content-type", ""))
        if kind != b"multipart/form-data" or not 0 < len(options.get(b"boundary", b"")) <= 70:
            raise S3Error("MalformedPOSTRequest")
        names = ("part_begin", "part_data", "part_end", "header_field", "header_value", "header_end", "headers_finished", "end")
        calls: Any = {f"on_{name}": getattr(self, f"_{name}") for name in names}
        self._parser = MultipartParser(options[b"boundary"], calls)
        self._name = b""  # of the part at hand
        self._header, self._value = b"", b""
        self._content: list[bytes] = []
        self._read = self._taken = 0
        self._at_file = self._after_file = self._ended = False
        self._more = True  # of the form is still to come

    def describe(self) -> None:
        """Make headers of the fields that describe the object."""
        for name, value in self.fields.items():
            if name in STORED or name in ("content-md5", "acl") or (name.startswith("x-amz-") and name not in SIGNING):
                self.headers["x-amz-acl" if name == "acl" else name] = plain(value)
        if tagging := self.fields.get("tagging"):
            tags = [tag for found in xml.parse(tagging.encode(), "Tagging").all("TagSet") for tag in found.all("Tag")]
            self.headers["x-amz-tagging"] = urlencode([(tag.get("Key"), tag.get("Value")) for tag in tags])

    async def read_fields(self) -> None:
        """Read up to the file. Raises ``S3Error`` MalformedPOSTRequest or MaxPostPreDataLengthExceededError."""
        self._outer.body_begun = True
        while self._more and not self._at_file:
            await self._feed()
        if not self._at_file:
            raise S3Error("InvalidArgument", "The form needs exactly one field named file, its last.", ArgumentName="file")

    async def _file(self) -> MutableMapping[str, Any]:
        """The file as it arrives, in the form of the server's messages."""
        while self._more and not self._content:
            await self._feed()
        block = b"".join(self._content)
        self._content.clear()
        self._taken += len(block)
        least, most = self.bounds
        if self._taken > most:
            raise S3Error("EntityTooLarge", "The file is larger than the policy allows.", MaxSizeAllowed=str(most))
        if not self._more:
            if not self._ended:
                raise S3Error("MalformedPOSTRequest")
            if self._taken < least:
                raise S3Error("EntityTooSmall", "The file is smaller than the policy demands.", MinSizeAllowed=str(least))
        return {"type": "http.request", "body": block, "more_body": self._more}

    async def _feed(self) -> None:
        message = await self._outer.receive()
        if message["type"] != "http.request":
            raise Disconnected
        block: bytes = message.get("body", b"")
        try:
            self._parser.write(block)
        except FormParserError as error:
            raise S3Error("MalformedPOSTRequest") from error
        self._more = message.get("more_body", False)

    def _count(self, size: int) -> None:
        """So many bytes stand before the file: how they arrive, with it or in pieces, makes no difference."""
        self._read += 0 if self._at_file else size
        if self._read > MOST_FIELDS:
            raise S3Error("MaxPostPreDataLengthExceededError")

    def _part_begin(self) -> None:
        if self._at_file:
            self._after_file = True
        self._name = b""

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._count(end - start)
        self._header += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._count(end - start)
        self._value += data[start:end]

    def _header_end(self) -> None:
        if self._header.lower() == b"content-disposition" and not self._at_file:
            options = parse_options_header(self._value)[1]
            self._name = options.get(b"name", b"").lower()
            if self._name == b"file":  # browsers of old sent the whole path
                name = options.get(b"filename", b"").replace(b"\\", b"/").rpartition(b"/")[2]
                self.filename = _text(name, "filename")
        self._header, self._value = b"", b""

    def _headers_finished(self) -> None:
        self._at_file = self._at_file or self._name == b"file"

    def _part_data(self, data: bytes, start: int, end: int) -> None:
        if self._at_file and not self._after_file:
            self._content.append(data[start:end])
        elif not self._at_file:
            self._count(end - start)
            name = _text(self._name, "name")
            self.fields[name] = self.fields.get(name, "") + data[start:end].decode("latin-1")

    def _part_end(self) -> None:
        if not self._at_file:
            name = _text(self._name, "name")
            self.fields[name] = _text(self.fields.get(name, "").encode("latin-1"), name)

    def _end(self) -> None:
        self._ended = True


def _text(data: bytes, name: str) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise S3Error("InvalidArgument", f"The form's {name[:40]!r} is not UTF-8.", ArgumentName=name[:40]) from error


def _signed(form: Form, keys: Mapping[str, str]) -> dict[str, Any]:
    """The policy, whose signature is verified; ``form`` is then known to come from who signed it."""
    fields = form.fields
    policy = fields.get("policy", "")
    if not policy:
        raise S3Error("AccessDenied", "The form needs a signed policy.")
    if "x-amz-algorithm" in fields:
        moment = basic(fields.get("x-amz-date", ""))
        if fields["x-amz-algorithm"] != ALGORITHM or moment is None:
            raise S3Error("InvalidArgument", f"x-amz-algorithm must be {ALGORITHM}, x-amz-date like 20260301T120000Z.")
        access, scope = credential(fields.get("x-amz-credential", ""), moment, "InvalidArgument")
        given = fields.get("x-amz-signature", "")
        key = signing_key(keys.get(access, ""), *scope.split("/")[:3])
        expected = hmac.new(key, policy.encode(), hashlib.sha256).hexdigest()
    else:
        access, given = fields.get("awsaccesskeyid", ""), fields.get("signature", "")
        digest = hmac.new(keys.get(access, "").encode(), policy.encode(), hashlib.sha1).digest()
        expected = base64.b64encode(digest).decode()
    if not given:
        raise S3Error("InvalidArgument", "A form with a policy must have a field with its signature.")
    if access not in keys:
        raise S3Error("InvalidAccessKeyId", AWSAccessKeyId=access)
    if not hmac.compare_digest(expected.encode(), given.encode()):
        raise S3Error("SignatureDoesNotMatch", AWSAccessKeyId=access)
    form.signature = Signature(access)
    try:
        document = msgspec.json.decode(base64.b64decode(policy, validate=True), type=dict[str, Any])
        ends = datetime.fromisoformat(document["expiration"])
        if not isinstance(document["conditions"], list):
            raise TypeError("conditions are a list")
    except (binascii.Error, msgspec.DecodeError, KeyError, TypeError, ValueError) as error:
        raise S3Error("InvalidPolicyDocument", "The policy is base64 of JSON with expiration and conditions.") from error
    if (ends if ends.tzinfo else ends.replace(tzinfo=UTC)) < datetime.now(UTC):
        raise S3Error("AccessDenied", "Invalid according to Policy: Policy expired.")
    return document


def _allowed(form: Form, policy: Mapping[str, Any]) -> tuple[int, int]:
    """Check every field against the conditions; least and most bytes of the file.

    Raises:
        S3Error: AccessDenied for a condition that does not hold or a field that has none; InvalidPolicyDocument.

    """
    values = {**form.fields, "bucket": form.bucket, "key": form.key}
    met: set[str] = set()
    bounds = (0, MOST)
    for condition in policy["conditions"]:
        match condition:
            case ["content-length-range", int(least), int(most)] if 0 <= least <= most:
                bounds = max(bounds[0], least), min(bounds[1], most)
                continue
            case [str(operator), str(name), str(wanted)] if operator.lower() in ("eq", "starts-with") and name.startswith("$"):
                name, begins = name[1:].lower(), operator.lower() == "starts-with"
                tests = [(name, wanted, begins)]
            case dict() if condition and all(isinstance(wanted, str) for wanted in condition.values()):
                tests = [(name.lower(), wanted, False) for name, wanted in condition.items()]
            case _:
                raise S3Error("InvalidPolicyDocument", f"The policy has a condition that nobody knows: {str(condition)[:100]}")
        for name, wanted, begins in tests:
            value = values.get(name, "" if begins else None)
            # What is compared for the key is the text in the form where it still has ${filename}, or what becomes of it.
            found = [value, form.fields.get("key")] if name == "key" else [value]
            if not any(text is not None and (text.startswith(wanted) if begins else text == wanted) for text in found):
                raise S3Error("AccessDenied", f"Invalid according to Policy: Policy Condition failed: {str(condition)[:200]}")
            met.add(name)
    if loose := [name for name in values if name not in met | FREE and not name.startswith("x-ignore-")]:
        raise S3Error("AccessDenied", f"Invalid according to Policy: Extra input fields: {loose[0][:100]}")
    return bounds
