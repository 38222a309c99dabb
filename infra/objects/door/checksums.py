"""The checksums of S3: CRC-32, CRC-32C, CRC-64/NVME, SHA-1 and SHA-256, fed piece by piece and combined over parts.

Source: Amazon S3 User Guide, "Checking object integrity". The CRCs beyond zlib's are those of AWS' own common runtime.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import zlib
from collections.abc import Callable
from typing import Protocol

from awscrt import checksums as crt  # type: ignore[import-untyped]

from infra.objects.door.errors import S3Error

PREFIX = "x-amz-checksum-"
#: Algorithm as headers spell it -> number of bytes.
SIZES = {"crc32": 4, "crc32c": 4, "crc64nvme": 8, "sha1": 20, "sha256": 32}
COMBINE: dict[str, Callable[[int, int, int], int]] = {
    "crc32": crt.combine_crc32,
    "crc32c": crt.combine_crc32c,
    "crc64nvme": crt.combine_crc64nvme,
}
_CRC: dict[str, Callable[[bytes, int], int]] = {"crc32": zlib.crc32, "crc32c": crt.crc32c, "crc64nvme": crt.crc64nvme}


class Digest(Protocol):
    """What ``hashlib`` objects are, and ``Crc`` too."""

    def update(self, data: bytes, /) -> None: ...

    def digest(self) -> bytes: ...


class Crc:
    """A cyclic redundancy check with the interface of a hash."""

    def __init__(self, algorithm: str) -> None:
        self._step = _CRC[algorithm]
        self._size = SIZES[algorithm]
        self._value = 0

    def update(self, data: bytes, /) -> None:
        self._value = self._step(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(self._size, "big")


def new(algorithm: str) -> Digest:
    """A fresh digest of that algorithm (spelt as in headers)."""
    if algorithm in _CRC:
        return Crc(algorithm)
    return hashlib.new(algorithm, usedforsecurity=False)


def decode(algorithm: str, text: str) -> bytes:
    """The bytes of a checksum as headers carry it (base64).

    Raises:
        S3Error: InvalidRequest, when it is no base64 or has the wrong length.

    """
    try:
        value = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        value = b""
    if len(value) != SIZES[algorithm]:
        raise S3Error("InvalidRequest", f"Value for {PREFIX}{algorithm} header is invalid.")
    return value


def encode(value: bytes) -> str:
    """A checksum as headers carry it."""
    return base64.b64encode(value).decode()


def algorithm_named(name: str) -> str:
    """An algorithm as ``x-amz-checksum-algorithm`` and the like name it (``CRC32``), as headers spell it (``crc32``).

    Raises:
        S3Error: InvalidRequest, when nobody knows it.

    """
    if name.lower() not in SIZES:
        raise S3Error("InvalidRequest", f"The checksum algorithm {name!r} is unknown; use one of {', '.join(SIZES).upper()}.")
    return name.lower()


def composite(algorithm: str, parts: list[str]) -> str:
    """The checksum of the parts' checksums, with their number: what S3 calls COMPOSITE."""
    digest = new(algorithm)
    for part in parts:
        digest.update(base64.b64decode(part))
    return f"{encode(digest.digest())}-{len(parts)}"


def whole(algorithm: str, parts: list[tuple[str, int]]) -> str:
    """The checksum of the whole content from those of its parts and their sizes (CRCs only): FULL_OBJECT."""
    value = 0
    for text, size in parts:
        value = COMBINE[algorithm](value, int.from_bytes(base64.b64decode(text), "big"), size)
    return encode(value.to_bytes(SIZES[algorithm], "big"))
