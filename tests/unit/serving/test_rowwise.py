"""Requests are joined only where nobody's answer depends on it: whatever mixes rows is found out, and asked one by one."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from infra.models.loader import Record, Verified
from infra.serving import batch
from infra.serving.batcher import Batcher
from infra.serving.model import OnnxModel
from infra.serving.rowwise import Rows
from tests.onnx_models import operators, rowed

make = helper.make_node
FIRST = numpy_helper.from_array(np.array(0, "i8"), "first")
MUCH = numpy_helper.from_array(np.array(1e7, "f4"), "much")
WEIGHT = numpy_helper.from_array(np.random.default_rng(3).standard_normal((4, 4)).astype("f4"), "w")
NINES = numpy_helper.from_array(np.array(9e3, "f4"), "most")
ONE = numpy_helper.from_array(np.array(1, "i8"), "one")
TOP = helper.make_tensor("top", TensorProto.INT64, [1], [1])

MIXING = {
    "softmax": rowed([make("Softmax", ["x"], ["y"], axis=0)]),
    "mean": rowed([make("ReduceMean", ["x"], ["m"], axes=[0]), make("Sub", ["x", "m"], ["y"])]),
    "sum so far": rowed([make("CumSum", ["x", "first"], ["y"])], [FIRST]),
    "sum to come": rowed([make("CumSum", ["x", "first"], ["y"], reverse=1)], [FIRST]),
    "largest": rowed([make("ReduceMax", ["x"], ["m"], axes=[0]), make("Div", ["x", "m"], ["y"])]),
    "largest beyond a threshold": rowed(
        [make("ReduceMax", ["x"], ["m"], axes=[0]), make("Sub", ["m", "much"], ["d"]), make("Relu", ["d"], ["r"]),
         make("Add", ["x", "r"], ["y"])], [MUCH]),
    "smallest below a threshold": rowed(
        [make("ReduceMin", ["x"], ["m"], axes=[0]), make("Neg", ["m"], ["o"]), make("Max", ["o", "most"], ["r"]),
         make("Add", ["x", "r"], ["y"])], [NINES]),
    "number of rows": rowed(
        [make("Shape", ["x"], ["s"]), make("ReduceMax", ["s"], ["r"]), make("Cast", ["r"], ["c"], to=TensorProto.FLOAT),
         make("Mul", ["x", "c"], ["y"])]),
    "integers": rowed(
        [make("ReduceSum", ["x", "axes"], ["s"]), make("Add", ["x", "s"], ["y"])],
        [helper.make_tensor("axes", TensorProto.INT64, [1], [0])], TensorProto.INT64),
    "loop": rowed(
        [make("Loop", ["one", "", "x"], ["y"], body=helper.make_graph(
            [make("Identity", ["go"], ["on"]), make("Identity", ["v"], ["w"])], "body",
            [helper.make_tensor_value_info("i", TensorProto.INT64, []),
             helper.make_tensor_value_info("go", TensorProto.BOOL, []),
             helper.make_tensor_value_info("v", TensorProto.FLOAT, ["n", 4])],
            [helper.make_tensor_value_info("on", TensorProto.BOOL, []),
             helper.make_tensor_value_info("w", TensorProto.FLOAT, ["n", 4])]))], [ONE]),
}  # fmt: skip
ROWWISE = {
    "softmax": rowed([make("Softmax", ["x"], ["y"], axis=-1)]),
    "mean": rowed([make("ReduceMean", ["x"], ["m"], axes=[1]), make("Sub", ["x", "m"], ["y"])]),
    "perceptron": rowed(
        [make("MatMul", ["x", "w"], ["a"]), make("Relu", ["a"], ["b"]), make("MatMul", ["b", "w"], ["y"])], [WEIGHT]
    ),
    "integers": rowed([make("Add", ["x", "x"], ["y"])], kind=TensorProto.INT64),
}
ROUNDED = rowed([make("Softplus", ["x"], ["y"])])


def verified(content: bytes, **more: Any) -> Verified:
    metadata = {"operators": operators(content)} | more
    return Verified(Record(name="m", version=1, key="k", digest=str(hash(content)), size=1, metadata=metadata), content)


def together(model: OnnxModel, parts: list[np.ndarray]) -> list[np.ndarray]:
    async def asked() -> list[Any]:
        batcher = Batcher(model)
        found = await asyncio.gather(*[batcher.infer({"x": part}, None) for part in parts])
        batcher.close()
        return found

    return [answer["y"] for answer in asyncio.run(asked())]


@pytest.mark.parametrize("name", MIXING)
def test_a_model_that_mixes_rows_is_never_joined(name):
    model = OnnxModel(verified(MIXING[name]))
    assert (model.rows, model.joins) == (Rows.MIXED, False)


@pytest.mark.parametrize("name", ROWWISE)
def test_a_model_whose_rows_are_independent_is_joined(name):
    assert OnnxModel(verified(ROWWISE[name])).joins


def test_nothing_is_taken_for_granted():
    content = ROWWISE["perceptron"]
    assert not OnnxModel(verified(content, operators={})).joins, "nobody says what it is made of"
    assert not OnnxModel(verified(content, operators={"com.acme.Magic": 1})).joins
    assert OnnxModel(verified(ROUNDED)).rows is not Rows.MIXED


MODELS = {name: OnnxModel(verified(content)) for name, content in MIXING.items() if name != "integers"}
MODELS |= {f"{name} by row": OnnxModel(verified(content)) for name, content in ROWWISE.items() if name != "integers"}
MODELS["rounded"] = OnnxModel(verified(ROUNDED))


@given(st.sampled_from(sorted(MODELS)), st.lists(st.integers(1, 9), min_size=2, max_size=12), st.integers(0, 2**32 - 1))
@settings(max_examples=150, deadline=None)
def test_who_asks_beside_others_gets_the_bits_of_who_asks_alone(name, sizes, seed):
    chance = np.random.default_rng(seed)
    parts = [(chance.standard_normal((size, 4)) * 10.0 ** chance.integers(-3, 9)).astype("f4") for size in sizes]
    model = MODELS[name]
    for part, found in zip(parts, together(model, parts), strict=True):
        assert found.tobytes() == model.run({"x": part})["y"].tobytes()


@pytest.mark.parametrize(("name", "whole"), [("softmax", True), ("loop", True), ("softmax by row", False), ("rounded", False)])
def test_batch_inference_cuts_only_rows_that_are_independent(monkeypatch, name, whole):
    sizes: list[int] = []
    model = MODELS[name]
    run = model.run

    def counting(inputs):
        sizes.append(len(inputs["x"]))
        return run(inputs)

    monkeypatch.setattr(model, "run", counting)
    monkeypatch.setitem(batch._LOADED, model.record.digest, model)
    rows = np.random.default_rng(1).standard_normal((10, 4)).astype("f4")
    told = msgspec.json.encode(model.record)
    found = batch.infer(rows, b"", record=told, options=batch.Options(rows=4))
    assert sizes == ([10] if whole else [4, 4, 2])
    np.testing.assert_allclose(found["y"], run({"x": rows})["y"], rtol=1e-5)


def test_batch_inference_keeps_to_a_number_of_rows_that_is_fixed():
    graph = helper.make_graph(
        [make("Softmax", ["x"], ["y"], axis=0)], "fixed",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [2, 3])],
    )  # fmt: skip
    content = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()
    given = verified(content)
    rows = np.arange(12, dtype="f4").reshape(4, 3)
    found = batch.infer(rows, content, record=msgspec.json.encode(given.record), options=batch.Options())
    np.testing.assert_allclose(found["y"].reshape(2, 2, 3).sum(1), 1, rtol=1e-6)
