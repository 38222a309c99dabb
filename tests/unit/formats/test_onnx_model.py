"""What an ONNX file tells without being loaded: as ONNX reads it, in bounded memory, with each trace of a machine."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import TensorProto, helper

from functions.repository import onnx_model, safety, traces
from functions.repository.onnx_messages import ELEMENTS, KINDS, SKIP
from tests.onnx_models import linear

#: The models that ONNX's own package is tested with.
GIVEN = sorted(Path(onnx.__file__).parent.rglob("*.onnx"))
#: What we call messages that are the same to ONNX.
SAME = {
    "model": "ModelProto", "graph": "GraphProto", "node": "NodeProto", "attribute": "AttributeProto", "value": "ValueInfoProto",
    "input": "ValueInfoProto", "output": "ValueInfoProto", "tensor": "TensorProto", "weight": "TensorProto",
    "sparse": "SparseTensorProto", "function": "FunctionProto", "training": "TrainingInfoProto", "opset": "OperatorSetIdProto",
    "annotation": "TensorAnnotation", "property": "StringStringEntryProto", "naming": "StringStringEntryProto",
    "entry": "StringStringEntryProto", "device": "DeviceConfigurationProto", "placement": "NodeDeviceConfigurationProto",
    "sharding": "ShardingSpecProto", "axes": "ShardedDimProto", "axis": "TensorShapeProto.Dimension", "type": "TypeProto",
    "shape": "TensorShapeProto", "opaque": "TypeProto.Opaque", "mapped": "TypeProto.Map",
}  # fmt: skip
SECRET = 'File "/home/alice/secret/train.py", line 12'


def described(model: Any) -> dict[str, Any]:
    """The same by ONNX's own library."""
    graphs = list(inner(model.graph))
    nodes = [node for graph in graphs for node in graph.node] + [node for each in model.functions for node in each.node]
    names = [node.op_type if node.domain in ("", "ai.onnx") else f"{node.domain}.{node.op_type}" for node in nodes]
    weights = {tensor.name for tensor in model.graph.initializer}
    return {
        "inputs": [value.name for value in model.graph.input if value.name not in weights],
        "outputs": [value.name for value in model.graph.output],
        "operators": {name: names.count(name) for name in sorted(set(names))},
        "opset": {each.domain or "ai.onnx": each.version for each in model.opset_import},
        "ir_version": model.ir_version,
        "graph": model.graph.name,
        "properties": {each.key: each.value for each in model.metadata_props},
    }


def inner(graph: Any) -> Any:
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for each in [*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs]:
                yield from inner(each)


def test_onnxs_own_models_read_as_its_library_reads_them() -> None:
    assert len(GIVEN) > 100
    for file in GIVEN:
        content = file.read_bytes()
        told = onnx_model.read(content)
        assert not safety.fault({**told, "operators": {}}), file
        for name in ("inputs", "outputs"):
            told[name] = [each["name"] for each in told[name]]
        wanted = described(onnx.load_from_string(content))
        assert {name: told[name] for name in wanted} == wanted, file


def test_the_messages_are_onnxs() -> None:
    import onnx.onnx_ml_pb2 as library

    for kind, name in SAME.items():
        found: Any = library
        for step in name.split("."):
            found = getattr(found, step)
        theirs = {each.number: each.name for each in found.DESCRIPTOR.fields}
        assert {number: field for number, (field, _) in KINDS[kind].items()} == {n: theirs[n] for n in KINDS[kind]}, kind
        # what we do not know of is a number
        left = {each.name: each.type for each in found.DESCRIPTOR.fields if each.number not in KINDS[kind]}
        assert all(wire not in (each_text, each_message) for wire in left.values() for each_text, each_message in [(9, 11)]), (
            left
        )
    assert {what for fields in KINDS.values() for _, what in fields.values()} <= {*KINDS, "text", "name", SKIP}
    names = {number: name.lower() for name, number in TensorProto.DataType.items()}
    theirs = {number: {"float": "float32", "double": "float64"}.get(name, name) for number, name in names.items()}
    assert theirs == ELEMENTS


def test_types_and_shapes() -> None:
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("Identity", ["a"], ["b"])], "g",
        [value("a", TensorProto.DOUBLE, ["n", 3, None]), value("s", TensorProto.BFLOAT16, None),
         helper.make_value_info("q", helper.make_sequence_type_proto(helper.make_tensor_type_proto(1, [1])))],
        [value("b", TensorProto.INT4, [-1])],
    )  # fmt: skip
    told = onnx_model.read(helper.make_model(graph).SerializeToString())
    assert told["inputs"] == [
        {"name": "a", "kind": "tensor", "dtype": "float64", "shape": ["n", 3, None]},
        {"name": "s", "kind": "tensor", "dtype": "bfloat16"},
        {"name": "q", "kind": "sequence"},
    ]
    assert told["outputs"] == [{"name": "b", "kind": "tensor", "dtype": "int4", "shape": [-1]}]


