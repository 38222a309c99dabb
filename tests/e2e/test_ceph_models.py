"""A model's whole way over a real Ceph: pushed, published, fetched without keys, served, tampered with, and trained."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import subprocess
import sys
import uuid
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from infra.objects.s3 import S3Store
from tests.conftest import ACCESS, SECRET, Ceph, RedisProcess, Sluice, eventually
from tests.onnx_models import linear

pytestmark = pytest.mark.server


@pytest.fixture
def bucket(ceph: Ceph) -> str:
    return f"models-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def store(ceph: Ceph, bucket: str) -> Iterator[S3Store]:
    made = ceph.store()
    made.ensure(bucket)
    yield made
    made.close()


@pytest.fixture
def lake(ceph: Ceph, store: S3Store, bucket: str, redis_server: RedisProcess, tmp_path: Path) -> Iterator[Sluice]:
    """A lake whose objects are in Ceph, and whose results are in Redis."""
    made = Sluice(
        tmp_path / "data", SLUICE_DOOR_ENABLED="false", SLUICE_OBJECTS_ENDPOINT=ceph.endpoint, SLUICE_OBJECTS_ACCESS_KEY=ACCESS,
        SLUICE_OBJECTS_SECRET_KEY=SECRET, SLUICE_BUCKET=f"own-{uuid.uuid4().hex[:8]}",
        SLUICE_MODELS=json.dumps([{"name": "models", "bucket": bucket}]), SLUICE_SERVING_RESULTS=redis_server.url,
    )  # fmt: skip
    try:
        made.start()
        cli(made, "notifications", "enable", f"s3://{bucket}")
        yield made
    finally:
        made.close()


@pytest.fixture
def url(lake: Sluice) -> Iterator[str]:
    with lake.serving() as found:
        yield found


def cli(lake: Sluice, *arguments: str) -> Any:
    command = [sys.executable, "-m", "infra.cli", *arguments, "--json"]
    done = subprocess.run(command, env=lake.environment, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr + done.stdout
    return json.loads(done.stdout)


def told(lake: Sluice, kind: str) -> list[dict[str, Any]]:
    found = lake.get("/events", type=f"dev.sluice.model.{kind}.v1", limit=100)["events"]
    return [each["event"]["data"] for each in found]


@pytest.mark.timeout(400)
def test_a_models_whole_way(lake: Sluice, store: S3Store, bucket: str, url: str, tmp_path: Path) -> None:
    def weight() -> float:
        document = {"inputs": [{"name": "x", "shape": [1, 3], "datatype": "FP32", "data": [1, 1, 1]}]}
        answer = httpx.post(f"{url}/v2/models/linear/infer", json=document, timeout=60)
        return float(answer.json()["outputs"][0]["data"][0]) if answer.is_success else 0.0

    def answered(wanted: float) -> bool:
        return weight() == wanted

    file = tmp_path / "model.onnx"
    for version in (1, 2):
        file.write_bytes(linear(version + 1))
        cli(lake, "model", "push", "linear", str(file))
        eventually(partial(answered, version + 1), 60, f"version {version} to be served")
    cli(lake, "model", "promote", "linear", "1")
    eventually(lambda: weight() == 2, 60, "what was promoted")
    with httpx.stream("GET", f"{lake.endpoints['http']}/models/events", params={"after": 0}, timeout=30) as stream:
        data = (json.loads(line[6:])["data"] for line in stream.iter_lines() if line.startswith("data: "))
        published = next(data)
    content = httpx.get(published["url"], timeout=30).content
    assert published["digest"] == f"sha256:{hashlib.sha256(content).hexdigest()}"
    assert content == linear(2)
    put = httpx.put(f"{url}/results/one", json={"model": "linear", "input": {"inputs": [
        {"name": "x", "shape": [1, 3], "datatype": "FP32", "data": [1, 1, 1]}]}}, timeout=30)  # fmt: skip
    assert put.status_code == 201
    held = bytearray(linear(3))
    held[30] ^= 1
    store.write(bucket, "linear/2/model.onnx", bytes(held))
    store.write(bucket, "linear/aliases/champion.json", b"{}")
    eventually(lambda: any("model.onnx was overwritten" in each["cause"] for each in told(lake, "rejected")), 60)
    file.write_bytes(linear(9))
    cli(lake, "model", "push", "linear", str(file))
    eventually(lambda: len(told(lake, "published")) == 3, 60, "the next version")
    eventually(lambda: any("champion.json" in each["cause"] for each in told(lake, "rejected")), 60, "what was not loaded")
    assert weight() == 2
    cli(lake, "model", "promote", "linear", "3")
    eventually(lambda: weight() == 9, 60, "the mended alias")
    eventually(lambda: httpx.get(f"{url}/results/one").json()["outputs"][0]["data"] == [9, 9, 9], 30, "the result to follow")


@pytest.mark.timeout(400)
@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="needs the extra train")
def test_a_training_leaves_its_curve_in_ceph(lake: Sluice, store: S3Store, bucket: str) -> None:
    given = ("--set", "steps=800", "--set", "side=24", "--set", "trials=4", "--set", "every=5")
    (done,) = cli(lake, "train", "flood", *given)["trainings"]
    assert done["version"] == 1
    own = lake.environment["SLUICE_BUCKET"]
    kept = {f"training/{done['run']}/{name}" for name in ("curve.svg", "progress.json")}
    eventually(lambda: {info.key for info in store.list(own, "training/")} == kept, 30, "the checkpoint to be removed")
    assert {info.key for info in store.list(bucket, "flood/1/")} == {
        f"flood/1/{name}{end}" for name in ("model.onnx", "version.json") for end in ("", ".sha256asc")
    }
