"""ONNX models: inputs, outputs, operators and provenance for the catalogue. A model is used whole, so it is never sliced.

Source: onnx.proto3, ModelProto (fields are tagged, and ``ir_version`` with tag 1 comes first in what every exporter writes).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any

from events.errors import Reject
from events.ports import ObjectStore
from functions.formats.format import Broken, Index, Slice
from functions.formats.source import Source
from functions.formats.where import Where

#: An absolute path of at least two steps, on any system.
_PATH = re.compile(r"(?:^|[\s\"'(=])(?:/[\w.-]+|[A-Za-z]:\\)[\w.-]*[/\\][\w.-]", re.ASCII)
MAX_SIZE = 2 << 30  # protobuf itself reads no more
MAX_DEPTH = 32  # of graphs within graphs
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
        """Inputs and outputs with type and shape, operators, number of parameters, versions, producer and properties."""
        model = _load(source)
        graphs = list(_graphs(model.graph))
        initializers = [tensor for graph in graphs for tensor in graph.initializer]
        nodes = [node for graph in graphs for node in graph.node] + [node for each in model.functions for node in each.node]
        weights = {tensor.name for tensor in model.graph.initializer}
        operators: dict[str, int] = {}
        for node in nodes:
            name = ".".join(map(_text, (node.domain, node.op_type) if node.domain not in ("", "ai.onnx") else (node.op_type,)))
            operators[name] = operators.get(name, 0) + 1
        found: dict[str, Any] = {
            "inputs": [_value(value) for value in model.graph.input if value.name not in weights],
            "outputs": [_value(value) for value in model.graph.output],
            "operators": dict(sorted(operators.items())),
            "parameters": sum(_count(tensor) for tensor in initializers),
            "opset": {_text(entry.domain) or "ai.onnx": int(entry.version) for entry in model.opset_import},
            "ir_version": int(model.ir_version),
            "producer": " ".join(_text(text) for text in (model.producer_name, model.producer_version) if text),
            "graph": _text(model.graph.name),
            "properties": {_text(entry.key): _text(entry.value) for entry in model.metadata_props},
        }
        if files := {
            _text(entry.value) for tensor in initializers for entry in tensor.external_data if entry.key == "location"
        }:
            found["external_data"] = sorted(files)
        if leaks := sorted({name for node in nodes for name in _leaks(node)}):
            found["leaks"] = leaks
        return found

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
        tag, position = _varint(head, position)
        field, wire = tag >> 3, tag & 7
        if FIELDS.get(field) != wire:
            return False
        value, position = _varint(head, position)
        if position > len(head) or (field == 1 and not 1 <= value < 1000) or (not seen and field != 1):
            return False
        seen.add(field)
        if field == 7:
            return True
        if wire == 2:
            position += value
    return bool(seen) and (not strict or (8 in seen and position <= len(head)))


def _varint(data: bytes, position: int) -> tuple[int, int]:
    """A number and the place behind it; a place behind the end where it is cut off."""
    value = 0
    for shift in range(0, 70, 7):
        if position >= len(data):
            return 0, len(data) + 1
        byte = data[position]
        position += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, position
    return 0, len(data) + 1


def _load(source: Source) -> Any:
    import onnx

    if not source.size:
        raise Broken(f"{source} is empty: an ONNX model has at least a graph")
    if source.size > MAX_SIZE:
        raise Broken(f"{source} has {source.size} bytes; ONNX keeps weights beyond 2 GB in files of their own")
    model = onnx.ModelProto()
    try:
        model.ParseFromString(source.read(0, source.size))
        if not model.HasField("graph") or not model.opset_import:
            raise Broken(f"{source} is no ONNX model: it has no {'operator set' if model.HasField('graph') else 'graph'}")
    except Broken:
        raise
    except Exception as error:  # protobuf's DecodeError derives from nothing more telling
        raise Broken(f"{source} is no ONNX model, or was cut off: {' '.join(str(error).split())[:300]}") from error
    return model


def _graphs(graph: Any, depth: int = 0) -> Iterator[Any]:
    """A graph and those in the attributes of its nodes (loop bodies, branches)."""
    yield graph
    if depth < MAX_DEPTH:
        for node in graph.node:
            for attribute in node.attribute:
                for inner in [*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs]:
                    yield from _graphs(inner, depth + 1)


def _text(value: str | bytes) -> str:
    """A protobuf text; it comes as bytes where it is no UTF-8."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _leaks(node: Any) -> Iterator[str]:
    """The properties of a node that tell of the machine it was made on: stack traces and absolute paths."""
    for entry in node.metadata_props:
        name, value = _text(entry.key), _text(entry.value)
        if "stack_trace" in name or _PATH.search(value):
            yield name


def _count(tensor: Any) -> int:
    count = 1
    for length in tensor.dims:
        count *= max(0, int(length))
    return count


def _value(value: Any) -> dict[str, Any]:
    """An input or output: name, element type as numpy calls it, and shape with names for free axes."""
    import onnx

    kind = value.type.WhichOneof("value") or "unknown"
    found: dict[str, Any] = {"name": _text(value.name), "kind": kind.removesuffix("_type")}
    if kind in ("tensor_type", "sparse_tensor_type"):
        tensor = getattr(value.type, kind)
        names = {number: name.lower() for name, number in onnx.TensorProto.DataType.items()}
        found["dtype"] = {"float": "float32", "double": "float64"}.get(
            names.get(tensor.elem_type, "unknown"), names.get(tensor.elem_type, "unknown")
        )
        if tensor.HasField("shape"):
            found["shape"] = [
                int(axis.dim_value) if axis.WhichOneof("value") == "dim_value" else _text(axis.dim_param) or None
                for axis in tensor.shape.dim
            ]
    return found
