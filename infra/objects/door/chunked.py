"""The ``aws-chunked`` content encoding, decoded as it streams by: every chunk's signature is checked, trailers are read.

Source: Amazon S3 API Reference, "Transferring payload in multiple chunks" with and without trailing headers.
"""

from __future__ import annotations

import hashlib
import hmac
import re

from infra.objects.door.errors import S3Error
from infra.objects.door.sigv4 import EMPTY, Signature

#: Payload declared in x-amz-content-sha256 -> (chunks are signed, a trailer follows).
FORMS = {
    "STREAMING-AWS4-HMAC-SHA256-PAYLOAD": (True, False),
    "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER": (True, True),
    "STREAMING-UNSIGNED-PAYLOAD-TRAILER": (False, True),
}
MAX_LINE = 4096
_SIZE = re.compile(rb"([0-9a-fA-F]{1,12})\s*(?:;\s*chunk-signature=([0-9a-f]{64}))?\s*")
_TRAILER = re.compile(rb"([A-Za-z0-9-]{1,64})\s*:\s*([\x20-\x7e]*)")


class Chunks:
    """The decoder of one body. ``trailers`` is complete after ``finish``."""

    def __init__(self, signature: Signature) -> None:
        self.trailers: dict[str, str] = {}
        self._signature = signature
        self._signed, self._with_trailer = FORMS[signature.payload]
        self._previous = signature.signature
        self._rest = b""  # the beginning of a line whose end has not arrived
        self._left = 0  # bytes of the present chunk still to come
        self._state = self._size
        self._claimed = ""
        self._digest = hashlib.sha256()

    def feed(self, block: bytes) -> list[memoryview]:
        """The content in ``block``, without copying it.

        Raises:
            S3Error: SignatureDoesNotMatch at the end of a chunk that is not what was signed; InvalidRequest for bad framing.

        """
        content: list[memoryview] = []
        view = memoryview(self._rest + block if self._rest else block)
        self._rest = b""
        at = 0
        while at < len(view):
            if self._left:
                piece = view[at : at + self._left]
                at += len(piece)
                self._left -= len(piece)
                content.append(piece)
                if self._signed:
                    self._digest.update(piece)
                continue
            window = bytes(view[at : at + MAX_LINE])
            end = window.find(b"\r\n")
            if end < 0:
                if len(window) >= MAX_LINE:
                    raise S3Error("InvalidRequest", "The aws-chunked body has a line without end.")
                self._rest = window
                break
            at += end + 2
            self._state(window[:end])
        return content

    def finish(self) -> None:
        """Check that the last chunk, and the trailer where one was announced, have arrived."""
        if self._state != self._done:
            raise S3Error("IncompleteBody", "The aws-chunked body ends before its last chunk.")

    def _size(self, line: bytes) -> None:
        match = _SIZE.fullmatch(line)
        if match is None or (self._signed and match[2] is None):
            raise S3Error("InvalidRequest", "The aws-chunked body has a malformed chunk header.")
        self._left = int(match[1], 16)
        self._claimed = (match[2] or b"").decode()
        if self._left:
            self._state = self._end
        else:
            self._check()
            self._state = self._trailer if self._with_trailer else self._last

    def _end(self, line: bytes) -> None:
        if line:
            raise S3Error("InvalidRequest", "A chunk of the aws-chunked body is longer than its header says.")
        self._check()
        self._state = self._size

    def _last(self, line: bytes) -> None:
        if line:
            raise S3Error("InvalidRequest", "The aws-chunked body goes on after its last chunk.")
        self._state = self._done

    def _trailer(self, line: bytes) -> None:
        if not line:
            self._check_trailer()
            self._state = self._done
            return
        match = _TRAILER.fullmatch(line)
        if match is None or len(self.trailers) >= 16:
            raise S3Error("InvalidRequest", "The trailer of the aws-chunked body cannot be read.")
        self.trailers[match[1].decode().lower()] = match[2].decode().strip()

    def _done(self, line: bytes) -> None:
        if line:
            raise S3Error("InvalidRequest", "The aws-chunked body goes on after its end.")

    def _check(self) -> None:
        if not self._signed:
            return
        expected = self._signature.of("PAYLOAD", self._previous, EMPTY, self._digest.hexdigest())
        if not hmac.compare_digest(expected, self._claimed):
            raise S3Error("SignatureDoesNotMatch", "The signature of a chunk does not match its content.")
        self._previous = expected
        self._digest = hashlib.sha256()

    def _check_trailer(self) -> None:
        if not self._signed:
            return
        claimed = self.trailers.pop("x-amz-trailer-signature", "")
        text = "".join(f"{name}:{value}\n" for name, value in self.trailers.items())
        expected = self._signature.of("TRAILER", self._previous, hashlib.sha256(text.encode()).hexdigest())
        if not hmac.compare_digest(expected, claimed):
            raise S3Error("SignatureDoesNotMatch", "The signature of the trailer does not match.")
