"""Models over the Open Inference Protocol: JSON and raw tensors, errors, versions, hot swap, canary, load and unload."""

from __future__ import annotations

import asyncio
import gzip
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import httpx
import numpy as np
import pytest
from onnx import TensorProto, helper

from infra.models.loader import Loader
from infra.serving import tensors
from infra.serving.app import Serving
from infra.serving.model import OnnxModel, Unable
from infra.serving.shelf import Shelf
from tests.conftest import eventually, serving
from tests.onnx_models import endless, linear, rowed
from tests.unit.serving.bucket import REPOSITORY, Bucket

TOKEN = {"authorization": "Bearer secret"}


@pytest.fixture
def bucket():
    made = Bucket()
    made.publish("linear", 1, linear(2))
    return made


@pytest.fixture
def app(bucket):
    loader = Loader(bucket, REPOSITORY)
    made = Serving(Shelf(loader, partial(OnnxModel, seconds=1.0)), loader, "secret")
    made.refresh()
    yield made
    made.shelf.close()


@pytest.fixture
def client(app):
    with serving(app) as url, httpx.Client(base_url=url, timeout=30) as made:
        yield made


def ask(data, shape=(1, 3), datatype="FP32", **more):
    return {"inputs": [{"name": "x", "shape": list(shape), "datatype": datatype, "data": data}], **more}


def raw(array, name="x", outputs=None):
    """A request with a raw tensor: content and headers."""
    content = array.tobytes()
    told = {
        "inputs": [
            {
                "name": name,
                "shape": list(array.shape),
                "datatype": tensors.name_of(array),
                "parameters": {"binary_data_size": len(content)},
            }
        ],
        **(outputs or {"parameters": {"binary_data_output": True}}),
    }
    text = json.dumps(told).encode()
    return {"content": text + content, "headers": {"inference-header-content-length": str(len(text))}}


def array_of(answer: httpx.Response):
    length = int(answer.headers["inference-header-content-length"])
    (told,) = json.loads(answer.content[:length])["outputs"]
    assert told["parameters"]["binary_data_size"] == len(answer.content) - length
    return tensors.from_bytes(told["name"], told["datatype"], told["shape"], memoryview(answer.content)[length:])


def test_health_and_metadata(client):
    assert client.get("/v2/health/live").status_code == client.get("/v2/health/ready").status_code == 200
    assert {"binary_tensor_data", "model_repository"} <= set(client.get("/v2").json()["extensions"])
    told = client.get("/v2/models/linear").json()
    assert told["inputs"] == [{"name": "x", "datatype": "FP32", "shape": [-1, 3]}]
    assert (told["versions"], told["platform"], told["name"]) == (["1"], "onnxruntime_onnx", "linear")
    assert client.get("/v2/models/linear/versions/1").json()["outputs"][0]["name"] == "y"
    assert client.get("/v2/models/linear/ready").json() == {"name": "linear", "ready": True}
    assert client.get("/v2/models/linear/versions/7/ready").status_code == 404
    assert client.get("/v2/models/other").status_code == 404
    assert client.get("/nothing").status_code == 404


def test_json_tensors_flat_and_nested(client):
    answer = client.post("/v2/models/linear/infer", json=ask([1, 2.5, 3], id="a")).json()
    assert answer == {
        "model_name": "linear", "model_version": "1", "id": "a",
        "outputs": [{"name": "y", "shape": [1, 3], "datatype": "FP32", "data": [2.0, 5.0, 6.0]}],
    }  # fmt: skip
    nested = client.post("/v2/models/linear/versions/1/infer", json=ask([[1, 2, 3], [4, 5, 6]], (2, 3))).json()
    assert nested["outputs"][0]["data"] == [2, 4, 6, 8, 10, 12]
    assert "id" not in nested


