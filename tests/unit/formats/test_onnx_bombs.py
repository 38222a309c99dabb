"""Small ONNX files that would become large, or never end: they are refused before anything is made of them."""

from __future__ import annotations

import contextlib
import time
import tracemalloc

import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper

from functions.repository import onnx_model
from functions.repository.protobuf import Malformed
from tests.onnx_models import linear


def length(content: bytes) -> bytes:
    """As the wire has it."""
    found, size = bytearray(), len(content)
    while size > 127:
        found.append(size & 127 | 128)
        size >>= 7
    return bytes([*found, size])


def wrapped(inside: bytes) -> bytes:
    """A model whose graph has this content."""
    return b"\x08\x08\x42\x02\x10\x11\x3a" + length(inside) + inside


BOMBS = {
    "nodes": (wrapped(b"\x0a\x00" * 1_000_000), "more than 100000 nodes"),
    "inputs": (wrapped(b"\x5a\x00" * 500_000), "more than 100000 inputs and outputs"),
    "values": (wrapped(b"\x6a\x00" * 1_100_000), "more than 1000000 parts"),
    "texts": (wrapped(b"\x52\x02/a" * 1_100_000), "more than 1000000 texts"),
    "long": (wrapped(b"\x52\x80\x80\x80\x14" + b"/a" * (20 << 20)), "more than 32 MB of texts"),
    "operators": (wrapped(b"".join(b"\x0a\x06\x22\x04%04d" % n for n in range(3000))), "more than 2000 different operators"),
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_small_files_that_would_take_much_memory_are_refused_at_once(bomb: str) -> None:
    content, reason = BOMBS[bomb]
    began = time.process_time()
    with pytest.raises(Malformed, match=reason):
        onnx_model.read(content)
    assert time.process_time() - began < 30  # which is no limit, but some library needs as many minutes


def test_little_memory_is_taken() -> None:
    tracemalloc.start()
    try:
        with pytest.raises(Malformed, match="nodes"):
            onnx_model.read(BOMBS["nodes"][0])
        assert tracemalloc.get_traced_memory()[1] < 10 << 20
    finally:
        tracemalloc.stop()


def test_what_is_listed_is_bounded() -> None:
    inputs = [helper.make_tensor_value_info(f"x{number}", 1, [1]) for number in range(1500)]
    graph = helper.make_graph([helper.make_node("Identity", ["x0"], ["y"])], "g" * 9000, inputs, [])
    model = helper.make_model(graph)
    for number in range(1500):
        model.metadata_props.add(key=f"k{number}", value="v" * 9000)
    told = onnx_model.read(model.SerializeToString())
    assert (len(told["inputs"]), len(told["properties"]), told["not_listed"]) == (1000, 1000, {"inputs": 500})
    assert max(map(len, [told["graph"], *told["properties"].values()])) < 2100


def test_trees_with_millions_of_numbers_are_read_quickly() -> None:
    """As ``ai.onnx.ml.TreeEnsembleRegressor`` has them: each number a field."""
    node = helper.make_node("Constant", [], ["y"])
    node.attribute.add(name="value_ints").ints.extend(range(2_000_000))
    node.attribute.add(name="value_floats").floats.extend([1.5] * 2_000_000)
    for _ in range(5):
        node.attribute.append(node.attribute[1])
    content = helper.make_model(helper.make_graph([node], "g", [], [])).SerializeToString()
    assert onnx_model.read(content)["operators"] == {"Constant": 1}  # 12 million fields


def test_graphs_within_graphs_end_somewhere() -> None:
    content = b""
    for _ in range(34):
        for tag in (0x32, 0x2A, 0x0A):  # a graph of an attribute of a node
            content = bytes([tag]) + length(content) + content
    content = wrapped(content)
    with pytest.raises(Malformed, match="deep"):
        onnx_model.read(content)


def test_two_names_of_one_operator_are_refused() -> None:
    with pytest.raises(Malformed, match="two of op_type"):
        onnx_model.read(wrapped(b"\x0a\x0a\x22\x03Mul\x22\x03Abs"))


@given(st.binary(max_size=200), st.integers(0, 199), st.integers(1, 255))
def test_nonsense_is_refused_as_such(content: bytes, where: int, by: int) -> None:
    good = bytearray(linear())
    good[where % len(good)] ^= by
    for each in (content, bytes(good)):
        with contextlib.suppress(Malformed):
            onnx_model.read(each)


def functions(*bodies: tuple[str, ...], overload: str = "") -> bytes:
    """A model whose functions f0, f1 ... call what is listed of each; its graph calls the last one."""
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    made = []
    for number, body in enumerate(bodies):
        nodes = [helper.make_node(name, ["a"], ["b"], domain="own" if name[0] == "f" else "") for name in body]
        made.append(helper.make_function("own", f"f{number}", ["a"], ["b"], nodes, imports))
        made[-1].overload = overload if number else ""
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
    graph = helper.make_graph([helper.make_node(f"f{len(bodies) - 1}", ["x"], ["x"], domain="own")], "g", [value], [value])
    found: bytes = helper.make_model(graph, opset_imports=imports, ir_version=10, functions=made).SerializeToString()
    return found


def test_functions_that_become_more_than_any_machine_has_are_refused_at_once() -> None:
    doubling = [(f"f{number}", f"f{number}") for number in range(900)]
    with pytest.raises(Malformed, match="nodes, once its functions are written out"):
        onnx_model.read(functions(("Neg",), *doubling))
    assert onnx_model.read(functions(("Neg",), *doubling[:15]))["functions"]
    assert onnx_model.read(functions(("Neg",) * 1000, ("f0",) * 90))["operators"] == {"Neg": 1000, "own.f0": 90, "own.f1": 1}


@pytest.mark.parametrize("bodies", [[("f0",)], [("f1",), ("f0",)], [("f2", "Neg"), ("f0",), ("f1",)]])
def test_a_function_that_calls_itself_is_refused(bodies: list[tuple[str, ...]]) -> None:
    with pytest.raises(Malformed, match="calls itself"):
        onnx_model.read(functions(*bodies))


def test_one_overload_of_a_function_may_call_another() -> None:
    model = onnx.load_from_string(functions(("Neg",), ("f1",), overload="second"))
    model.functions[0].name = "f1"  # of no overload, as the node in the second one calls it
    assert onnx_model.read(model.SerializeToString())["functions"] == ["own.f1"]