def rich() -> Any:
    """A model that has one of everything."""
    model = onnx.load_from_string(linear())
    branch = helper.make_graph(
        [helper.make_node("Relu", ["y"], ["z"])], "branch", [], [helper.make_tensor_value_info("z", 1, None)]
    )
    model.graph.node.append(helper.make_node("If", ["c"], ["z"], then_branch=branch, else_branch=branch))
    model.graph.node.append(helper.make_node("Constant", [], ["k"], value=helper.make_tensor("k", 1, [1], [1.0])))
    sparse = helper.make_sparse_tensor(helper.make_tensor("v", 1, [1], [1.0]), helper.make_tensor("i", 7, [1], [0]), [3])
    model.graph.node.append(helper.make_node("Constant", [], ["m"], sparse_value=sparse))
    model.graph.sparse_initializer.append(sparse)
    model.graph.value_info.append(helper.make_tensor_value_info("k", 1, [1]))
    model.graph.quantization_annotation.add().quant_parameter_tensor_names.add(key="SCALE_TENSOR", value="/fc1/scale")
    body = helper.make_graph([helper.make_node("Neg", ["p"], ["r"])], "body", [], [helper.make_tensor_value_info("r", 1, None)])
    nodes = [helper.make_node("If", ["p"], ["q"], then_branch=body, else_branch=body)]
    made = helper.make_function("own", "Twice", ["p"], ["q"], nodes, [helper.make_opsetid("", 17)])
    model.functions.append(made)
    model.graph.node.append(helper.make_node("Twice", ["y"], ["t"], domain="own"))
    model.opset_import.add(domain="own", version=1)
    training = model.training_info.add()
    training.algorithm.node.append(helper.make_node("Sub", ["y", "w"], ["u"]))
    training.initialization.node.append(helper.make_node("Constant", [], ["o"], value_float=0.0))
    training.update_binding.add(key="w", value="u")
    return model


#: Every place of a model that may tell of the machine: how to reach it in ``rich()``.
PLACES = {
    "model": lambda m: m,
    "graph": lambda m: m.graph,
    "node": lambda m: m.graph.node[0],
    "attribute": lambda m: m.graph.node[2].attribute[0],
    "constant": lambda m: m.graph.node[2].attribute[0].t,
    "sparse constant": lambda m: m.graph.node[3].attribute[0].sparse_tensor.values,
    "branch": lambda m: m.graph.node[1].attribute[1].g,
    "node of a branch": lambda m: m.graph.node[1].attribute[0].g.node[0],
    "value of a branch": lambda m: m.graph.node[1].attribute[0].g.output[0],
    "initializer": lambda m: m.graph.initializer[0],
    "sparse initializer": lambda m: m.graph.sparse_initializer[0].indices,
    "input": lambda m: m.graph.input[0],
    "output": lambda m: m.graph.output[0],
    "value": lambda m: m.graph.value_info[0],
    "function": lambda m: m.functions[0],
    "node of a function": lambda m: m.functions[0].node[0],
    "node of a branch of a function": lambda m: m.functions[0].node[0].attribute[0].g.node[0],
    "graph of a training": lambda m: m.training_info[0].algorithm,
    "node of a training": lambda m: m.training_info[0].initialization.node[0],
    "constant of a training": lambda m: m.training_info[0].initialization.node[0].attribute[0],
}


def test_harmless_models_have_no_traces() -> None:
    told = onnx_model.read(rich().SerializeToString())
    assert "leaks" not in told
    assert told["functions"] == ["own.Twice"]
    assert safety.fault(told) == ""


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("field", ["doc_string", "metadata_props", "key", "name"])
def test_a_trace_is_found_wherever_it_is(place: str, field: str) -> None:
    model = rich()
    found = PLACES[place](model)
    fields = {each.name for each in found.DESCRIPTOR.fields}
    if field in ("doc_string", "name") and field in fields:
        setattr(found, field, SECRET)
    elif field in ("metadata_props", "key") and "metadata_props" in fields:
        told = {"key": "note", "value": SECRET} if field != "key" else {"key": "pkg.torch.onnx.stack_trace", "value": "none"}
        found.metadata_props.add(**told)
    elif place == "attribute":
        found.s = SECRET.encode()
    else:
        return
    told = onnx_model.read(model.SerializeToString())
    assert told["leaks"]
    assert "traces of the machine" in safety.fault({**told, "operators": {}})
    assert "alice" not in safety.fault(told)


@pytest.mark.parametrize("field", ["producer_name", "producer_version", "domain"])
def test_a_trace_in_what_made_the_model_is_found(field: str) -> None:
    model = rich()
    setattr(model, field, "torch 2.1 (/srv/build/torch)")
    assert onnx_model.read(model.SerializeToString())["leaks"] == [f"{field} of the model"]