def test_raw_tensors(client):
    x = np.arange(6, dtype="f4").reshape(2, 3)
    answer = client.post("/v2/models/linear/infer", **raw(x))
    assert answer.headers["content-type"] == "application/octet-stream"
    np.testing.assert_array_equal(array_of(answer), 2 * x)
    mixed = client.post("/v2/models/linear/infer", **raw(x, outputs={"outputs": [{"name": "y"}]}))
    assert mixed.json()["outputs"][0]["data"] == (2 * x).ravel().tolist()
    chosen = {"outputs": [{"name": "y", "parameters": {"binary_data": True}}]}
    np.testing.assert_array_equal(array_of(client.post("/v2/models/linear/infer", json=ask([0, 1, 2]) | chosen)), [[0, 2, 4]])


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        (ask([1, 2]), "needs 3 values, but 2 came"),
        (ask([1, 2, 3], (3,)), r"must have the shape [-1, 3], not [3]"),
        (ask([1, 2, 3, 4], (1, 4)), "must have the shape"),
        (ask([1, 2, 3], datatype="FP64"), "must be FP32, not FP64"),
        (ask([1, 2, 3], datatype="FP31"), "known are"),
        (ask(["a", 2, 3]), "is no FP32"),
        (ask([1e300, 2, 3]), "too large"),
        (ask([1, 2, 3], (-1, 3)), "cannot have the shape"),
        (ask([1, 2, 3], (10**9, 10**9, 10**9)), "cannot have the shape"),
        (ask([1, 2, 3], (*[1] * 100, 3)), "cannot have the shape"),
        (ask([[1, 2], 3], (1, 3)), "mixes lists and values"),
        (ask([1, 2, 3], outputs=[{"name": "z"}]), "no output 'z'"),
        (ask(["1", "2", "3"]), "is no FP32: a text came"),
        (ask([True, False, True]), "is no FP32: true or false came"),
        (ask([None, 2, 3]), "null is no number (JSON has no NaN"),
        (ask([[1, 2], [3]], (1, 3)), "cannot begin with a list of 2 lists"),
        (ask([[1, 2], [3]], (2, 2)), "a list has not 2 parts"),
        (ask([[1], [2], [3]], (1, 3)), "cannot begin with a list of 3 lists"),
        (ask([[[1], [2], [3]]], (1, 3)), "nested deeper than its shape"),
        ({"inputs": []}, "takes the inputs x; none came"),
        ({"inputs": [{"name": "x", "shape": [1], "datatype": "FP32"}]}, "neither data nor"),
        ({"inputs": ask([1, 2, 3])["inputs"] * 2}, "came twice"),
        ({}, "missing required field"),
    ],
)
def test_bad_requests_are_told_apart(client, document, reason):
    answer = client.post("/v2/models/linear/infer", json=document)
    assert (answer.status_code, reason in answer.json()["error"]) == (400, True), answer.text
    assert client.post("/v2/models/linear/infer", json=ask([1, 2, 3])).status_code == 200


def test_what_says_nothing_is_taken_for_nothing(client):
    told: tuple[dict[str, Any], ...] = (
        {"outputs": []},
        {"outputs": None},
        {"id": None},
        {"parameters": None},
        {"outputs": [{"name": "y", "parameters": None}]},
    )
    for more in told:
        answer = client.post("/v2/models/linear/infer", json=ask([1, 2, 3], **more))
        assert (answer.status_code, "id" in answer.json()) == (200, False), answer.text
        assert answer.json()["outputs"][0]["data"] == [2, 4, 6]
    quiet = ask([1, 2, 3])
    quiet["inputs"][0]["parameters"] = None
    assert client.post("/v2/models/linear/infer", json=quiet).status_code == 200
    loads: tuple[dict[str, Any], ...] = ({"parameters": None}, {"parameters": {}}, {"parameters": {"version": None}}, {})
    for body in loads:
        assert client.post("/v2/repository/models/linear/load", headers=TOKEN, json=body).status_code == 200
    for path in ("/v2/health/live", "/v2/health/ready", "/v2/models/linear/ready"):
        answer = client.head(path)
        assert (answer.status_code, answer.content) == (200, b"")


def test_json_that_is_nested_without_end_is_400(client):
    deep = (
        b'{"inputs": [{"name": "x", "shape": [1, 3], "datatype": "FP32", "data": ' + b"[" * 5000 + b"1" + b"]" * 5000 + b"}]}"
    )
    for path in ("/v2/models/linear/infer", "/v2/repository/index", "/v2/repository/models/linear/load"):
        answer = client.post(path, content=deep, headers=TOKEN)
        assert (answer.status_code, bool(answer.json()["error"])) == (400, True), path


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ({"parameters": 5}, "got `int` - at `$.parameters`"),
        ({"parameters": [1]}, "got `array` - at `$.parameters`"),
        ({"parameters": {"version": True}}, "got `bool` - at `$.parameters.version`"),
        ({"parameters": {"version": 1.5}}, "got `float` - at `$.parameters.version`"),
        ({"parameters": {"version": "one"}}, "'one'"),
    ],
)
def test_a_load_of_what_is_no_version_is_400_and_says_what_it_takes(client, asked, reason):
    answer = client.post("/v2/repository/models/linear/load", headers=TOKEN, json=asked)
    assert answer.status_code == 400
    assert answer.json()["error"].startswith('load takes nothing, or {"parameters": {"version": N}}: ')
    assert reason in answer.json()["error"]


