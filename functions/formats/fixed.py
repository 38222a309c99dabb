"""Binary records of one length: numpy's ``.npy``, and any binary object whose uploader says how long its records are.

User metadata: ``record-bytes``, and if wanted ``header-bytes`` (skipped, 0 if not said) and ``dtype`` (of one record, as
``numpy.dtype`` takes it). Source: numpy.lib.format, versions 1.0 to 3.0.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import numpy as np

from events.ports import ObjectStore
from functions.formats import where as wanted
from functions.formats.format import Broken, Index, Part, Slice, cut, short, spans
from functions.formats.source import Source
from functions.formats.where import Where

MAGIC = b"\x93NUMPY"
HEAD = 1 << 16
#: The user metadata that makes any object one of fixed records.
RECORD = "record-bytes"


class Fixed:
    """Records of one length, one after the other."""

    name = "fixed"
    media_type = "application/octet-stream"
    suffixes: tuple[str, ...] = (".npy",)

    def sniff(self, head: bytes, name: str) -> bool:
        return head.startswith(MAGIC) or (not head and name.lower().endswith(self.suffixes))

    def scanner(self) -> None:
        return None

    def describe(self, source: Source, scan: dict[str, Any]) -> dict[str, Any]:
        """Records, their type and shape."""
        layout = _layout(source)
        found = {"dtype": layout["dtype"], "shape": [layout["rows"], *layout["shape"]], "records": layout["rows"]}
        return found | ({"unsliceable": layout["reason"]} if layout["reason"] else {})

    def index(self, source: Source, scan: dict[str, Any]) -> Index | None:
        """``None`` for an array in Fortran order, whose rows do not lie one after the other."""
        layout = dict(_layout(source))
        if layout.pop("reason"):
            return None
        rows = layout.pop("rows")
        return Index(format=self.name, size=source.size, etag=source.etag, units=rows, unit="records", data=layout)

    def slices(self, index: Index, count: int, *, bucket: str, key: str, index_at: str = "") -> list[Slice]:
        """Runs of records: one contiguous range each."""
        start, record = int(index.data["start"]), int(index.data["record"])
        shared = {key: index.data[key] for key in ("dtype", "descr", "shape")}
        parts = [
            Part([(start + low * record, start + high * record)], high - low, shared | {"first_record": low})
            for low, high in spans(index.units, count)
        ]
        return cut(index, parts, bucket=bucket, key=key, index_at=index_at)

    def open(
        self, part: Slice, objects: ObjectStore, *, columns: Sequence[str] | None = None, where: Where = ()
    ) -> AbstractContextManager[Any]:
        """A numpy array of the slice's records; with named fields ``columns`` and ``where`` choose of them."""
        return _opened(part, objects, columns, where)


def _layout(source: Source) -> dict[str, Any]:
    """Where the records are, how many, how long, and of what type."""
    if "fixed" not in source.memo:
        head = source.read(0, HEAD)
        source.memo["fixed"] = _told(source) if RECORD in source.user else _numpy(source, head)
    found: dict[str, Any] = source.memo["fixed"]
    return found


def _numpy(source: Source, head: bytes) -> dict[str, Any]:
    file = io.BytesIO(head)
    try:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = read(file, max_header_size=HEAD)
    except Exception as error:  # it evaluates a Python literal, which can fail in any way
        raise Broken(f"{source} has a header that is no .npy: {short(error)}") from error
    if dtype.hasobject:
        raise Broken(f"{source} holds pickled Python objects, which are never loaded; save it with allow_pickle=False")
    if any(length < 0 for length in shape):
        raise Broken(f"{source} has a negative length in its shape {shape}")
    size, start = dtype.itemsize * math.prod(shape), file.tell()
    if start + size != source.size:
        raise Broken(f"{source} should have {size} bytes of numbers from byte {start}, but has {source.size - start}")
    reason = "it is in Fortran order" if fortran and len(shape) > 1 else "" if shape and size else "it has no records"
    rest = [int(length) for length in shape[1:]]
    return {
        "start": start,
        "record": dtype.itemsize * math.prod(rest),
        "rows": int(shape[0]) if shape else 1,
        "shape": rest,
        "dtype": str(dtype),
        "descr": repr(np.lib.format.dtype_to_descr(dtype)),
        "reason": reason,
    }


def _told(source: Source) -> dict[str, Any]:
    """By the user metadata."""
    lengths = []
    for name, default, least in ((RECORD, "", 1), ("header-bytes", "0", 0)):
        text = source.user.get(name, default)
        if not text.isascii() or not text.isdigit() or int(text) < least:
            raise Broken(f"{source} has the user metadata {name} = {text!r}; a whole number from {least} is needed")
        lengths.append(int(text))
    record, start = lengths
    try:
        dtype = np.dtype(source.user.get("dtype", f"V{record}"))
    except TypeError as error:
        raise Broken(f"{source} has the user metadata dtype = {source.user['dtype']!r}: {short(error)}") from error
    if dtype.hasobject or dtype.itemsize == 0 or record % dtype.itemsize:
        raise Broken(f"{source} has records of {record} bytes, which are no whole number of {dtype}")
    rows, left = divmod(source.size - start, record)
    if source.size < start or left:
        raise Broken(f"{source} ends with {left} bytes that are no record of {record}: it was cut off, or the length is wrong")
    shape = [record // dtype.itemsize] if record > dtype.itemsize else []
    descr = repr(np.lib.format.dtype_to_descr(dtype))
    reason = "" if rows else "it has no records"
    return {
        "start": start,
        "record": record,
        "rows": rows,
        "shape": shape,
        "dtype": str(dtype),
        "descr": descr,
        "reason": reason,
    }


@contextmanager
def _opened(part: Slice, objects: ObjectStore, columns: Sequence[str] | None, where: Where) -> Iterator[Any]:
    import ast

    source = Source(objects, part.bucket, part.key, part.size, part.etag)
    dtype = np.lib.format.descr_to_dtype(ast.literal_eval(part.data["descr"]))
    if columns is not None or where:
        wanted.check(columns, where, dtype.names or (), source)
    ((start, end),) = part.ranges
    array = np.frombuffer(bytearray(source.exactly(start, end)), dtype=dtype).reshape((part.units, *part.data["shape"]))
    yield wanted.rows(array, columns, where, source)