TRACES = [
    SECRET, "/home/alice/train", "see file:///home/alice/x", "[/home/alice/x]", "at:/home/alice/x", "x=/srv/data/x",
    r"\\host\share\x", r"C:\Users\alice\x", "D:/data/x/y", '{"file": "C:\\\\Users\\\\alice"}', "/дом/алиса/код",
    "/home/алиса/код", "~/work/x", "%TEMP%/x", "$HOME/x", "src/train.py", "train.py:12", "Traceback (most recent call last):\n",
    "//nas/models/x", "(/opt/model/x)", "<frozen>/usr/lib/x",
]  # fmt: skip
HARMLESS = [
    "", "linear", "https://example.org/a/b.py", "s3://raw/a/b.npy", "fused Conv /fc1/Gemm with activation Relu", "2026/01/02",
    "read/write ratio 1/2/3", "image/png", "v1.2", "a line 12", r"\alpha", "N/A", "and/or", "['', 'layers', 'layers.0']",
]  # fmt: skip
NODES = [
    "/fc1/Gemm", "/model/layers.0/self_attn/q_proj/MatMul", "/root/conv/Conv", "/home/Gemm", "/opt/decoder/layers.3/fc1/Gemm",
    "onnx::Gemm_0", "StatefulPartitionedCall/model/conv/Conv2D:0", "/0/Gemm_output_0", "/data/embed/Gather", "node_linear.py_1",
]  # fmt: skip


@pytest.mark.parametrize("text", TRACES)
def test_paths_and_traces_are_recognised(text: str) -> None:
    model = rich()
    model.graph.doc_string = text
    assert onnx_model.read(model.SerializeToString()).get("leaks") == ["doc_string of a graph"]


@pytest.mark.parametrize("text", HARMLESS)
def test_other_texts_are_not(text: str) -> None:
    model = rich()
    model.graph.node[0].name = "/fc1/Gemm"
    model.graph.doc_string = text
    model.metadata_props.add(key="note", value=text)
    assert "leaks" not in onnx_model.read(model.SerializeToString())


@pytest.mark.parametrize("piece", ["/a", "a ", "\\", "x.y:/", 'File "', "a://", "a+", "%a", "~a", "/x.", "/tmp/", "a:/b"])
def test_long_texts_are_searched_in_one_go(piece: str) -> None:
    """Each of these takes minutes if anything is looked at again and again."""
    began = time.process_time()
    traces.certain(piece * (1_000_000 // len(piece)))
    traces.steps(piece * (1_000_000 // len(piece)), 1000)
    assert time.process_time() - began < 10


@pytest.mark.parametrize("name", NODES)
def test_names_of_nodes_are_no_paths(name: str) -> None:
    model = rich()
    model.graph.node[0].name = name
    model.graph.node[0].output[0] = name
    assert "leaks" not in onnx_model.read(model.SerializeToString())


@pytest.mark.parametrize(
    "name", ["/home/alice/secret/Gemm", r"C:\work\model", "/app/train.py", "/Users/alice/x", "C:/work/a/b"]
)
def test_names_that_are_paths_are_found(name: str) -> None:
    model = rich()
    model.graph.node[0].name = name
    assert onnx_model.read(model.SerializeToString())["leaks"] == ["name of a node"]


@pytest.mark.parametrize("place", ["constant", "sparse constant", "initializer", "sparse initializer"])
def test_weights_in_other_files_are_found_wherever_they_are(place: str) -> None:
    model = rich()
    PLACES[place](model).external_data.add(key="location", value="../../etc/passwd")
    told = onnx_model.read(model.SerializeToString())
    assert told["external_data"] == ["../../etc/passwd"]
    assert "external_data=False" in safety.fault(told)
    model = rich()
    PLACES[place](model).data_location = TensorProto.EXTERNAL
    assert onnx_model.read(model.SerializeToString())["external_data"] == ["unnamed"]


@pytest.mark.parametrize(
    "place", ["node", "node of a branch", "node of a function", "node of a branch of a function", "node of a training"]
)
def test_foreign_operators_are_found_wherever_they_are(place: str) -> None:
    model = rich()
    PLACES[place](model).domain = "evil"
    assert "(evil." in safety.fault(onnx_model.read(model.SerializeToString()))


def test_a_function_that_calls_itself_like_a_built_in_operator_does_not_allow_that() -> None:
    model = rich()
    model.functions[0].domain = model.graph.node[-1].domain = "com.microsoft"
    told = onnx_model.read(model.SerializeToString())
    assert "(com.microsoft.Twice)" in safety.fault(told)
    assert safety.fault(told, ["com.microsoft.*"]) == ""


@pytest.mark.parametrize(
    ("rules", "fault"),
    [
        ([], "evil.Op"), (["evil.*"], ""), (["evil.*", "!evil.Op"], "evil.Op"), (["evil.*", "!Loop"], "Loop"),
        (["!*", "Mul", "ai.*", "evil.Op"], "Loop"), (["!*", "Mul", "Loop", "evil.Op", "ai.onnx.ml.Scaler"], ""),
        (["evil.Op", "!ai.onnx.ml.*"], "ai.onnx.ml.Scaler"), (["evil.[O]p", "evil.?p"], "evil.Op"),
    ],
)  # fmt: skip
def test_the_operators_that_are_allowed_are_configured(rules: list[str], fault: str) -> None:
    told = {"operators": {"Mul": 1, "Loop": 1, "evil.Op": 2, "ai.onnx.ml.Scaler": 1}}
    assert (f"({fault})" in safety.fault(told, rules)) if fault else not safety.fault(told, rules)
    assert safety.fault({"operators": {"ai.onnx.ml.evil.Op": 1}})
