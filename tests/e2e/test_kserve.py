"""KServe's own client, server and classes, with the models and manifests of a lake."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from functools import partial

import httpx
import psutil
import pytest

from tests.conftest import eventually, free_port
from tests.e2e import served
from tests.e2e.served import MAKING, ROOT, push, versions, with_kserve
from tests.onnx_models import linear


@pytest.mark.parametrize(("ci", "outcome"), [("true", pytest.fail.Exception), ("", pytest.skip.Exception)])
def test_kserves_packages_may_be_missing_on_a_laptop_only(monkeypatch, ci, outcome):
    def refuse(*_: object) -> None:
        raise subprocess.CalledProcessError(1, "pip")

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(served, "prepare", refuse)
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
