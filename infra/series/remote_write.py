"""Prometheus remote write as a batch of points: a snappy-compressed protocol buffer.

Source: Prometheus Remote-Write 1.0 specification, ``remote.proto`` and ``types.proto``. ``WriteRequest`` has ``timeseries``
(1); ``TimeSeries`` has ``labels`` (1) and ``samples`` (2); ``Label`` has ``name`` (1) and ``value`` (2); ``Sample`` has
``value`` (1, double) and ``timestamp`` (2, ms).
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator

from events.errors import Reject
from infra.series.batch import Batch, Bounds, Series, series

MOST = 64 << 20
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
Field = tuple[int, int | bytes]


def parse(data: bytes, bounds: Bounds) -> tuple[Batch, list[str]]:
    """The points of a request, and what of it was not taken. Stale markers (NaN) say nothing and are left out.

    Raises:
        Reject: what was sent is no write request.

    """
    import cramjam  # who gets none waits for no codecs

    try:
        size, _ = _varint(data, 0)
        if size > MOST:
            raise Reject(f"the write request has {size} bytes unpacked; at most {MOST} are taken")
        message = bytes(cramjam.snappy.decompress_raw(data))
        points: list[tuple[Series, int, float]] = []
        errors: list[str] = []
        for number, body in _fields(message):
            if number == 1 and isinstance(body, bytes):
                _series(body, bounds, points, errors)
    except (cramjam.DecompressionError, IndexError, ValueError, struct.error) as error:
        raise Reject(f"this is no Prometheus remote write request: {error or type(error).__name__}") from error
    return Batch.of(points), errors


def _series(body: bytes, bounds: Bounds, points: list[tuple[Series, int, float]], errors: list[str]) -> None:
    labels: dict[str, str] = {}
    samples: list[tuple[int, float]] = []
    for number, part in _fields(body):
        if number == 1 and isinstance(part, bytes):
            pair = {key: value for key, value in _fields(part) if isinstance(value, bytes)}
            labels[pair.get(1, b"").decode()] = pair.get(2, b"").decode()
        elif number == 2 and isinstance(part, bytes):
            sample = dict(_fields(part))
            at, double = sample.get(2, 0), sample.get(1, b"\0" * 8)
            if isinstance(at, int) and isinstance(double, bytes):
                samples.append((at - (at >> 63 << 64), struct.unpack("<d", double)[0]))
    try:
        name = labels.pop("__name__", "")
        found = series(name, {label: value for label, value in labels.items() if value})
    except Reject as error:
        errors.append(str(error))
        return
    for time, value in samples:
        if math.isnan(value):
            continue
        if not bounds.oldest <= time <= bounds.newest or math.isinf(value):
            errors.append(f"the point of {name!r} at {time} ms with the value {value} is too old, too far ahead or not finite")
        else:
            points.append((found, time, value))


def _fields(data: bytes) -> Iterator[Field]:
    """The fields of a message: numbers as they are, everything else as bytes."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        kind = tag & 7
        if kind == VARINT:
            value, at = _varint(data, at)
            yield tag >> 3, value
            continue
        if kind == BYTES:
            size, at = _varint(data, at)
        elif kind in (FIXED64, FIXED32):
            size = 8 if kind == FIXED64 else 4
        else:
            raise ValueError(f"a field of the unknown wire type {kind}")
        if at + size > len(data):
            raise ValueError("it is cut off")
        yield tag >> 3, data[at : at + size]
        at += size


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
        if shift > 63:
            raise ValueError("a number of more than 64 bits")
