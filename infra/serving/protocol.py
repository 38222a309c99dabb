"""Requests and answers of the Open Inference Protocol v2, in JSON, with tensors as JSON or as raw bytes behind it.

Source: Open Inference Protocol v2, "Inference"; its binary tensor data extension: the header
``Inference-Header-Content-Length`` is the JSON's length, and the raw tensors follow in the order of the JSON.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import msgspec

from infra.serving.tensors import Array, BadTensor, from_bytes, from_list, from_numbers, name_of, to_bytes

LENGTH = b"inference-header-content-length"
JSON, BINARY = b"application/json", b"application/octet-stream"


class _Parameters(msgspec.Struct, frozen=True):
    """Those that mean something here; what they hold is checked where it is used."""

    binary_data_size: Any = None
    binary_data: Any = None
    binary_data_output: Any = None


_NONE = _Parameters()


class _Numbers(msgspec.Struct):
    """An input as nearly all are: flat numbers, or raw bytes."""

    name: str
    shape: list[int]
    datatype: str
    data: list[int | float] | None = None
    parameters: _Parameters = _NONE


class _Values(msgspec.Struct):
    """An input of anything else: nested lists, texts, truth values."""

    name: str
    shape: list[int]
    datatype: str
    data: list[Any] | None = None
    parameters: _Parameters | None = None


class _Output(msgspec.Struct):
    name: str
    parameters: _Parameters | None = None


class _Quick(msgspec.Struct):
    inputs: list[_Numbers]
    id: str = ""
    parameters: _Parameters = _NONE
    outputs: list[_Output] | None = None


class _Any(msgspec.Struct):
    """A request that says nothing with ``null``, or has other inputs."""

    inputs: list[_Values]
    id: str | None = None
    parameters: _Parameters | None = None
    outputs: list[_Output] | None = None


_quick, _any = msgspec.json.Decoder(_Quick).decode, msgspec.json.Decoder(_Any).decode
#: What Python's own encoder writes for numbers that JSON does not have.
_NO_JSON = re.compile(rb"[\[,:]\s*(?:NaN|-?Infinity)\b")
_encode = msgspec.json.Encoder().encode


class _Answered(msgspec.Struct, omit_defaults=True):
    """An output: its values, or how many raw bytes it has."""

    name: str
    shape: tuple[int, ...]
    datatype: str
    parameters: dict[str, int] | None = None
    data: list[Any] | None = None


class _Answer(msgspec.Struct, omit_defaults=True):
    model_name: str
    model_version: str
    outputs: list[_Answered]
    id: str = ""


class Request(msgspec.Struct, frozen=True):
    """What is to be inferred. ``outputs`` are the names wanted (``None``: all), ``raw`` those wanted as raw bytes."""

    id: str
    inputs: dict[str, Array]
    outputs: tuple[str, ...] | None
    raw: frozenset[str] | bool


def parse(body: bytes, header: int | None) -> Request:
    """The request in a body whose JSON is its first ``header`` bytes (``None``: all). Raises ``BadTensor``."""
    if header is not None and header > len(body):
        raise BadTensor(f"Inference-Header-Content-Length is {header}, but the body has {len(body)} bytes")
    text = body if header is None else body[:header]
    document: _Quick | _Any
    take: Callable[[str, str, list[int], list[Any]], Array] = from_numbers
    try:
        try:
            document = _quick(text)
        except msgspec.ValidationError:
            document, take = _any(text), from_list
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        hint = " (JSON has no NaN and no infinity: send the tensor as raw bytes)" if _NO_JSON.search(text) else ""
        raise BadTensor(f"the request is not what the inference protocol takes: {error}{hint}") from error
    rest = memoryview(body)[len(text) :]
    inputs: dict[str, Array] = {}
    for each in document.inputs:
        if each.name in inputs:
            raise BadTensor(f"the input {each.name!r} came twice")
        size = each.parameters.binary_data_size if each.parameters is not None else None
        if size is None:
            if each.data is None:
                raise BadTensor(f"the input {each.name!r} has neither data nor binary_data_size")
            inputs[each.name] = take(each.name, each.datatype, each.shape, each.data)
            continue
        if each.data is not None:
            raise BadTensor(f"the input {each.name!r} has both data and binary_data_size: send one of them")
        if type(size) is not int:
            raise BadTensor(f"the input {each.name!r} has binary_data_size {repr(size)[:40]}, which is no whole number")
        if not 0 <= size <= len(rest):
            raise BadTensor(f"the input {each.name!r} has binary_data_size {size!r}, but {len(rest)} bytes are left for it")
        inputs[each.name] = from_bytes(each.name, each.datatype, each.shape, rest[:size])
        rest = rest[size:]
    if len(rest):
        raise BadTensor(f"{len(rest)} bytes behind the last input belong to none")
    every = document.parameters is not None and document.parameters.binary_data_output is True
    if not document.outputs:
        return Request(document.id or "", inputs, None, every)
    raw = frozenset(each.name for each in document.outputs if _raw(each.parameters, every))
    return Request(document.id or "", inputs, tuple(each.name for each in document.outputs), raw)


def _raw(wanted: _Parameters | None, every: bool) -> bool:
    return every if wanted is None or wanted.binary_data is None else wanted.binary_data is True


def answer(request: Request, model: str, version: int, outputs: dict[str, Array]) -> tuple[bytes, list[tuple[bytes, bytes]]]:
    """The body and headers that answer ``request``."""
    described: list[_Answered] = []
    blobs: list[bytes] = []
    raw = request.raw
    for name, array in outputs.items():
        if raw is True or (raw is not False and name in raw):
            blob = to_bytes(array)
            blobs.append(blob)
            described.append(_Answered(name, array.shape, name_of(array), {"binary_data_size": len(blob)}))
        else:
            described.append(_Answered(name, array.shape, name_of(array), None, array.ravel().tolist()))
    text = _encode(_Answer(model, str(version), described, request.id))
    if not blobs:
        return text, [(b"content-type", JSON)]
    return b"".join((text, *blobs)), [(b"content-type", BINARY), (LENGTH, b"%d" % len(text))]


def told(document: dict[str, Any]) -> bytes:
    """A JSON body."""
    return _encode(document)
