"""Tensors of the Open Inference Protocol as numpy arrays, from JSON lists and from raw bytes, and back.

Source: Open Inference Protocol v2, "Tensor Data Types"; its binary tensor data extension for raw bytes.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable
from functools import lru_cache
from itertools import chain
from typing import Any

import numpy as np

from events.errors import Reject

Array = np.ndarray[Any, np.dtype[Any]]
#: Protocol name -> numpy's. Raw bytes are little-endian.
NUMPY = {
    "BOOL": "?", "UINT8": "<u1", "UINT16": "<u2", "UINT32": "<u4", "UINT64": "<u8", "INT8": "<i1", "INT16": "<i2",
    "INT32": "<i4", "INT64": "<i8", "FP16": "<f2", "FP32": "<f4", "FP64": "<f8", "BYTES": "O",
}  # fmt: skip
#: Of those that are numbers: the letter of ``struct``.
PACKED = {
    "UINT8": "B", "UINT16": "H", "UINT32": "I", "UINT64": "Q", "INT8": "b", "INT16": "h", "INT32": "i", "INT64": "q",
    "FP16": "e", "FP32": "f", "FP64": "d",
}  # fmt: skip
DTYPES = {name: np.dtype(kind) for name, kind in NUMPY.items()}
NAMES = {dtype: name for name, dtype in DTYPES.items()}
#: Kind of numpy's types -> what JSON's values of it come as.
VALUES: dict[str, set[type]] = {"b": {bool}, "i": {int}, "u": {int}, "f": {int, float}, "O": {str}}
LITTLE = sys.byteorder == "little"
#: Most elements of one tensor: a shape that claims more is refused before anything is made of it.
MOST = 1 << 28
#: Most axes of one tensor, as numpy has it.
AXES = 64


class BadTensor(Reject):
    """A tensor contradicts itself or its model; the text names it. HTTP status 400."""


def count(name: str, shape: list[int]) -> int:
    """How many elements a tensor of this shape has. Raises ``BadTensor``."""
    elements = 1
    for axis in shape:
        elements *= axis
        if axis < 0 or elements > MOST or len(shape) > AXES:
            raise BadTensor(f"the tensor {name!r} cannot have the shape {shape[:8]}")
    return elements


def dtype_of(name: str, datatype: str) -> np.dtype[Any]:
    """Raises ``BadTensor`` for a data type that the protocol does not have."""
    try:
        return DTYPES[datatype]
    except KeyError:
        raise BadTensor(f"the tensor {name!r} has the data type {datatype[:20]!r}; known are {', '.join(NUMPY)}") from None


def from_list(name: str, datatype: str, shape: list[int], data: list[Any]) -> Array:
    """A tensor of JSON values, flat in row-major order or nested as its shape says. Raises ``BadTensor``."""
    dtype, elements = dtype_of(name, datatype), count(name, shape)
    if data and isinstance(data[0], list):
        data = _flat(name, shape, data)
    if len(data) != elements:
        raise BadTensor(f"the tensor {name!r} of shape {shape} needs {elements} values, but {len(data)} came")
    if strange := set(map(type, data)) - VALUES[dtype.kind]:
        raise BadTensor(f"a value of the tensor {name!r} is no {datatype}: {_strange(strange)}")
    if datatype in PACKED:
        return _packed(name, datatype, shape, data)
    return np.array(data, dtype=dtype).reshape(shape)


def _flat(name: str, shape: list[int], data: list[Any]) -> list[Any]:
    """The values of lists that are nested as the shape says. Raises ``BadTensor``."""
    if not all(isinstance(part, list) for part in data):
        raise BadTensor(f"the tensor {name!r} mixes lists and values")
    if shape and len(data) != shape[0]:
        raise BadTensor(f"the tensor {name!r} of shape {shape} cannot begin with a list of {len(data)} lists")
    for axis in shape[1:]:
        if not all(isinstance(part, list) for part in data):
            raise BadTensor(f"the tensor {name!r} mixes lists and values, or is not nested as its shape {shape} says")
        if any(len(part) != axis for part in data):
            raise BadTensor(f"the tensor {name!r} is not nested as its shape {shape} says: a list has not {axis} parts")
        data = list(chain.from_iterable(data))
    if any(isinstance(part, list) for part in data):
        raise BadTensor(f"the tensor {name!r} is nested deeper than its shape {shape} says")
    return data


def _strange(kinds: set[type]) -> str:
    """What values of these types are, in JSON's words."""
    if type(None) in kinds:
        return "null is no number (JSON has no NaN and no infinity: send the tensor as raw bytes)"
    words = {str: "a text", bool: "true or false", float: "a number", int: "a number", list: "a list", dict: "an object"}
    return " and ".join(sorted({words.get(kind, kind.__name__) for kind in kinds})) + " came"


