"""``sluice serve`` as people use it: beside a running lake, asked by curl and by KServe's own client."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import httpx
import numpy as np
import psutil
import pytest
from onnx import TensorProto, helper

from infra.bench.peers import prepare
from infra.bench.serving import PEERS
from tests.conftest import Sluice, eventually, free_port, missing, need
from tests.onnx_models import linear

ROOT = Path(__file__).parents[2]
#: For whichever test is the first to need KServe's packages.
MAKING = pytest.mark.timeout(420)


def with_kserve() -> str:
    """A Python of its own that has KServe's packages, in ``build/peers``: made once, which takes about a minute."""
    if importlib.util.find_spec("kserve"):
        return sys.executable
    try:
        command, _, _ = prepare("kserve", PEERS)
    except (subprocess.CalledProcessError, OSError) as error:
        missing(f"needs KServe's packages, which could not be installed into build/peers: {error}")
    return command[0]


@pytest.fixture(scope="session")
def kserve_python() -> str:
    return with_kserve()


@pytest.mark.parametrize(("ci", "outcome"), [("true", pytest.fail.Exception), ("", pytest.skip.Exception)])
def test_kserves_packages_may_be_missing_on_a_laptop_only(monkeypatch, ci, outcome):
    def refuse(*_: object) -> None:
        raise subprocess.CalledProcessError(1, "pip")

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setitem(globals(), "prepare", refuse)
    monkeypatch.setenv("CI", ci)
    with pytest.raises(outcome, match="could not be installed"):
        with_kserve()


SIGNED = """
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from functions.repository import signature
import infra.serving.kserve_model

key = ec.generate_private_key(ec.SECP256R1())
none = serialization.NoEncryption()
pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, none)
public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
signature.check(signature.sign(pem, "digits", 3, b"model"), [public.decode()], "digits", 3, b"model", "it")
print("checked")
"""


@MAKING
def test_kserves_environment_has_all_that_our_model_needs(kserve_python):
    """Also what only repositories with keys need."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([kserve_python, "-c", SIGNED], capture_output=True, text=True, timeout=90, env=environment)
    assert (done.stdout, done.returncode) == ("checked\n", 0), done.stderr


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


class Served:
    """A ``sluice serve`` of its own process beside a lake."""

    def __init__(self, lake: Sluice) -> None:
        self._log = (lake.folder.parent / "serve.log").open("ab")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "infra.cli", "serve", "--port", "0", "--json"],
            env=lake.environment, stdout=subprocess.PIPE, stderr=self._log,
        )  # fmt: skip
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            pytest.fail((lake.folder.parent / "serve.log").read_text()[-3000:])
        self.url: str = json.loads(line)["url"]
        eventually(lambda: self.get("/v2/health/ready").status_code == 200, 20, "the server to be ready")

    def get(self, path: str) -> httpx.Response:
        return httpx.get(self.url + path, timeout=30)

    def ask(self, name: str = "linear", document: object = None) -> httpx.Response:
        document = document or {"inputs": [{"name": "x", "shape": [1, 3], "datatype": "FP32", "data": [1, 2, 3]}]}
        return httpx.post(f"{self.url}/v2/models/{name}/infer", json=document, timeout=60)

    def answered(self, status: int, first: float = 0) -> bool:
        """Whether it answers so, and with this first value."""
        answer = self.ask()
        return answer.status_code == status and (status != 200 or answer.json()["outputs"][0]["data"][0] == first)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(10)
        if self.process.stdout is not None:
            self.process.stdout.close()
        self._log.close()


@pytest.fixture
def lake(tmp_path):
    """A lake on ports of its own that stay the same when it is started again."""
    made = Sluice(tmp_path / "data", SLUICE_HTTP_PORT=str(free_port()), SLUICE_DOOR_PORT=str(free_port()))
    try:
        made.start()
        store = made.store()
        store.ensure("models")
        store.close()
        yield made
    finally:
        made.close()


@pytest.fixture
def served(lake):
    made = Served(lake)
    yield made
    made.close()


def sluice(lake: Sluice, *arguments: str) -> str:
    command = [sys.executable, "-m", "infra.cli", *arguments]
    done = subprocess.run(command, env=lake.environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def push(lake: Sluice, name: str, content: bytes) -> None:
    file = lake.folder.parent / f"{name}.onnx"
    file.write_bytes(content)
    sluice(lake, "model", "push", name, str(file))


def versions(lake: Sluice) -> list[int]:
    return [each["version"] for each in lake.get("/models")["models"]]


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


CLIENT = """
import asyncio, json, sys
import numpy as np
from kserve import InferInput, InferOutput, InferRequest, InferenceRESTClient, RESTConfig
from kserve.protocol.infer_type import RequestedOutput

