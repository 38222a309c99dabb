"""One version that loads for ever keeps no other from being loaded, and is served if it ends after all."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from events.errors import Retry
from functions.repository.sidecar import Unverified
from infra.models.loader import Loader, Verified
from infra.serving import loading, server
from infra.serving.app import Serving
from infra.serving.model import OnnxModel
from infra.serving.shelf import Shelf
from tests.conftest import eventually
from tests.onnx_models import linear
from tests.unit.serving.bucket import REPOSITORY, Bucket

ROOT = Path(__file__).parents[3]


class Factory:
    """Makes models; of those in ``stuck`` (name, version) only once the gate is open."""

    def __init__(self) -> None:
        self.stuck: set[tuple[str, int]] = set()
        self.begun: list[tuple[str, int]] = []
        self.gate = threading.Event()

    def __call__(self, verified: Verified) -> OnnxModel:
        made = verified.record.name, verified.record.version
        self.begun.append(made)
        if made in self.stuck:
            self.gate.wait(120)
        return OnnxModel(verified)


@pytest.fixture
def factory() -> Iterator[Factory]:
    made = Factory()
    yield made
    made.gate.set()


@pytest.fixture
def bucket() -> Any:
    made = Bucket()
    for name, version in (("a", 1), ("b", 1), ("b", 2), ("c", 1)):
        made.publish(name, version, linear(version + 1))
    return made


@pytest.fixture
def app(bucket: Any, factory: Factory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Serving]:
    monkeypatch.setattr(loading, "PATIENCE_SECONDS", 0.2)
    loader = Loader(bucket, REPOSITORY)
    made = Serving(Shelf(loader, factory), loader)
    yield made
    made.shelf.close()


@pytest.fixture
def start(app: Serving, factory: Factory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], list[list[str]]]]:
    """Begins to look at the bucket; gives what is served, whenever that may have changed."""
    monkeypatch.setattr(server, "LOOK_SECONDS", 3600)
    found: list[list[str]] = []
    stopping = threading.Event()
    looking = threading.Thread(target=server.look, args=(app, stopping, lambda: found.append(app.shelf.names)), daemon=True)

    def begin() -> list[list[str]]:
        looking.start()
        return found

    yield begin
    stopping.set()
    factory.gate.set()
    looking.join(60)


def test_the_others_are_served_meanwhile_and_it_is_once_it_ends(app, factory, start):
    factory.stuck = {("a", 1), ("b", 2)}
    found = start()
    eventually(lambda: app.shelf.names == ["b", "c"], 60, "the others to be served")
    assert app.shelf.default("b").version == 1, "the version before answers"
    assert "takes more than" in app.shelf.faults["a"][0].cause
    assert [(each.version, "takes more than" in each.cause) for each in app.shelf.faults["b"]] == [(2, True)]
    eventually(lambda: ["b", "c"] in found, 60, "the change to be told")
    factory.gate.set()
    eventually(lambda: app.shelf.names == ["a", "b", "c"] and app.shelf.default("b").version == 2, 60, "the late ones")
    eventually(lambda: found[-1] == ["a", "b", "c"], 60, "the change to be told")
    assert app.shelf.faults == {}
    assert sorted(factory.begun) == [("a", 1), ("b", 1), ("b", 2), ("c", 1)], "nothing was loaded twice"


def test_no_more_than_so_many_are_loaded_at_once(app, factory, start, monkeypatch):
    monkeypatch.setattr(loading, "MOST_LATE", 1)
    factory.stuck = {("a", 1), ("b", 2)}
    start()
    eventually(lambda: "a" in app.shelf.faults and app.missing(), 60, "the first look")
    for name in ("b", "c"):
        with pytest.raises(Retry, match="nothing more is loaded until one of these ends, or this server: version 1 of a"):
            app.shelf.update(name)
    assert factory.begun == [("a", 1)]
    factory.gate.set()
    eventually(lambda: app.shelf.names == ["a", "b", "c"], 60, "all of them")


def test_what_failed_late_is_told_as_it_is(app, factory):
    factory.stuck = {("a", 1)}
    ended = threading.Event()

    def fail(verified: Verified) -> OnnxModel:
        factory(verified)
        raise ValueError("it was no good")

    def again() -> None:
        app.follow("a")
        ended.set()

    app.shelf._make, app.shelf.loading.ended = fail, again
    with pytest.raises(Unverified, match="takes more than"):
        app.shelf.update("a")
    factory.gate.set()
    assert ended.wait(60)
    assert [each.cause for each in app.shelf.faults["a"]] == ["it was no good"]
    assert factory.begun == [("a", 1)]


HOSTILE = """
import numpy as np
from onnx import TensorProto, helper, numpy_helper

from infra.models.loader import Loader
from infra.serving import loading
from infra.serving.app import Serving
from infra.serving.shelf import Shelf
from tests.onnx_models import linear
from tests.unit.serving.bucket import REPOSITORY, Bucket

zeros = helper.make_tensor("v", TensorProto.FLOAT, [1], [0.0])
nodes = [helper.make_node("ConstantOfShape", ["shape"], ["m0"], value=zeros)]
nodes += [helper.make_node("MatMul", [f"m{n}", "m0"], [f"m{n + 1}"]) for n in range(2000)]
nodes += [helper.make_node("ReduceSum", ["m2000"], ["r"], keepdims=0), helper.make_node("Add", ["x", "r"], ["y"])]
x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 3]) for name in "xy")
shape = numpy_helper.from_array(np.array([1500, 1500], np.int64), "shape")
graph = helper.make_graph(nodes, "g", [x], [y], [shape])
hostile = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()
bucket = Bucket()
bucket.publish("a", 1, hostile)
bucket.publish("b", 1, linear(2))
loading.PATIENCE_SECONDS = 1.0
app = Serving(Shelf(Loader(bucket, REPOSITORY)), Loader(bucket, REPOSITORY))
app.refresh()
while "b" not in app.shelf.names:
    app.refresh()
print(len(hostile), *app.shelf.names, flush=True)
app.shelf.loading.leave()
raise SystemExit("nothing is loaded any more")
"""


def test_a_model_whose_constants_take_hours_to_compute_ends_with_the_server() -> None:
    ended = subprocess.run([sys.executable, "-c", HOSTILE], capture_output=True, text=True, timeout=200, cwd=ROOT, check=False)
    size, *served = ended.stdout.split()
    assert (ended.returncode, int(size) < 100_000, served) == (0, True, ["b"]), ended.stderr