def test_texts_are_utf8_and_what_json_has_no_word_for_is_null(bucket, app, client):
    text = TensorProto.STRING
    bucket.publish("echo", 1, rowed([helper.make_node("Identity", ["x"], ["y"])], kind=text))
    bucket.publish("log", 1, rowed([helper.make_node("Log", ["x"], ["y"])]))
    app.refresh()
    for blob, status in ((b"abcd", 200), (b"ab\xffd", 400)):
        content = b"".join(len(each).to_bytes(4, "little") + each for each in [blob] * 4)
        head = json.dumps({"inputs": [{"name": "x", "shape": [1, 4], "datatype": "BYTES",
                                       "parameters": {"binary_data_size": len(content)}}]}).encode()  # fmt: skip
        told = {"content": head + content, "headers": {"inference-header-content-length": str(len(head))}}
        answer = client.post("/v2/models/echo/infer", **told)
        assert (answer.status_code, "is no UTF-8" in answer.text) == (status, status == 400)
    values = np.array([[-1, 0, 1, np.inf]], "f4")
    assert client.post("/v2/models/log/infer", **raw(values, outputs={"id": ""})).json()["outputs"][0]["data"] == [
        None,
        None,
        0,
        None,
    ]
    np.testing.assert_array_equal(array_of(client.post("/v2/models/log/infer", **raw(values))), [[np.nan, -np.inf, 0, np.inf]])


def test_bad_bytes_are_told_apart(client):
    good = raw(np.zeros((1, 3), "f4"))
    for content, length, reason in (
        (good["content"][:-1], good["headers"]["inference-header-content-length"], "bytes are left for it"),
        (good["content"] + b"x", good["headers"]["inference-header-content-length"], "belong to none"),
        (good["content"], "999999", "but the body has"),
        (good["content"], "nine", "whole number"),
        (b"\xff\xfe", "2", "not what the inference protocol takes"),
    ):
        answer = client.post("/v2/models/linear/infer", content=content, headers={"inference-header-content-length": length})
        assert (answer.status_code, reason in answer.json()["error"]) == (400, True), answer.text


@pytest.mark.parametrize(
    ("size", "more", "reason"),
    [
        (12, {"data": [1, 2, 3]}, "has both data and binary_data_size"),
        ("12", {}, "has binary_data_size '12', which is no whole number"),
        (12.0, {}, "has binary_data_size 12.0, which is no whole number"),
        (True, {}, "has binary_data_size True, which is no whole number"),
        (13, {}, "has binary_data_size 13, but 12 bytes are left for it"),
    ],
)
def test_what_is_wrong_with_a_raw_tensor_is_said(client, size, more, reason):
    told = {"name": "x", "shape": [1, 3], "datatype": "FP32", "parameters": {"binary_data_size": size}, **more}
    head = json.dumps({"inputs": [told]}).encode()
    headers = {"inference-header-content-length": str(len(head))}
    answer = client.post("/v2/models/linear/infer", content=head + bytes(12), headers=headers)
    assert (answer.status_code, reason in answer.json()["error"]) == (400, True), answer.text


def test_a_run_that_takes_too_long_is_stopped_and_the_rest_goes_on(app, bucket, client):
    bucket.publish("endless", 1, endless())
    app.refresh()
    answer = client.post("/v2/models/endless/infer", json=ask([1.0], (1,)))
    assert (answer.status_code, "stopped after 1 s" in answer.json()["error"]) == (500, True)
    assert client.post("/v2/models/linear/infer", json=ask([1, 2, 3])).status_code == 200


def test_new_versions_rollback_and_damage(app, bucket, client):
    def weight(path="linear"):
        return client.post(f"/v2/models/{path}/infer", json=ask([1, 1, 1])).json()["outputs"][0]["data"][0]

    def announce(kind="published"):
        headers = {
            "ce-specversion": "1.0", "ce-id": "1", "ce-source": "/s", "ce-type": f"dev.sluice.model.{kind}.v1",
            "content-type": "application/json", "authorization": "Bearer secret",
        }  # fmt: skip
        return client.post("/", json={"repository": "models", "name": "linear"}, headers=headers).status_code

    assert weight() == 2
    bucket.publish("linear", 2, linear(3))
    assert announce() == 202
    assert (weight(), weight("linear/versions/1")) == (3, 2)
    bucket.promote("linear", "champion", 1)
    assert (announce("promoted"), weight()) == (202, 2)
    bucket.publish("linear", 3, linear(4))
    bucket.promote("linear", "champion", 3)
    damaged = bytearray(bucket.found["linear/3/model.onnx"])
    damaged[40] ^= 1
    bucket.found["linear/3/model.onnx"] = bytes(damaged)
    assert (announce("promoted"), weight()) == (202, 2)
    (fault,) = [each for each in client.post("/v2/repository/index", headers=TOKEN).json() if each["state"] == "UNAVAILABLE"]
    assert "is not what its sidecar says" in fault["reason"]
    assert client.post("/", json={}, headers={"authorization": "Bearer wrong"}).status_code == 401


