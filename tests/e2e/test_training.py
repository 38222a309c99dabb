"""A lake that trains: killed in the middle, served, inferred in a map, and the demonstrator as its notebook shows it."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import httpx
import msgspec
import numpy as np
import pyarrow.parquet as pq
import pytest

from events.codec import to_json
from events.event import Event
from events.ports import NotFound
from events.types import TrainingRequested
from functions.train import run_of
from infra.objects.s3 import S3Store
from tests.conftest import Sluice, eventually

pytest.importorskip("torch", reason="needs the extra train")
NOTEBOOK = Path(__file__).parents[2] / "docs" / "demonstrator.ipynb"
EVACUATION = {"size": 10, "steps": 200_000, "hidden": 64, "people": 256, "batch": 1024, "rate": 0.003, "fires": 2,
              "growth": 0.04, "trials": 500, "every": 1}  # fmt: skip


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sluice]:
    made = Sluice(tmp_path_factory.mktemp("training") / "data")
    try:
        yield made.start()
    finally:
        made.close()


def cli(lake: Sluice, *arguments: str) -> str:
    """What a command prints on standard output."""
    done = subprocess.run(
        [sys.executable, "-m", "infra.cli", *arguments], env=lake.environment, capture_output=True, text=True, timeout=250
    )
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


def send(lake: Sluice, wanted: TrainingRequested, id: str = "1") -> Event:
    event = Event(
        id=id, source="/test", type="dev.sluice.training.requested.v1", subject="t", data=msgspec.to_builtins(wanted),
        datacontenttype="application/json",
    )  # fmt: skip
    headers = {"content-type": "application/cloudevents+json"}
    assert httpx.post(lake.endpoints["http"], content=to_json(event), headers=headers).status_code == 202
    return event


def read(store: S3Store, key: str, bucket: str = "sluice") -> bytes:
    try:
        return b"".join(store.stream(bucket, key))
    except NotFound:
        return b""


def told(lake: Sluice, type: str) -> list[dict[str, Any]]:
    return [each["event"]["data"] for each in lake.get("/events", type=f"dev.sluice.{type}.v1", limit=100)["events"]]


@pytest.mark.timeout(300)
def test_an_agent_beats_the_shortest_way_though_its_training_was_killed_and_holds_nobody_up(lake: Sluice) -> None:
    run = run_of(send(lake, TrainingRequested(agent="evacuation", parameters=EVACUATION)))
    store = lake.store()
    eventually(lambda: read(store, f"training/{run}/checkpoint"), 60, "a checkpoint")
    store.write("raw", "rows.csv", b"a,b\n1,2\n")
    eventually(lambda: lake.get("/catalog", bucket="raw")["entries"], 20, "another object to be catalogued meanwhile")
    assert not told(lake, "model.trained")
    kept = msgspec.msgpack.decode(read(store, f"training/{run}/checkpoint"))
    assert 0 < kept["points"][-1]["steps"] < EVACUATION["steps"]
    store.close()
    lake.stop(signal.SIGKILL)
    lake.start()
    eventually(lambda: told(lake, "model.trained"), 120, "the training to go on to its end")
    eventually(lambda: told(lake, "model.published"), 20, "its model to be published")
    metrics = told(lake, "model.trained")[0]["metrics"]
    assert metrics["success"] >= 0.97
    assert metrics["success"] > metrics["greedy"] + 0.02
    assert metrics["same_choices"] == 1.0
    store = lake.store()
    eventually(lambda: not read(store, f"training/{run}/checkpoint"), 20, "the checkpoint to be removed")
    progress = json.loads(read(store, f"training/{run}/progress.json"))
    assert progress["state"] == "trained"
    assert ElementTree.fromstring(read(store, f"training/{run}/curve.svg"))
    store.close()


def test_a_training_that_cannot_be_is_a_dead_letter_with_its_reason(lake: Sluice) -> None:
    send(lake, TrainingRequested(agent="evacuation", data=["s3://raw/nothing.txt"]), "2")
    send(lake, TrainingRequested(agent="nobody"), "3")
    eventually(lambda: len(told(lake, "delivery.failed")) == 2, 20, "two dead letters")
    causes = " ".join(each["cause"] for each in told(lake, "delivery.failed"))
    assert "s3://raw/nothing.txt is not there" in causes
    assert "no agent is called 'nobody'" in causes
    assert cli(lake, "replay", "--dry-run", "--all").count("begin its work of minutes again, which is not tried") == 2
    assert lake.settled()


@pytest.mark.timeout(300)
def test_the_demonstrator_trains_serves_and_infers_the_same_numbers_in_a_map(lake: Sluice, tmp_path: Path) -> None:
    from functions.training.pictures import draw

    curve = tmp_path / "curve.svg"
    given = ("--set", "steps=2400", "--set", "side=40", "--set", "trials=16", "--set", "rate=0.008")
    done = json.loads(cli(lake, "train", "flood", *given, "--curve", str(curve), "--json"))["trainings"][0]
    assert done["version"] == 1
    assert done["metrics"]["success"] > done["metrics"]["by_colour"]
    assert ElementTree.parse(curve)
    pictures, _ = draw(7, 40, np.random.default_rng(5))
    packed = io.BytesIO()
    np.save(packed, pictures)
    store = lake.store()
    store.write("raw", "pictures.npy", packed.getvalue())
    store.close()
    eventually(lambda: lake.get("/catalog", bucket="raw", name="pictures.npy")["entries"], 20, "the pictures")
    cli(lake, "infer", "s3://raw/pictures.npy", "--model", "flood:1", "--into", "s3://out/found.parquet", "--slices", "3")
    store = lake.store()
    found = pq.read_table(io.BytesIO(read(store, "found.parquet", "out")))
    store.close()
    assert found.column("row").to_pylist() == list(range(7))
    mask = np.stack(found.column("mask").to_numpy()).reshape(7, 40, 40)
    picture = np.stack(found.column("picture").to_numpy()).reshape(7, 40, 40, 3)
    with Serving(lake) as url:
        for number in range(7):
            told_mask, told_picture = ask(url, pictures[number : number + 1])
            assert told_mask == mask[number].tobytes()
            assert told_picture == picture[number].tobytes()
        _run_notebook(lake, url, tmp_path)
    lineage = eventually(lambda: _origin(lake, "out/found.parquet"), 20, "the lineage")
    functions = [each["function"] for each in lineage]  # type: ignore[attr-defined]
    assert functions[0] == "infer"
    assert {"infer", "model_store", "train"} <= set(functions)
    used = {one["entity"] for each in lineage for one in each["used"]}  # type: ignore[attr-defined]
    assert {"s3://raw/pictures.npy", "s3://models/flood/1/model.onnx", f"training/{done['run']}"} <= used


def _origin(lake: Sluice, path: str) -> Any:
    answer = httpx.get(f"{lake.endpoints['http']}/lineage/{path}", timeout=30)
    found = answer.json().get("origin", [])
    return found if any(each["function"] == "train" for each in found) else None


class Serving:
    """``sluice serve`` beside a lake."""

    def __init__(self, lake: Sluice) -> None:
        command = [sys.executable, "-m", "infra.cli", "serve", "--port", "0", "--json"]
        self._process = subprocess.Popen(command, env=lake.environment, stdout=subprocess.PIPE, text=True)

    def __enter__(self) -> str:
        assert self._process.stdout is not None
        url: str = json.loads(self._process.stdout.readline())["url"]
        eventually(lambda: httpx.get(f"{url}/v2/models/flood/ready").is_success, 30, "the model to be served")
        return url

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(30)
        assert self._process.stdout is not None
        self._process.stdout.close()


def ask(url: str, pictures: np.ndarray) -> tuple[bytes, bytes]:
    """The server's mask and picture, as raw bytes."""
    tensor = {
        "name": "image",
        "shape": pictures.shape,
        "datatype": "UINT8",
        "parameters": {"binary_data_size": pictures.nbytes},
    }
    head = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
    name = "inference-header-content-length"
    answer = httpx.post(f"{url}/v2/models/flood/infer", content=head + pictures.tobytes(), headers={name: str(len(head))})
    assert answer.status_code == 200, answer.text
    at = int(answer.headers[name])
    outputs = json.loads(answer.content[:at])["outputs"]
    assert [each["name"] for each in outputs] == ["mask", "picture"]
    first = at + outputs[0]["parameters"]["binary_data_size"]
    return answer.content[at:first], answer.content[first:]


def _run_notebook(lake: Sluice, url: str, folder: Path) -> None:
    """Run its cells in their order, as the notebook's own server would."""
    cells = json.loads(NOTEBOOK.read_text())["cells"]
    (folder / "notebook.py").write_text("\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"))
    environment = {**os.environ, "SLUICE_SERVING_URL": url}
    done = subprocess.run(
        [sys.executable, "notebook.py"], cwd=folder, env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    overlap = float(done.stdout.rsplit("overlap ", 1)[1].rstrip("%\n"))
    assert overlap > 40
    from PIL import Image

    before, after = (np.asarray(Image.open(folder / name)) for name in ("before.png", "after.png"))
    assert before.shape == after.shape == (192, 192, 3)
    assert 0.01 < (before != after).any(axis=2).mean() < 0.9


def test_the_same_model_goes_to_a_cluster(lake: Sluice) -> None:
    environment = {**lake.environment, "SLUICE_OBJECTS_ENDPOINT": "http://s3.internal:9000"}
    done = subprocess.run(
        [sys.executable, "-m", "infra.cli", "deploy", "flood", "--mode", "standard"], env=environment,
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "InferenceService" in done.stdout
    assert "flood" in done.stdout
