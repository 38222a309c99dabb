"""``sluice serve`` as people use it: beside a running lake, asked by curl and by KServe's own client."""

from __future__ import annotations

import hashlib
import json
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial

import httpx
import numpy as np
import psutil
from onnx import TensorProto, helper

from tests.conftest import Sluice, eventually, need
from tests.e2e.served import Served, push, sluice, versions
from tests.onnx_models import linear


def counting() -> bytes:
    """Counts to its input, one step at a time: as slow as one likes."""
    int64, scalar = TensorProto.INT64, helper.make_tensor_value_info
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["on"]), helper.make_node("Add", ["v", "one"], ["w"])], "body",
        [scalar("i", int64, []), scalar("go", TensorProto.BOOL, []), scalar("v", int64, [])],
        [scalar("on", TensorProto.BOOL, []), scalar("w", int64, [])],
    )  # fmt: skip
    graph = helper.make_graph(
        [helper.make_node("Squeeze", ["to"], ["n"]), helper.make_node("Loop", ["n", "", "zero"], ["found"], body=body)],
        "counting", [scalar("to", int64, [1])], [scalar("found", int64, [])],
        [helper.make_tensor("zero", int64, [], [0]), helper.make_tensor("one", int64, [], [1])],
    )  # fmt: skip
    made: bytes = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()
    return made


def test_models_are_served_and_swapped_without_a_restart_and_outlive_the_lake(lake, served):
    assert served.answered(404)
    push(lake, "linear", linear(2))
    eventually(partial(served.answered, 200, 2), 60, "version 1 to be served")
    sluice(lake, "model", "promote", "linear", "1")
    push(lake, "linear", linear(5))
    eventually(lambda: versions(lake) == [1, 2], 60)
    assert served.answered(200, 2)
    sluice(lake, "model", "promote", "linear", "2")
    eventually(partial(served.answered, 200, 5), 20, "the promoted version")
    assert lake.stop() == 0
    assert served.answered(200, 5)
    lake.start()
    sluice(lake, "model", "rollback", "linear")
    eventually(partial(served.answered, 200, 2), 20, "the lake to be followed again")
    assert served.process.poll() is None


def test_a_lake_that_was_killed_is_followed_again_on_the_other_ports_that_it_gets(tmp_path):
    lake = Sluice(tmp_path / "data")
    try:
        lake.start()
        push(lake, "linear", linear(2))
        with closing(Served(lake)) as served:
            eventually(partial(served.answered, 200, 2), 60, "version 1 to be served")
            before = lake.endpoints
            lake.stop(signal.SIGKILL)
            lake.start()
            assert not {before["http"], before["s3"]} & {lake.endpoints["http"], lake.endpoints["s3"]}
            push(lake, "linear", linear(5))
            eventually(partial(served.answered, 200, 5), 60, "version 2, of the lake on its other ports")
    finally:
        lake.close()


def test_a_sidecar_may_come_late_and_what_is_told_of_a_model_stays_with_it(tmp_path):
    strict = json.dumps([{"name": "models", "bucket": "models", "sidecars": True}])
    lake = Sluice(tmp_path / "data", SLUICE_MODELS=strict)
    try:
        lake.start()
        store = lake.store()
        store.ensure("models")
        content = linear(7)
        store.write("models", "late.onnx", content)
        eventually(lambda: lake.get("/events", type="dev.sluice.model.rejected.v1")["events"], 20, "the refusal")
        store.write("models", "late.onnx.sha512asc", f"{hashlib.sha512(content).hexdigest()}  late.onnx\n".encode())
        eventually(lambda: versions(lake) == [1], 20, "the version")
        store.close()
        (tmp_path / "told.onnx").write_bytes(linear(8))
        sluice(
            lake, "model", "push", "told", str(tmp_path / "told.onnx"), "--metric", "accuracy=0.9", "--dataset", "s3://raw/a"
        )
        eventually(lambda: versions(lake) == [1, 1], 20, "the other version")
        assert lake.get("/models", name="told")["models"][0]["metrics"] == {"accuracy": 0.9}

        def used() -> set[str]:
            answer = httpx.get(f"{lake.endpoints['http']}/lineage/models/told/1/model.onnx")
            return {one["entity"] for each in answer.json().get("origin", []) for one in each["used"]}

        eventually(lambda: "s3://raw/a" in used(), 20, "its lineage")
    finally:
        lake.close()


def test_sigterm_answers_what_was_asked(lake, served):
    push(lake, "counting", counting())
    count = partial(served.ask, "counting")
    asked = {"inputs": [{"name": "to", "shape": [1], "datatype": "INT64", "data": [0]}]}
    eventually(lambda: count(asked).status_code == 200, 60, "the model to be served")
    asked["inputs"][0]["data"] = [1_500_000]
    before = sum(psutil.Process(served.process.pid).cpu_times()[:2])
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(count, asked)
        eventually(
            lambda: sum(psutil.Process(served.process.pid).cpu_times()[:2]) > before + 0.2, 20, "the model to be at work"
        )
        assert not answer.done()
        served.process.terminate()
        assert answer.result().json()["outputs"][0]["data"] == [1_500_000]
    assert served.process.wait(20) == 0


def test_curl_speaks_json_and_binary(lake, served, tmp_path):
    need("curl")
    push(lake, "linear", linear(2))
    eventually(partial(served.answered, 200, 2), 60)
    url = f"{served.url}/v2/models/linear/infer"
    values = np.arange(6, dtype="<f4").reshape(2, 3)
    told = {
        "inputs": [{"name": "x", "shape": [2, 3], "datatype": "FP32", "parameters": {"binary_data_size": values.nbytes}}],
        "outputs": [{"name": "y", "parameters": {"binary_data": True}}],
    }
    text = json.dumps(told).encode()
    (tmp_path / "body").write_bytes(text + values.tobytes())
    headers = ["-H", "Content-Type: application/octet-stream", "-H", f"Inference-Header-Content-Length: {len(text)}"]
    raw = subprocess.run(
        ["curl", "-sS", *headers, "--data-binary", f"@{tmp_path / 'body'}", url], capture_output=True, check=True
    )
    np.testing.assert_array_equal(np.frombuffer(raw.stdout[-values.nbytes :], "<f4").reshape(2, 3), values * 2)
    document = json.dumps({"inputs": [{"name": "x", "shape": [1, 3], "datatype": "FP32", "data": [1, 2, 3]}]})
    flat = subprocess.run(["curl", "-sS", "-d", document, url], capture_output=True, check=True, text=True)
    assert json.loads(flat.stdout)["outputs"][0]["data"] == [2, 4, 6]


def test_a_result_follows_its_model_and_its_input(lake, served):
    push(lake, "linear", linear(2))
    eventually(partial(served.answered, 200, 2), 60)
    store = lake.store()
    store.ensure("raw")

    def write(values: list[float]) -> None:
        document = {"inputs": [{"name": "x", "shape": [1, 3], "datatype": "FP32", "data": values}]}
        store.write("raw", "question.json", json.dumps(document).encode())

    def kept() -> list[float]:
        found: list[float] = served.get("/results/mine").json()["outputs"][0]["data"]
        return found

    write([1, 2, 3])
    document = {"model": "linear", "input": "s3://raw/question.json"}
    assert httpx.put(f"{served.url}/results/mine", json=document, timeout=30).status_code == 201
    assert kept() == [2, 4, 6]
    write([5, 5, 5])
    eventually(lambda: kept() == [10, 10, 10], 30, "the changed input")
    push(lake, "linear", linear(3))
    eventually(lambda: kept() == [15, 15, 15], 60, "the new version")
    store.close()
