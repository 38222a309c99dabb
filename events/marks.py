"""What the result of a binding says of where it comes from: user metadata, which stays with the object."""

from __future__ import annotations

from urllib.parse import quote, unquote

from events.types import FunctionRequested, ObjectVersion

#: The bindings that led to a result, the address of the original, and which version that was.
BINDINGS, SOURCE, ETAG = "sluice-bindings", "sluice-source", "sluice-source-etag"


def marks(request: FunctionRequested) -> dict[str, str]:
    """The user metadata of what is made for a request. No binding works on what it had a part in itself."""
    return {BINDINGS: ",".join([*request.derived, request.binding]), SOURCE: address(request), ETAG: request.etag}


def address(of: ObjectVersion) -> str:
    """An object's address in ASCII."""
    return f"s3://{quote(of.bucket, safe=':')}/{quote(of.key)}"


def place_of(address: str) -> tuple[str, str]:
    """The bucket and key of such an address."""
    bucket, _, key = address.removeprefix("s3://").partition("/")
    return unquote(bucket), unquote(key)
