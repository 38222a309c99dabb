"""Sidecars: ``FILE.sha256asc`` holds the digest of ``FILE``. Which algorithm is configuration, never code.

The text is what ``sha256sum FILE`` prints: the hexadecimal digest, alone or followed by the file's name.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable
from typing import Any

from blake3 import blake3

from events.errors import Reject

#: Algorithm, as written before ``asc`` in a sidecar's name -> how a hash object is made.
ALGORITHMS: dict[str, Callable[[], Any]] = {
    "sha256": hashlib.sha256,
    "sha512": hashlib.sha512,
    "sha3-256": hashlib.sha3_256,
    "sha3-512": hashlib.sha3_512,
    "blake3": blake3,
}
#: More than any sidecar has.
MOST = 4096
_LINE = re.compile(r"(?P<digest>[0-9A-Fa-f]{64,128})(?:[ \t]+\*?(?P<file>[^\r\n]+))?\s*")


class Unverified(Reject):
    """A file is not, or cannot be shown to be, what its sidecar says; the text names both and what to do."""


def hasher(algorithm: str) -> Any:
    """A new hash object. Raises ``Reject`` for an algorithm nobody here knows."""
    try:
        return ALGORITHMS[algorithm]()
    except KeyError:
        raise Reject(f"the digest algorithm {algorithm!r} is unknown; known are {', '.join(ALGORITHMS)}") from None


def key(file: str, algorithm: str) -> str:
    """The key of a file's sidecar."""
    return f"{file}.{algorithm}asc"


def is_sidecar(path: str) -> bool:
    """Whether an object is a sidecar, by its name."""
    return any(path.endswith(f".{algorithm}asc") for algorithm in ALGORITHMS)


def text(digest: str, file: str) -> bytes:
    """A sidecar's content; ``file`` is the last part of the file's key."""
    return f"{digest}  {file}\n".encode()


def check(content: bytes, algorithm: str, digest: str, what: str, file: str = "") -> None:
    """Compare a file's digest (hexadecimal) with its sidecar's ``content``. Raises ``Unverified``; ``what`` names the file.

    People's sidecars may name any file, or none, and use capitals. With ``file``, a version's own, not a byte may be another.
    """
    found = _LINE.fullmatch(content.decode("ascii", "replace")) if len(content) <= MOST else None
    size = 2 * hasher(algorithm).digest_size
    if found is None or len(found["digest"]) != size:
        raise Unverified(
            f"{what} cannot be checked: its sidecar .{algorithm}asc is not the {size} hexadecimal digits that "
            f"`{algorithm}sum` prints; write it again"
        )
    if not hmac.compare_digest(found["digest"].lower(), digest):
        raise Unverified(
            f"{what} is not what its sidecar says: its {algorithm} is {digest[:16]}..., the sidecar has "
            f"{found['digest'][:16].lower()}...; upload both again, or use another version"
        )
    if file and content != text(digest, file):
        raise Unverified(
            f"{what} cannot be checked: its sidecar .{algorithm}asc has the right digest, but is not what "
            f"`{algorithm}sum {file}` prints; write it again"
        )