def from_numbers(name: str, datatype: str, shape: list[int], data: list[int | float]) -> Array:
    """A tensor of JSON numbers, flat in row-major order. Raises ``BadTensor``."""
    if datatype not in PACKED or len(data) != count(name, shape):
        return from_list(name, datatype, shape, data)  # which says what is wrong
    return _packed(name, datatype, shape, data)


def _packed(name: str, datatype: str, shape: list[int], data: list[int | float]) -> Array:
    """A tensor of as many numbers as its shape has: three times as fast as numpy, and it tells what does not fit."""
    try:
        packed = _packer(len(data), PACKED[datatype])(*data)
    except (struct.error, OverflowError) as error:
        why = "is too large for" if isinstance(error, OverflowError) else "is no"
        raise BadTensor(f"a value of the tensor {name!r} {why} {datatype}: {error}") from error
    return np.frombuffer(packed, DTYPES[datatype]).reshape(shape)


@lru_cache(128)
def _packer(elements: int, letter: str) -> Callable[..., bytes]:
    return struct.Struct(f"<{elements}{letter}").pack


def from_bytes(name: str, datatype: str, shape: list[int], data: memoryview) -> Array:
    """A tensor of raw bytes, without copying them. Raises ``BadTensor``."""
    dtype, elements = dtype_of(name, datatype), count(name, shape)
    if dtype.hasobject:
        return np.array(_texts(name, data, elements), dtype=object).reshape(shape)
    if len(data) != elements * dtype.itemsize:
        needed = elements * dtype.itemsize
        raise BadTensor(f"the tensor {name!r} of shape {shape} needs {needed} bytes of {datatype}, but {len(data)} came")
    if dtype.kind == "b" and np.ndarray(elements, "u1", data).max(initial=0) > 1:
        raise BadTensor(f"a value of the tensor {name!r} is no {datatype}: its bytes must be 0 or 1")
    return np.ndarray(shape, dtype, data)


def _texts(name: str, data: memoryview, elements: int) -> list[str]:
    """Elements of BYTES: each behind its length in four bytes."""
    found: list[str] = []
    position = 0
    while position < len(data):
        size = int.from_bytes(data[position : position + 4], "little")
        position += 4
        if position + size > len(data) or len(found) == elements:
            break
        try:
            found.append(str(data[position : position + size], "utf-8"))
        except UnicodeDecodeError as error:
            raise BadTensor(f"the text {len(found)} of the tensor {name!r} is no UTF-8: {error.reason}") from error
        position += size
    if len(found) != elements or position != len(data):
        raise BadTensor(f"the bytes of the tensor {name!r} are not {elements} texts, each behind its length")
    return found


def to_bytes(array: Array) -> bytes:
    """The raw bytes of a tensor."""
    if array.dtype.hasobject:
        texts = [str(value).encode("utf-8", "surrogateescape") for value in array.ravel()]
        return b"".join(len(text).to_bytes(4, "little") + text for text in texts)
    if LITTLE and array.dtype.isnative:
        return array.tobytes()
    return array.astype(array.dtype.newbyteorder("<")).tobytes()


def name_of(array: Array) -> str:
    """The protocol's name of an array's data type."""
    known = NAMES.get(array.dtype)
    return known or ("BYTES" if array.dtype.kind in "OSU" else NAMES[array.dtype.newbyteorder("<")])
