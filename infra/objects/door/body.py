"""A request's body: decoded, digested and verified as it streams by, into a content file or (small documents) into memory.

The event loop only collects what arrives; a thread decodes, hashes and writes one block while the next one is collected. MD5
(the ETag) is the slowest of the digests: it has a thread of its own and may still be at one block when the next is written.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import os
import re
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from infra.objects.door import checksums
from infra.objects.door.chunked import FORMS, Chunks
from infra.objects.door.errors import S3Error
from infra.objects.door.files import Files
from infra.objects.door.request import Request
from infra.objects.door.sigv4 import UNSIGNED

BLOCK = 2 << 20
#: Pieces of this average size are worth a call of their own.
PIECE = 16 << 10
#: From this size on, MD5 in a second thread costs less than it saves.
BESIDE = 1 << 18
#: One request carries at most 5 GiB, as in S3.
MOST = 5 << 30
#: Largest XML document: a completed upload of 10,000 parts with checksums.
MOST_XML = 4 << 20

Piece: TypeAlias = "bytes | memoryview"
_hashers = ThreadPoolExecutor(2, "door-md5")


class Disconnected(Exception):
    """The client went away before its request was complete."""


@dataclass(frozen=True)
class Stored:
    """Content on the disk that no row names yet. ``checksums`` are those asked for or sent, in base64."""

    name: str
    size: int
    md5: str
    checksums: dict[str, str] = field(default_factory=dict)


class Intake:
    """What checks a body on its way: give it blocks, then ``finish``. Not for two threads at once."""

    def __init__(self, request: Request, write: Callable[[list[Piece]], None], algorithm: str = "") -> None:
        signature = request.verified
        self.payload = signature.payload
        self.size = 0
        self._write = write
        self._chunks: Chunks | None = None
        self._length = request.length
        if self.payload in FORMS:
            self._chunks = Chunks(signature)
            text = request.header("x-amz-decoded-content-length")
            if not re.fullmatch("[0-9]{1,15}", text):
                raise S3Error("MissingContentLength", "An aws-chunked body needs x-amz-decoded-content-length.")
            self._length = int(text)
        elif self.payload.startswith("STREAMING-"):
            raise S3Error("NotImplemented", f"The payload form {self.payload[:80]} is not supported.")
        elif self.payload != UNSIGNED and not re.fullmatch("[0-9a-f]{64}", self.payload):
            raise S3Error(
                "InvalidArgument", "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, a STREAMING form or a SHA-256 in hex."
            )
        if self._length is None and request.measured:
            raise S3Error("MissingContentLength")
        if (self._length or 0) > MOST:
            raise S3Error("EntityTooLarge", ProposedSize=str(self._length), MaxSizeAllowed=str(MOST))
        self._content_md5 = _content_md5(request)
        self._sent = _sent(request)
        self._announced = self._trailing(request)
        self.md5 = hashlib.md5(usedforsecurity=False)
        wanted = {*self._sent, *self._announced, *([algorithm] if algorithm else [])}
        self._digests = {name: checksums.new(name) for name in wanted}
        if len(self.payload) == 64 and "sha256" not in self._digests:
            self._digests["sha256"] = hashlib.sha256()
        self._kept = wanted
        self._beside: Future[None] | None = None

    def feed(self, block: list[bytes]) -> None:
        """Take the next bytes of the body, in the pieces in which they came: joining them would copy them all once more."""
        pieces: list[Piece] = [*block]
        if self._chunks:
            pieces = [piece for part in block for piece in self._chunks.feed(part)]
        size = sum(map(len, pieces))
        self.size += size
        self._join()
        if size >= BESIDE:
            self._beside = _hashers.submit(_update, self.md5, pieces)
        else:
            _update(self.md5, pieces)
        self._write(pieces)
        for digest in self._digests.values():
            _update(digest, pieces)

    def _join(self) -> None:
        """Wait for the block whose MD5 is still under way."""
        if self._beside is not None:
            self._beside.result()
            self._beside = None

    def finish(self) -> dict[str, str]:
        """Verify everything the client claimed; the checksums to keep.

        Raises:
            S3Error: IncompleteBody, BadDigest or XAmzContentSHA256Mismatch.

        """
        self._join()
        sent = dict(self._sent)
        if self._chunks:
            self._chunks.finish()
            for name in self._announced:
                text = self._chunks.trailers.get(checksums.PREFIX + name)
                if text is None:
                    raise S3Error("InvalidRequest", f"The trailer {checksums.PREFIX}{name} was announced but did not come.")
                sent[name] = checksums.decode(name, text)
        if self._length is not None and self.size != self._length:
            raise S3Error("IncompleteBody", f"The headers promised {self._length} bytes, {self.size} came.")
        digests = {name: digest.digest() for name, digest in self._digests.items()}
        if len(self.payload) == 64 and not hmac.compare_digest(digests["sha256"].hex(), self.payload):
            raise S3Error("XAmzContentSHA256Mismatch", ClientComputedContentSHA256=self.payload)
        if self._content_md5 and self._content_md5 != self.md5.digest():
            raise S3Error("BadDigest", "The Content-MD5 you specified did not match what we received.")
        for name, value in sent.items():
            if digests[name] != value:
                raise S3Error("BadDigest", f"The {name.upper()} you specified did not match the calculated checksum.")
        return {name: checksums.encode(digests[name]) for name in sorted(self._kept)}

    def _trailing(self, request: Request) -> list[str]:
        names = [name.strip().lower() for name in request.header("x-amz-trailer").split(",") if name.strip()]
        found = [name.removeprefix(checksums.PREFIX) for name in names if name.startswith(checksums.PREFIX)]
        if unknown := [name for name in found if name not in checksums.SIZES]:
            raise S3Error("InvalidRequest", f"The trailing checksum {unknown[0][:40]!r} is unknown.")
        return found if self._chunks else []


async def to_file(request: Request, files: Files, threads: ThreadPoolExecutor, algorithm: str = "") -> Stored:
    """The body as a content file that is on the disk; removed again when anything is wrong with it.

    Args:
        request: authenticated, its body not begun.
        files: where to.
        threads: where the work is done.
        algorithm: a checksum to compute even if the client sends none.

    Raises:
        S3Error: the body is not what the client claimed.
        Disconnected: it never came to its end.

    """
    name, descriptor = files.create()

    def settle() -> dict[str, str]:
        kept = intake.finish()
        files.settle(name, descriptor)
        return kept

    try:
        intake = Intake(request, lambda pieces: files.write(descriptor, pieces), algorithm)
        kept = await _stream(request, intake, threads, settle)
    except BaseException:
        files.remove([name])
        raise
    finally:
        os.close(descriptor)
    return Stored(name, intake.size, intake.md5.hexdigest(), kept)


async def to_memory(request: Request, threads: ThreadPoolExecutor, most: int = MOST_XML) -> bytes:
    """The body of a small document, verified like any other.

    Raises:
        S3Error: EntityTooLarge beyond ``most`` bytes, or the body is not what the client claimed.

    """
    content = bytearray()

    def write(pieces: list[Piece]) -> None:
        for piece in pieces:
            content.extend(piece)

    if (request.length or 0) > most:
        raise S3Error("EntityTooLarge", f"This document may have at most {most} bytes.", MaxSizeAllowed=str(most))
    intake = Intake(request, write)
    await _stream(request, intake, threads, intake.finish, most)
    return bytes(content)


async def _stream(
    request: Request, intake: Intake, threads: ThreadPoolExecutor, finish: Callable[[], dict[str, str]], most: int = MOST * 2
) -> dict[str, str]:
    loop = asyncio.get_running_loop()
    request.body_begun = True
    working: asyncio.Future[Any] | None = None
    collected: list[bytes] = []
    size = total = 0
    try:
        more = True
        while more:
            message = await request.receive()
            if message["type"] != "http.request":
                raise Disconnected
            block: bytes = message.get("body", b"")
            more = message.get("more_body", False)
            collected.append(block)
            size += len(block)
            total += len(block)
            if total > most:
                raise S3Error("EntityTooLarge", MaxSizeAllowed=str(most))
            if size >= BLOCK and more:
                if working is not None:
                    await working
                working = loop.run_in_executor(threads, intake.feed, _joined(collected, size))
                collected, size = [], 0
        if working is not None:
            await working
        last = _joined(collected, size)

        def end() -> dict[str, str]:
            intake.feed(last)
            return finish()

        working = loop.run_in_executor(threads, end)
        return await working  # type: ignore[no-any-return]
    finally:
        if working is not None and not working.done():  # the file must not be closed under the thread that writes it
            await asyncio.wait([working])


def _joined(pieces: list[bytes], size: int) -> list[bytes]:
    """Small pieces (a slow network's) as one, since each costs a call of every digest; large ones as they are."""
    return pieces if size >= PIECE * len(pieces) else [b"".join(pieces)]


def _update(digest: checksums.Digest, pieces: list[Piece]) -> None:
    for piece in pieces:
        digest.update(piece)  # type: ignore[arg-type]


def _content_md5(request: Request) -> bytes:
    text = request.headers.get("content-md5")
    if text is None:
        return b""
    try:
        value = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        value = b""
    if len(value) != 16:
        raise S3Error("InvalidDigest")
    return value


def _sent(request: Request) -> dict[str, bytes]:
    """The checksum in the headers. ``-algorithm``, ``-mode`` and ``-type`` share the prefix but are none."""
    found = {
        name: checksums.decode(name, text) for name in checksums.SIZES if (text := request.header(checksums.PREFIX + name))
    }
    if len(found) > 1:
        raise S3Error("InvalidRequest", "Expecting a single x-amz-checksum- header. Multiple checksum types are not allowed.")
    return found
