"""Seek points of a deflate stream: places to start decompressing at, found in one pass, and how to start there.

A point is the border of two deflate blocks, with the 32 kB of text before it (the window) that the next block may refer to, or
the start of a gzip member, which needs no window. Python's zlib does not stop at borders, so the pass calls the same libz
itself; starting at a point needs Python's zlib only.

Source: RFC 1951, RFC 1952; zlib's manual on ``inflate`` (``Z_BLOCK``, ``data_type``), and the method of its example ``zran.c``.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import zlib
from collections.abc import Iterator

WINDOW = 1 << 15
OUT = 1 << 18
Z_BLOCK = 5
GZIP = 16 + zlib.MAX_WBITS
TRAILER = 8  # bytes of CRC and length behind a member


class _Stream(ctypes.Structure):
    """``z_stream`` of zlib.h."""

    _fields_ = (
        ("next_in", ctypes.c_void_p), ("avail_in", ctypes.c_uint), ("total_in", ctypes.c_ulong),
        ("next_out", ctypes.c_void_p), ("avail_out", ctypes.c_uint), ("total_out", ctypes.c_ulong),
        ("msg", ctypes.c_char_p), ("state", ctypes.c_void_p),
        ("zalloc", ctypes.c_void_p), ("zfree", ctypes.c_void_p), ("opaque", ctypes.c_void_p),
        ("data_type", ctypes.c_int), ("adler", ctypes.c_ulong), ("reserved", ctypes.c_ulong),
    )  # fmt: skip


def _library() -> ctypes.CDLL | None:
    """The libz that Python's own module uses, or the system's; ``None`` where neither can be called."""
    for path in (getattr(zlib, "__file__", None), ctypes.util.find_library("z")):
        if path is not None:
            try:
                library = ctypes.CDLL(path)
                library.zlibVersion.restype = ctypes.c_char_p
                library.inflateGetDictionary  # noqa: B018 - raises where it is missing
                return library
            except (OSError, AttributeError):
                continue
    return None


class Damaged(Exception):
    """The stream is no gzip, or was damaged; the text says where."""


class Inflate:
    """Decompresses gzip members one after the other, and stops at every border of blocks.

    Attributes:
        position: how many compressed bytes were used.
        length: how many bytes of text came out.
        border: whether a block begins here, so that ``window`` is what starting here takes.
        bits: how many bits of the compressed byte before ``position`` belong to that block.
        member: whether a gzip member begins here.

    """

    def __init__(self) -> None:
        library = _library()
        if library is None:
            raise OSError("libz cannot be called")
        self._z, self._stream = library, _Stream()
        version = library.zlibVersion()
        if library.inflateInit2_(ctypes.byref(self._stream), GZIP, version, ctypes.sizeof(self._stream)):
            raise OSError("libz cannot be started")
        self._out = ctypes.create_string_buffer(OUT)
        self.position = self.length = self.bits = 0
        self.border, self.member, self._padding = False, True, False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The text of the next compressed bytes, in pieces of at most a quarter megabyte; every border ends one.

        Raises:
            Damaged: the stream cannot be decompressed.

        """
        stream, at = self._stream, 0
        source = ctypes.create_string_buffer(data, len(data))  # one copy, which stays where it is
        address = ctypes.addressof(source)
        full = False
        while at < len(data) or full:
            if self.member:
                if data[at] == 0 and self.position:
                    self._padding = True  # zeros behind the last member are what tape drives leave
                if self._padding:
                    if data[at:].strip(b"\0"):
                        raise Damaged(f"byte {self.position} is no gzip member")
                    self.position += len(data) - at
                    return
            stream.next_in, stream.avail_in = address + at, len(data) - at
            stream.next_out, stream.avail_out = ctypes.addressof(self._out), OUT
            code = self._z.inflate(ctypes.byref(stream), Z_BLOCK)
            used, made = len(data) - at - stream.avail_in, OUT - stream.avail_out
            at, self.position, self.length = at + used, self.position + used, self.length + made
            self.member, full = code == 1, stream.avail_out == 0
            if code < 0 and not (code == -5 and at >= len(data)):
                message = stream.msg.decode() if stream.msg else f"error {code}"
                raise Damaged(f"at byte {self.position} the gzip stream is damaged: {message}")
            if self.member:
                self._z.inflateReset(ctypes.byref(stream))
                full = False
            self.border = bool(stream.data_type & 128) and not stream.data_type & 64 and not self.member
            self.bits = stream.data_type & 7
            if made or self.border or self.member:
                yield ctypes.string_at(self._out, made)

    def window(self) -> bytes:
        """The last 32 kB of the member's text."""
        size = ctypes.c_uint(WINDOW)
        buffer = ctypes.create_string_buffer(WINDOW)
        self._z.inflateGetDictionary(ctypes.byref(self._stream), buffer, ctypes.byref(size))
        return buffer.raw[: size.value]

    def __del__(self) -> None:
        if hasattr(self, "_stream"):
            self._z.inflateEnd(ctypes.byref(self._stream))


def _bits(*fields: tuple[int, int]) -> tuple[int, int]:
    """(value, length) fields, lowest bit first, as one."""
    value = length = 0
    for field, width in fields:
        value, length = value | field << length, length + width
    return value, length


#: Blocks without any text (RFC 1951, 3.2.6 and 3.2.7): one of 10 bits, and one of 93, to make odd numbers with.
_EVEN = _bits((0b010, 3), (0, 7))
_CODES = [1 if symbol in (18, 1) else 0 for symbol in (16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15)]
_ODD = _bits(
    (0b100, 3), (0, 5), (0, 5), (15, 4), *((length, 3) for length in _CODES),
    (1, 1), (138 - 11, 7), (1, 1), (118 - 11, 7), (0, 1), (0, 1), (0, 1),
)  # fmt: skip


def _lead(byte: int, bits: int) -> bytes:
    """Blocks without text whose last byte ends with the upper ``bits`` bits of ``byte``: a block may begin inside of a byte."""
    value, length = _bits(*([_ODD] if bits % 2 else []))
    while length % 8 != 8 - bits:
        value, length = _bits((value, length), _EVEN)
    return (value | byte >> (8 - bits) << length).to_bytes((length + bits) // 8, "little")


def inflated(pieces: Iterator[bytes], bits: int, window: bytes | None) -> Iterator[bytes]:
    """The text from a seek point on: ``pieces`` begin at its byte, or at the byte before where it has ``bits``.

    ``window`` is ``None`` at the start of a member. Raises ``zlib.error``.
    """
    raw = window is not None
    state = zlib.decompressobj(-zlib.MAX_WBITS, zdict=window) if window else zlib.decompressobj(-15 if raw else GZIP)
    skip, rest = 0, b""
    for piece in pieces:
        rest += piece
        if bits:
            rest, bits = _lead(rest[0], bits) + rest[1:], 0
        while rest:
            if skip:
                skip, rest = skip - min(skip, len(rest)), rest[skip:]
                continue
            if state.eof:
                if not rest.strip(b"\0"):
                    return
                state, raw = zlib.decompressobj(GZIP), False
            yield state.decompress(rest, OUT)
            rest = state.unused_data if state.eof else state.unconsumed_tail
            skip = TRAILER if state.eof and raw else 0
    if not state.eof:
        yield state.flush()
