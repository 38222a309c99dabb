"""ONNX models: inputs, outputs, operators and provenance for the catalogue. A model is used whole, so it is never sliced.

Source: onnx.proto3, ModelProto (fields are tagged, and ``ir_version`` with tag 1 comes first in what every exporter writes).
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

from events.errors import Reject
from events.ports import ObjectStore
from functions.formats.format import Broken, Index, Slice
from functions.formats.source import Source
from functions.formats.where import Where
from functions.repository import onnx_model
from functions.repository.protobuf import Malformed, varint

MAX_SIZE = 2 << 30  # protobuf itself reads no more
#: Tag -> wire type of ModelProto's fields (7 graph, 8 opset_import, 14 metadata_props ...).
FIELDS = {1: 0, 2: 2, 3: 2, 4: 2, 5: 0, 6: 2, 7: 2, 8: 2, 14: 2, 20: 2, 25: 2, 26: 2}


class ONNX:
    """A neural network or other model in the Open Neural Network Exchange format."""

    name = "onnx"
    media_type = "application/onnx"
    suffixes: tuple[str, ...] = (".onnx",)

    def sniff(self, head: bytes, name: str) -> bool:
        named = name.lower().endswith(self.suffixes)
        return named if not head else _model_like(head, strict=not named)

    def scanner(self) -> None:
        return None

    def describe(self, source: Source, scan: dict[str, Any]) -> dict[str, Any]:
        """Inputs and outputs with type and shape, operators, number of parameters, versions, producer and properties.

        And what a repository refuses it for: files that hold its weights, traces of the machine it was made on. It is read
        without the library of ONNX, which cannot be told how much of this process's memory it may take.
        """
        if not source.size:
            raise Broken(f"{source} is empty: an ONNX model has at least a graph")
        if source.size > MAX_SIZE:
            raise Broken(f"{source} has {source.size} bytes; ONNX keeps weights beyond 2 GB in files of their own")
        try:
            return onnx_model.read(source.read(0, source.size))
        except Malformed as error:
            raise Broken(f"{source} is no ONNX model that can be used: {error}") from error

    def index(self, source: Source, scan: dict[str, Any]) -> Index | None:
        """``None``: a part of a model is no model."""
        return None

    def slices(self, index: Index, count: int, *, bucket: str, key: str, index_at: str = "") -> list[Slice]:
        raise Reject(f"s3://{bucket}/{key} is an ONNX model and cannot be cut")

    def open(
        self, part: Slice, objects: ObjectStore, *, columns: Sequence[str] | None = None, where: Where = ()
    ) -> AbstractContextManager[Any]:
        raise Reject(f"s3://{part.bucket}/{part.key} is an ONNX model and cannot be cut")


def _model_like(head: bytes, *, strict: bool) -> bool:
    """Whether the first fields are those of a ModelProto; ``strict`` also wants the graph or an operator set among them."""
    position = 0
    seen: set[int] = set()
    while position < len(head) and len(seen) < len(FIELDS):
        tag, position = varint(head, position)
        field, wire = tag >> 3, tag & 7
        if FIELDS.get(field) != wire:
            return False
        value, position = varint(head, position)
        if position > len(head) or (field == 1 and not 1 <= value < 1000) or (not seen and field != 1):
            return False
        seen.add(field)
        if field == 7:
            return True
        if wire == 2:
            position += value
    return bool(seen) and (not strict or (8 in seen and position <= len(head)))
