"""The messages of an ONNX file: what each field is called and holds. Source: onnx.proto, as of IR version 13.

``text`` is for people, ``name`` a name within the model, ``skip`` numbers and data; anything else is a message of that kind.
A kind may stand for a message in a certain place: a ``weight`` is a tensor of a graph's own, an ``input`` a value it takes.
"""

from __future__ import annotations

from functions.repository.protobuf import FIXED32, FIXED64, VARINT, run

TEXT, NAME, SKIP = "text", "name", "skip"
_VALUE = "1 name name, 2 type type, 3 doc_string text, 4 metadata_props property"
_TENSOR = (
    "1 dims skip, 3 segment skip, 4 float_data skip, 5 int32_data skip, 6 string_data skip, 7 int64_data skip, 8 name name, "
    "9 raw_data skip, 10 double_data skip, 11 uint64_data skip, 12 doc_string text, 13 external_data entry, "
    "16 metadata_props property"
)
_SHAPED = "2 shape shape"
_KINDS = {
    "model": "2 producer_name text, 3 producer_version text, 4 domain text, 6 doc_string text, 7 graph graph, "
    "8 opset_import opset, 14 metadata_props property, 20 training_info training, 25 functions function, "
    "26 configuration device",
    "graph": "1 node node, 2 name name, 5 initializer weight, 10 doc_string text, 11 input input, 12 output output, "
    "13 value_info value, 14 quantization_annotation annotation, 15 sparse_initializer sparse, 16 metadata_props property",
    "node": "1 input name, 2 output name, 3 name name, 4 op_type name, 5 attribute attribute, 6 doc_string text, "
    "7 domain name, 8 overload name, 9 metadata_props property, 10 device_configurations placement",
    "attribute": "1 name name, 4 s name, 5 t tensor, 6 g graph, 7 floats skip, 8 ints skip, 9 strings skip, 10 tensors tensor, "
    "11 graphs graph, 13 doc_string text, 14 tp type, 15 type_protos type, 21 ref_attr_name name, 22 sparse_tensor sparse, "
    "23 sparse_tensors sparse",
    "function": "1 name name, 4 input name, 5 output name, 6 attribute name, 7 node node, 8 doc_string text, "
    "9 opset_import opset, 10 domain name, 11 attribute_proto attribute, 12 value_info value, 13 overload name, "
    "14 metadata_props property",
    "training": "1 initialization graph, 2 algorithm graph, 3 initialization_binding naming, 4 update_binding naming",
    "value": _VALUE,
    "input": _VALUE,
    "output": _VALUE,
    "tensor": _TENSOR,
    "weight": _TENSOR,
    "sparse": "1 values tensor, 2 indices tensor, 3 dims skip",
    "annotation": "1 tensor_name name, 2 quant_parameter_tensor_names naming",
    "opset": "1 domain name",
    "property": "1 key name, 2 value text",
    "naming": "1 key name, 2 value name",
    "entry": "1 key name, 2 value name",
    "device": "1 name name, 3 device name",
    "placement": "1 configuration_id name, 2 sharding_spec sharding",
    "sharding": "1 tensor_name name, 2 device skip, 3 index_to_device_group_map skip, 4 sharded_dim axes",
    "axes": "2 simple_sharding axis",
    "type": "1 tensor_type shaped, 4 sequence_type typed, 5 map_type mapped, 6 denotation name, 7 opaque_type opaque, "
    "8 sparse_tensor_type shaped, 9 optional_type typed",
    "shaped": "2 shape shape",
    "shape": "1 dim axis",
    "axis": "2 dim_param name, 3 denotation name",
    "typed": "1 elem_type type",
    "mapped": "2 value_type type",
    "opaque": "1 domain name, 2 name name",
}
#: Kind of a message -> number of a field -> what it is called, and what it holds.
KINDS: dict[str, dict[int, tuple[str, str]]] = {
    kind: {int(number): (name, what) for number, name, what in (field.split() for field in told.split(", "))}
    for kind, told in _KINDS.items()
}
#: Fields that say what runs. Of two of them libraries take the last, which is not ours to rely on.
ONCE = {("node", 4), ("node", 7), ("node", 8), ("function", 1), ("function", 10), ("function", 13)}
#: Numbers that come each with a tag of its own, millions of them in trees.
RUNS = {
    "attribute": {7 << 3 | FIXED32: run(7, FIXED32), 8 << 3 | VARINT: run(8, VARINT)},
    "tensor": {
        4 << 3 | FIXED32: run(4, FIXED32), 5 << 3 | VARINT: run(5, VARINT), 7 << 3 | VARINT: run(7, VARINT),
        10 << 3 | FIXED64: run(10, FIXED64), 11 << 3 | VARINT: run(11, VARINT),
    },
}  # fmt: skip
RUNS["weight"] = RUNS["tensor"]
#: What a value can be, by the field of its type, and what numpy calls the elements of a tensor.
VALUES = {1: "tensor", 4: "sequence", 5: "map", 7: "opaque", 8: "sparse_tensor", 9: "optional"}
ELEMENTS = dict(
    enumerate(
        [
            "undefined",
            "float32",
            "uint8",
            "int8",
            "uint16",
            "int16",
            "int32",
            "int64",
            "string",
            "bool",
            "float16",
            "float64",
            "uint32",
            "uint64",
            "complex64",
            "complex128",
            "bfloat16",
            "float8e4m3fn",
            "float8e4m3fnuz",
            "float8e5m2",
            "float8e5m2fnuz",
            "uint4",
            "int4",
            "float4e2m1",
            "float8e8m0",
            "uint2",
            "int2",
            "float6e2m3",
            "float6e3m2",
        ]
    )
)
