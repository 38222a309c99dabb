"""Hostile models neither kill nor stall: the lake refuses each with its reason and goes on with everything else meanwhile."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import httpx
import onnx
import pytest
from onnx import TensorProto, helper

from tests.conftest import Sluice, eventually
from tests.onnx_models import endless, linear

MEMORY_GB = 1.5


def constant(count: int) -> bytes:
    """So many numbers, of which the model's file has one."""
    value = helper.make_tensor("v", TensorProto.FLOAT, [1], [1.0])
    graph = helper.make_graph(
        [helper.make_node("ConstantOfShape", ["shape"], ["y"], value=value)], "huge", [],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [helper.make_tensor("shape", TensorProto.INT64, [1], [count])],
    )  # fmt: skip
    made: bytes = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()
    return made


def asking() -> bytes:
    """Adds up as many ones as it is asked for: harmless until somebody asks for many."""
    value = helper.make_tensor("v", TensorProto.FLOAT, [1], [1.0])
    graph = helper.make_graph(
        [helper.make_node("ConstantOfShape", ["x"], ["ones"], value=value),
         helper.make_node("ReduceSum", ["ones"], ["y"], keepdims=0)], "asking",
        [helper.make_tensor_value_info("x", TensorProto.INT64, [1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [])],
    )  # fmt: skip
    made: bytes = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()
    return made


def outside() -> bytes:
    """Its weights are said to lie in a file of the machine that loads it."""
    model = onnx.load_from_string(linear())
    model.graph.initializer[0].data_location = TensorProto.EXTERNAL
    model.graph.initializer[0].external_data.add(key="location", value="../../etc/passwd")
    made: bytes = model.SerializeToString()
    return made


class Evil:
    """What a pickle can do."""

    def __reduce__(self) -> tuple[Any, ...]:
        return exec, ("raise SystemExit('it ran')",)


def crowded() -> bytes:
    """Two megabytes of nodes that have nothing in them: 700 MB to the library of ONNX."""
    nodes = b"\x0a\x00" * 1_000_000
    return b"\x08\x08\x42\x02\x10\x11\x3a\x80\x89\x7a" + nodes


HOSTILE = {
    "crowded": (crowded(), "more than 100000 nodes"),
    "huge": (constant(10_000_000_000), "ONNX Runtime could not run it"),
    "outside": (outside(), "external_data=False"),
    "pickled": (pickle.dumps(Evil()), "Python pickle"),
    "endless": (endless(), "no answer within 30 s"),
}


@pytest.fixture
def served(sluice: Sluice) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    command = [sys.executable, "-m", "infra.cli", "serve", "--port", "0", "--json"]
    environment = {**sluice.environment, "SLUICE_SERVING_MEMORY_GB": str(MEMORY_GB)}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        yield json.loads(process.stdout.readline())["url"], process
    finally:
        process.terminate()
        process.wait(20)
        process.stdout.close()


def upload(lake: Sluice, bucket: str, **found: bytes) -> None:
    store = lake.store()
    store.ensure(bucket)
    for name, content in found.items():
        store.write(bucket, f"{name}.onnx" if bucket == "models" else name, content)
    store.close()


def causes(lake: Sluice) -> dict[str, str]:
    found = lake.get("/events", type="dev.sluice.model.rejected.v1", limit=100)["events"]
    return {each["event"]["data"]["name"]: each["event"]["data"]["cause"] for each in found}


@pytest.mark.timeout(240)
def test_the_lake_works_on_while_it_tries_models_that_never_end(sluice: Sluice) -> None:
    """More of them than it has threads, each of which takes half a minute."""
    upload(sluice, "models", **{name: content for name, (content, _) in HOSTILE.items()})
    upload(sluice, "models", **{f"again-{number}": endless() for number in range(2)})
    eventually(lambda: len(sluice.get("/events", type="dev.sluice.model.submitted.v1", limit=100)["events"]) >= 5, 30)
    upload(sluice, "raw", rows=b"a,b\n1,2\n")
    eventually(lambda: sluice.get("/catalog", bucket="raw")["entries"], 20, "an object to be catalogued meanwhile")
    upload(sluice, "models", honest=linear())
    eventually(
        lambda: [each["name"] for each in sluice.get("/models")["models"]] == ["honest"], 60, "an honest model meanwhile"
    )
    assert len([name for name in causes(sluice) if "endless" in name or "again" in name]) < 3, "they are still being tried"
    eventually(lambda: HOSTILE.keys() <= causes(sluice).keys(), 150, "each to be refused")
    told = causes(sluice)
    for name, (_, reason) in HOSTILE.items():
        assert reason in told[name]
    assert sluice.process is not None
    assert sluice.process.poll() is None
    assert [each["name"] for each in sluice.get("/models")["models"]] == ["honest"]


def test_a_model_that_asks_for_too_much_fails_alone(sluice: Sluice, served: tuple[str, subprocess.Popen[bytes]]) -> None:
    url, process = served
    upload(sluice, "models", asking=asking(), linear=linear())

    def ask(name: str, datatype: str, shape: list[int], data: list[float]) -> httpx.Response:
        document = {"inputs": [{"name": "x", "shape": shape, "datatype": datatype, "data": data}]}
        return httpx.post(f"{url}/v2/models/{name}/infer", json=document, timeout=60)

    eventually(lambda: ask("asking", "INT64", [1], [3]).is_success, 60, "the model to be served")
    eventually(lambda: ask("linear", "FP32", [1, 3], [1, 1, 1]).is_success, 60, "the other to be served")
    for _ in range(3):
        answer = ask("asking", "INT64", [1], [10**9])  # 4 GB
        assert answer.status_code == 500, answer.text
        assert ask("asking", "INT64", [1], [10**8]).json()["outputs"][0]["data"] == [1e8]  # 0.4 GB, given back each time
        assert ask("linear", "FP32", [1, 3], [1, 1, 1]).json()["outputs"][0]["data"] == [2, 2, 2]
        assert httpx.get(f"{url}/v2/health/live").is_success
    assert process.poll() is None