def test_loading_and_unloading_need_the_token(client):
    allowed = {"authorization": "Bearer secret"}
    assert client.post("/v2/repository/models/linear/unload").status_code == 401
    assert client.post("/v2/repository/models/linear/unload", headers=allowed).json()["state"] == "UNAVAILABLE"
    assert client.post("/v2/models/linear/infer", json=ask([1, 2, 3])).status_code == 404
    assert client.post("/v2/repository/models/linear/load", headers=allowed).json()["state"] == "READY"
    assert client.post("/v2/models/linear/infer", json=ask([1, 2, 3])).status_code == 200
    wrong = {"parameters": {"version": 9}}
    assert client.post("/v2/repository/models/linear/load", headers=allowed, json=wrong).status_code == 404
    assert client.post("/v2/repository/models/none/load", headers=allowed).status_code == 404


def test_a_canary_gets_its_share(bucket):
    bucket.publish("linear", 2, linear(3))
    bucket.promote("linear", "champion", 1)
    bucket.promote("linear", "canary", 2)
    loader = Loader(bucket, REPOSITORY)
    app = Serving(Shelf(loader, canary="canary", share=0.25), loader)
    app.refresh()
    found = [app.shelf.pick("linear").model.version for _ in range(2000)]
    app.shelf.close()
    assert 350 < found.count(2) < 650
    assert set(found) == {1, 2}


def more(found: list, than: int) -> bool:
    return len(found) > than


def test_many_swaps_under_load_fail_no_request_and_mix_no_answer(app, bucket, client):
    stop, rows = threading.Event(), 5
    found: list[tuple[int, str, list[float]]] = []

    def load() -> None:
        with httpx.Client(base_url=client.base_url, timeout=30) as mine:
            while not stop.is_set():
                answer = mine.post("/v2/models/linear/infer", json=ask([1] * 3 * rows, (rows, 3)))
                document = answer.json()
                found.append((answer.status_code, document.get("model_version"), document["outputs"][0]["data"]))

    with ThreadPoolExecutor(4) as pool:
        running = [pool.submit(load) for _ in range(4)]
        for version in range(2, 12):
            bucket.publish("linear", version, linear(version + 1))
            assert app.follow("linear")
            eventually(partial(more, found, len(found) + 10))
        stop.set()
        for future in running:
            future.result()
    assert {status for status, _, _ in found} == {200}
    assert all(data == [int(version) + 1] * 3 * rows for _, version, data in found)
    assert len({version for _, version, _ in found}) >= 9


def test_requests_that_come_together_are_inferred_together_and_one_bad_one_fails_alone(bucket):
    model = OnnxModel(Loader(bucket, REPOSITORY).load("linear", 1))
    sizes: list[int] = []
    run = model.run

    def counting(inputs, outputs=None):
        sizes.append(len(inputs["x"]))
        if (inputs["x"] < 0).any():
            raise Unable("negative")
        return run(inputs, outputs)

    model.run = counting  # type: ignore[method-assign]

    async def together():
        from infra.serving.batcher import Batcher

        batcher = Batcher(model)
        asked = [batcher.infer({"x": np.full((2, 3), value, "f4")}, None) for value in (1, -1, 2, 3)]
        found = await asyncio.gather(*asked, return_exceptions=True)
        batcher.close()
        return found

    one, bad, two, three = asyncio.run(together())
    assert isinstance(bad, Unable)
    assert [answer["y"][0, 0] for answer in (one, two, three)] == [2, 4, 6]
    assert max(sizes) > 2


def test_compressed_bodies_and_numbers_that_json_does_not_have_are_told_apart(client):
    packed = gzip.compress(json.dumps(ask([1, 2, 3])).encode())
    answer = client.post("/v2/models/linear/infer", content=packed, headers={"content-encoding": "gzip"})
    assert (answer.status_code, "compressed (gzip)" in answer.json()["error"]) == (415, True)
    for word in ("NaN", "-Infinity"):
        body = json.dumps(ask([1, 2, float(word)]))
        assert word in body
        answer = client.post("/v2/models/linear/infer", content=body)
        assert (answer.status_code, "send the tensor as raw bytes" in answer.json()["error"]) == (400, True)
    misspelt = client.post("/v2/models/linear/infer", content=b'{"inputs": [NaNo')
    assert (misspelt.status_code, "raw bytes" in misspelt.json()["error"]) == (400, False)


@pytest.mark.parametrize("version", ["01", "0", "-1", "+1", "x", "9999999999"])
def test_a_version_is_called_as_it_is_listed(client, version):
    assert client.post(f"/v2/models/linear/versions/{version}/infer", json=ask([1, 2, 3])).status_code == 404
