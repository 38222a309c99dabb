"""A lake's data folder is lost: another one over the same bucket takes the models over, and a server serves them again."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from infra.config import Config
from infra.objects.door_keys import door_keys
from tests.conftest import Sluice, eventually
from tests.onnx_models import linear

CLI = [sys.executable, "-m", "infra.cli"]


@pytest.fixture
def bucket(tmp_path: Path) -> Iterator[Sluice]:
    """The object store: the door of a lake that has other models."""
    made = Sluice(tmp_path / "store", SLUICE_MODELS='[{"name": "others", "bucket": "others"}]')
    try:
        made.start().store().ensure("models")
        yield made
    finally:
        made.close()


@contextmanager
def lake(folder: Path, bucket: Sluice) -> Iterator[Sluice]:
    access, secret = door_keys(Config(data=str(bucket.folder)))
    made = Sluice(
        folder, SLUICE_DOOR_ENABLED="false", SLUICE_OBJECTS_ENDPOINT=bucket.endpoints["s3"],
        SLUICE_OBJECTS_ACCESS_KEY=access, SLUICE_OBJECTS_SECRET_KEY=secret, SLUICE_BUCKET=f"own-{folder.name}",
        SLUICE_MODELS='[{"name": "models", "bucket": "models"}]',
    )  # fmt: skip
    try:
        yield made.start()
    finally:
        made.close()


def cli(made: Sluice, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*CLI, *arguments], env=made.environment, capture_output=True, text=True, timeout=120)


def versions(made: Sluice) -> list[int]:
    return [each["version"] for each in made.get("/models")["models"]]


def infer(url: str) -> Any:
    asked = {"inputs": [{"name": "x", "shape": [1, 3], "datatype": "FP32", "data": [1, 1, 1]}]}
    return httpx.post(f"{url}/v2/models/digits/infer", json=asked, timeout=30).json()


def test_a_new_lake_over_an_old_bucket_adopts_its_models_and_servers_serve_again(tmp_path: Path, bucket: Sluice) -> None:
    with lake(tmp_path / "old", bucket) as old:
        for number in (1, 2, 3):
            (tmp_path / "model.onnx").write_bytes(linear(number))
            cli(old, "model", "push", "digits", str(tmp_path / "model.onnx"), "--metric", f"accuracy=0.{number}")
            cli(old, "reconcile", "s3://models")
            eventually(lambda n=number: versions(old) == [*range(1, n + 1)], 60, f"version {number}")  # type: ignore[misc]
        cli(old, "model", "promote", "digits", "2")
        eventually(lambda: cli(old, "model", "verify", "digits").returncode == 0, 60, "the alias to be written")
        told = old.get("/models")
    store = bucket.store()
    good = store.read("models", "digits/1/model.onnx", 0, 1 << 20)
    store.write("models", "digits/1/model.onnx", good[:-1] + b"?")
    before = {info.key: info.etag for info in store.list("models")}

    with lake(tmp_path / "new", bucket) as new, new.serving() as url:
        cli(new, "reconcile", "s3://models")  # too early: what lies there is not overwritten
        eventually(new.settled, 60, "the sweep to go its way")
        assert httpx.get(f"{url}/v2/models/digits/ready").status_code == 404
        looked = cli(new, "model", "adopt", "--dry-run")
        assert versions(new) == []

        found = cli(new, "model", "adopt", "--aliases")
        for each in (looked, found):
            assert each.returncode == 1
            assert "version 1 is refused: s3://models/digits/1/model.onnx is not what its sidecar says" in each.stdout
        eventually(lambda: new.get("/models")["aliases"], 60, "the alias")
        assert versions(new) == [2, 3]
        assert [each["metrics"] for each in new.get("/models")["models"]] == [{"accuracy": 0.2}, {"accuracy": 0.3}]
        assert [(each["alias"], each["version"]) for each in new.get("/models")["aliases"]] == [("champion", 2)]
        eventually(lambda: infer(url).get("outputs"), 60, "the model to be served")
        answer = infer(url)
        assert (answer["model_version"], answer["outputs"][0]["data"]) == ("2", [2.0, 2.0, 2.0])

        store.write("models", "digits/1/model.onnx", good)  # restored
        assert cli(new, "model", "adopt", "digits").returncode == 0
        eventually(lambda: versions(new) == [1, 2, 3], 60, "version 1 to be there again")
        same = [{**each, "etag": ""} for each in told["models"]]
        assert [{**each, "etag": ""} for each in new.get("/models")["models"]] == same
    after = {info.key: info.etag for info in store.list("models")}
    assert {key for key in before if before[key] != after.get(key)} == {"digits/1/model.onnx"}
    store.close()