async def main(url):
    client = InferenceRESTClient(RESTConfig(protocol="v2", timeout=30))
    values = np.arange(6, dtype="f4").reshape(2, 3)
    assert await client.is_server_live(url) and await client.is_server_ready(url)
    assert await client.is_model_ready(url, "linear")
    for binary in (False, True):
        given = InferInput("x", [2, 3], "FP32")
        given.set_data_from_numpy(values, binary_data=binary)
        wanted = [RequestedOutput("y", parameters={"binary_data": True})] if binary else []
        request = InferRequest(model_name="linear", infer_inputs=[given], request_outputs=wanted)
        answer = await client.infer(url, request, model_name="linear")
        np.testing.assert_array_equal(answer.outputs[0].as_numpy(), values * 2)
        print(answer.model_name, answer.outputs[0].shape)

asyncio.run(main(sys.argv[1]))
"""


@MAKING
def test_kserves_own_client_is_answered(kserve_python, lake, served):
    push(lake, "linear", linear(2))
    eventually(partial(served.answered, 200, 2), 60)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [kserve_python, "-c", CLIENT, served.url], capture_output=True, text=True, timeout=90, env=environment
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[:2] == ["linear [2, 3]"] * 2


GRPC = """
import asyncio, sys
import numpy as np
from kserve import InferenceGRPCClient, InferInput, InferRequest

async def main(url):
    client = InferenceGRPCClient(url, timeout=30)
    for name in ("linear", "linear-v1"):
        for binary in (False, True):
            given = InferInput("x", [2, 3], "FP32")
            given.set_data_from_numpy(np.arange(6, dtype="f4").reshape(2, 3), binary_data=binary)
            answer = await client.infer(InferRequest(model_name=name, infer_inputs=[given]))
            print(name, answer.outputs[0].as_numpy().ravel().tolist())

