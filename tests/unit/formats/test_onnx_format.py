"""ONNX: the demo's classifiers are described, work, and what is no model is refused."""

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper
from sklearn.datasets import load_digits

from functions.formats import by_name, sniff
from functions.formats.format import Broken
from infra.demo.inputs import models


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return models(tmp_path_factory.mktemp("models"))


def test_the_demo_models_recognise_digits_and_differ(made: Any) -> None:
    digits = load_digits()
    accuracies = []
    for path in made:
        session = onnxruntime.InferenceSession(path)
        label, probabilities = session.run(None, {"pixels": digits.data.astype("f4")})
        assert label.dtype == np.int64
        np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
        accuracies.append((label == digits.target).mean())
    assert accuracies[0] != accuracies[1]
    assert min(accuracies) > 0.85


def test_describe(lake: Any, made: Any) -> None:
    found = lake.describe("onnx", lake.put("digits.onnx", made[1]))
    assert found["inputs"] == [{"name": "pixels", "kind": "tensor", "dtype": "float32", "shape": ["N", 64]}]
    assert [value["name"] for value in found["outputs"]] == ["label", "probabilities"]
    assert found["parameters"] == 1 + 64 * 48 + 48 + 48 * 10 + 10
    assert found["operators"]["Gemm"] == 2
    assert (found["opset"], found["ir_version"], found["producer"]) == ({"ai.onnx": 17}, 9, "sluice-demo")
    assert float(found["properties"]["accuracy"]) > 0.85
    assert lake.index("onnx", lake.put("digits.onnx", made[1])) is None


def test_external_data_are_named(lake: Any, made: Any) -> None:
    model = onnx.load(made[0])
    tensor = model.graph.initializer[1]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="weights.bin")
    assert lake.describe("onnx", lake.put("e.onnx", model.SerializeToString()))["external_data"] == ["weights.bin"]


def test_sniff_goes_by_the_structure(made: Any) -> None:
    head = made[0].read_bytes()[:65536]
    assert sniff(head, "no-suffix").name == "onnx"
    assert sniff(b"\x08\x07", "x").name == "opaque"
    assert sniff(b"\x08\x07\x12\x04abcd", "x").name == "opaque"
    assert sniff(bytes(range(256)), "x.onnx").name == "opaque"
    assert sniff(b"", "x.onnx").name == "onnx"


def test_broken_models_say_so(lake: Any, made: Any) -> None:
    data = made[0].read_bytes()
    with pytest.raises(Broken, match="was cut off"):
        lake.describe("onnx", lake.put("b.onnx", data[:-200]))
    with pytest.raises(Broken, match="is empty"):
        lake.describe("onnx", lake.put("b.onnx", b""))
    empty = helper.make_model(helper.make_graph([], "g", [], []))
    empty.ClearField("graph")
    with pytest.raises(Broken, match="no graph"):
        by_name("onnx").describe(lake.put("b.onnx", empty.SerializeToString()), {})