asyncio.run(main(sys.argv[1]))
"""


@pytest.fixture
def door(kserve_python, lake):
    """KServe's own server over the lake's models: its REST and gRPC ports."""
    store = lake.store()
    endpoint, (access, secret, region) = store.endpoint, store.keys
    store.close()
    push(lake, "linear", linear(2))
    eventually(lambda: versions(lake) == [1], 60)
    rest, grpc = free_port(), free_port()
    environment = {
        **lake.environment, "PYTHONPATH": str(ROOT), "SLUICE_OBJECTS_ENDPOINT": endpoint, "SLUICE_OBJECTS_REGION": region,
        "SLUICE_OBJECTS_ACCESS_KEY": access, "SLUICE_OBJECTS_SECRET_KEY": secret,
    }  # fmt: skip
    command = [kserve_python, "-m", "infra.serving.kserve_model", "--lake", lake.endpoints["http"]]
    log = lake.folder.parent / "kserve.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [*command, "--http_port", str(rest), "--grpc_port", str(grpc)], env=environment, stdout=out, stderr=out
        )

    def up() -> bool:
        if process.poll() is not None:
            pytest.fail(log.read_text()[-3000:])
        try:
            return httpx.get(f"http://127.0.0.1:{rest}/v2/health/ready", timeout=5).status_code == 200
        except httpx.TransportError:
            return False

    try:
        eventually(up, 60, "KServe's server to start")
        yield process, rest, grpc
    finally:
        process.kill()
        process.wait(10)


@MAKING
def test_kserves_own_server_answers_with_the_same_models(kserve_python, lake, door):
    process, rest, grpc = door
    url, asked = f"http://127.0.0.1:{rest}", {"instances": [[1, 2, 3], [4, 5, 6]]}
    assert httpx.post(f"{url}/v1/models/linear:predict", json=asked).json() == {"predictions": [[2, 4, 6], [8, 10, 12]]}
    document = {"inputs": [{"name": "x", "shape": [1, 3], "datatype": "FP32", "data": [1, 2, 3]}]}
    for name in ("linear", "linear-v1"):
        answer = httpx.post(f"{url}/v2/models/{name}/infer", json=document).json()
        assert (answer["outputs"][0]["data"], answer["model_version"]) == ([2, 4, 6], "1")
    assert httpx.get(f"{url}/v2/models/linear/ready").status_code == 200  # as a container's probe asks
    told = httpx.get(f"{url}/v2/models/linear").json()
    assert told["inputs"] == [{"name": "x", "datatype": "FP32", "shape": [-1, 3]}]
    wrong = {"inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [1, 2]}]}
    assert httpx.post(f"{url}/v2/models/linear/infer", json=wrong).status_code == 400
    assert httpx.post(f"{url}/v1/models/linear:predict", json={"instances": [["a"]]}).status_code == 400
    assert httpx.post(f"{url}/v1/models/other:predict", json=asked).status_code == 404
    assert httpx.post(f"{url}/v2/repository/models/linear/unload").status_code >= 400
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    called = subprocess.run(
        [kserve_python, "-c", GRPC, f"127.0.0.1:{grpc}"], capture_output=True, text=True, timeout=90, env=environment
    )
    assert called.returncode == 0, called.stderr
    assert called.stdout.splitlines() == [
        f"{name} {[0.0, 2.0, 4.0, 6.0, 8.0, 10.0]}" for name in ("linear", "linear-v1") for _ in "ab"
    ]
    listening = {
        each.laddr.ip.removeprefix("::ffff:")
        for each in psutil.Process(process.pid).net_connections()
        if each.status == psutil.CONN_LISTEN
    }
    assert listening == {"127.0.0.1"}
    push(lake, "linear", linear(3))

    def swapped() -> bool:
        answer = httpx.post(f"{url}/v2/models/linear/infer", json=document).json()
        return bool(answer["outputs"][0]["data"] == [3, 6, 9])

    eventually(swapped, 60, "the new version at KServe's server")
    eventually(lambda: httpx.post(f"{url}/v2/models/linear-v2/infer", json=document).status_code == 200, 20)
    process.terminate()
    assert process.wait(30) == 0  # a cluster that takes a container away sees no failure


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


ORACLE = """
import json, sys, kserve, kubernetes.client as k8s
from kserve import models

def look(kind, value, path):
    if isinstance(value, list):
        return [look(kind[len("list["):-1], each, path) for each in value]
    if kind.lower().startswith("dict") or not isinstance(value, dict):
        return None
    known = getattr(models, kind, None) or getattr(k8s, kind)
    names = {json_name: name for name, json_name in known.attribute_map.items()}
    for name, each in value.items():
        assert name in names, f"{path}.{name} is no field of {kind}"
        look(known.openapi_types[names[name]], each, f"{path}.{name}")

for document in json.loads(sys.stdin.read()):
    kind = document["kind"]
    look("V1beta1InferenceService" if kind == "InferenceService" else f"V1{kind}", document, kind)
print("known")
"""


@MAKING
@pytest.mark.parametrize(
    "options",
    [
        ["--canary", "10"],
        ["--mode", "standard"],
        ["--runtime", "cluster"],
        ["--runtime", "kserve", "--mode", "standard"],
        ["--ca-file", "ca.pem"],
    ],
)
def test_kserves_own_classes_know_every_field_that_is_deployed(kserve_python, tmp_path, options):
    names = {name: value for name, value in os.environ.items() if not name.startswith("SLUICE_") and name != "PYTHONPATH"}
    environment = {**names, "PYTHONPATH": str(ROOT), "SLUICE_OBJECTS_ENDPOINT": "http://rgw:7480", "SLUICE_DATA": str(tmp_path)}
    (tmp_path / "ca.pem").write_text("-----BEGIN CERTIFICATE-----")
    command = [sys.executable, "-m", "infra.cli", "deploy", "digits", "--json", *options]
    told = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60, cwd=tmp_path)
    assert told.returncode == 0, told.stderr
    done = subprocess.run(
        [kserve_python, "-c", ORACLE], input=told.stdout, capture_output=True, text=True, env=names, timeout=90
    )
    assert (done.stdout, done.returncode) == ("known\n", 0), done.stderr
