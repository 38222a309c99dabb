"""Training without a lake: the evacuations, states and checkpoints, the export, and what is refused."""

from __future__ import annotations

import io
import os
import pickle
import threading
from xml.etree import ElementTree

import msgspec
import numpy as np
import onnx
import pytest

from events.errors import Reject, Retry
from functions.training import curve
from functions.training.grid import FEATURES, MOVES, Evacuations, drawn, generated, greedy, shortest, success
from functions.training.process import ROOT, Process
from functions.training.settings import Evacuation, settings_of

pytest.importorskip("torch", reason="needs the extra train")
import torch

from functions.training import export, run
from functions.training.learner import Exam
from functions.training.ppo import EvacuationLearner

SMALL = Evacuation(size=8, steps=3 * 16 * 16, people=16, hidden=16, features=8, batch=64, trials=20)
MAP = "\n".join(["##########", *["#........#"] * 8, "#####E####"])


@pytest.fixture(autouse=True)
def _single():
    torch.set_num_threads(1)


def learned(learner: EvacuationLearner, rounds: int = 99) -> EvacuationLearner:
    for _, _ in zip(range(rounds), learner.rounds(), strict=False):
        pass
    return learner


def test_without_fires_the_shortest_way_always_leads_out_and_no_evacuation_sees_the_future():
    plan = generated(12, seed=3)
    for moves in (shortest, greedy):
        assert success(Evacuations(plan, plan.starts, 50, 1, fires=0), moves, 200) == 1.0
    burning = Evacuations(plan, plan.starts, 50, 1, growth=0.3, fires=4)
    assert success(burning, shortest, 200) < 0.9
    assert burning.observe().shape == (50, FEATURES)


def test_who_reaches_a_burning_exit_or_stays_in_the_fire_is_lost():
    plan = drawn(MAP)
    people = Evacuations(plan, np.array([[8, 5]]), 1, 0, fires=0)
    assert people.plan.nearest[8, 5] == 1
    people.burning[0, 9, 5] = True
    reward, ended, safe = people.step(np.array([1]))
    assert ended[0]
    assert not safe[0]
    assert reward[0] < 0


@pytest.mark.parametrize("text", ["", "#", "....\n...\n....\n....", "....\n....\n....\n....", "E...\n....\n....\nEEEE"])
def test_a_map_that_cannot_be_used_is_refused(text):
    with pytest.raises(Reject, match="map"):
        drawn(text)


@pytest.mark.parametrize(
    ("agent", "parameters"),
    [("nobody", {}), ("evacuation", {"rate": 2}), ("evacuation", {"sise": 8}), ("flood", {"steps": "many"})],
)
def test_a_request_that_makes_no_sense_is_refused_before_anything_runs(agent, parameters):
    with pytest.raises(Reject, match=r"no agent|make no sense"):
        settings_of(agent, parameters)


def test_a_training_goes_on_from_a_checkpoint_as_if_it_had_never_stopped():
    whole = learned(EvacuationLearner(SMALL, []))
    kept = run.closed([learned(EvacuationLearner(SMALL, []), 1).state])
    again = EvacuationLearner(SMALL, [])
    again.restore(run.opened(kept)[0])
    learned(again)
    assert again.steps == whole.steps
    for one, other in zip(whole.agent.parameters(), again.agent.parameters(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("content", [b"", b"no checkpoint", pickle.dumps([print])])
def test_a_checkpoint_that_is_none_is_refused_and_runs_nothing(content):
    with pytest.raises(Reject, match="remove it"):
        run.opened(content)


def test_the_exported_model_chooses_as_the_network_and_tells_nothing_of_this_machine():
    learner = learned(EvacuationLearner(SMALL, [MAP.encode()]))
    exam = learner.exam()
    content = export.export(exam, {"sluice.run": "r"})
    assert exam.measure(content)["same_choices"] == 1.0
    model = onnx.load_from_string(content)
    assert not any(each.external_data for each in model.graph.initializer)
    assert not any(each.metadata_props or each.doc_string for each in model.graph.node)
    assert __file__.rsplit("/tests/", 1)[0].encode() not in content
    assert {each.key: each.value for each in model.metadata_props} == {"sluice.run": "r"}
    assert [axis.dim_param for axis in model.graph.input[0].type.tensor_type.shape.dim] == ["batch", ""]
    linear = [each for each in model.graph.node if each.op_type == "Gemm"]
    assert len(linear) == 6


def test_networks_and_steps_of_learning_are_as_large_as_asked():
    asked = {"layers": 2, "hidden": 24, "features": 12, "rate": 0.02, "batch": 32, "size": 8, "people": 16, "steps": 256}
    learner = EvacuationLearner(msgspec.convert(asked, Evacuation), [])
    layers = [each for each in learner.agent.modules() if isinstance(each, torch.nn.Linear)]
    assert [tuple(each.weight.shape) for each in layers] == [(24, FEATURES), (12, 24), (24, 12), (len(MOVES) + 1, 24)]
    sizes, rates = [], []
    both, step = learner.agent.both, learner._optimiser.step

    def seen(observation):
        if observation.requires_grad or torch.is_grad_enabled():
            sizes.append(len(observation))
        return both(observation)

    def stepped(*arguments):
        rates.append(learner._optimiser.param_groups[0]["lr"])
        return step(*arguments)

    learner.agent.both, learner._optimiser.step = seen, stepped  # type: ignore[method-assign]
    learned(learner)
    assert set(sizes) == {32}
    assert rates == [0.02] * len(rates)
    assert rates


class Drifting(torch.nn.Module):
    """Gives something else every time."""

    def __init__(self):
        super().__init__()
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        return x * (1.0 + self.calls)


def test_a_model_that_differs_from_its_network_is_not_published():
    exam = Exam(Drifting(), torch.ones(4, 3), ("x", ("y",)), {0: "batch"}, lambda _: {})
    with pytest.raises(export.Differs, match="not published"):
        export.export(exam, {})


def request(folder, agent="flood", **parameters):
    folder.joinpath("request.json").write_bytes(
        msgspec.json.encode({"agent": agent, "parameters": parameters, "told": {}, "data": 0})
    )
    return Process(folder)


def test_a_training_that_must_stop_does_so_at_once_and_is_told_to_come_again(tmp_path):
    stopping = threading.Event()
    with request(tmp_path, steps=10**8) as process, pytest.raises(Retry, match="goes on"):  # noqa: PT012
        for said in process.lines(stopping):
            assert "loss" in said or "checkpoint" in said
            stopping.set()


def test_several_processes_learn_together(tmp_path):
    together = {"steps": 64, "batch": 8, "side": 16, "trials": 2, "processes": 2, "every": 2}
    with request(tmp_path, **together) as process:
        said = list(process.lines(threading.Event()))
    assert set(said[-1]["metrics"]) == {"success", "by_colour", "same_choices"}
    assert [each["steps"] for each in said if "loss" in each] == list(range(8, 65, 8))
    states = run.opened((tmp_path / "checkpoint").read_bytes())
    assert len(states) == 2
    assert all(torch.equal(states[0]["finder"][name], states[1]["finder"][name]) for name in states[0]["finder"])
    assert states[0]["draw"] != states[1]["draw"]


def test_ray_is_refused_where_it_is_not_installed(tmp_path, monkeypatch):
    broken = tmp_path / "path" / "ray.py"
    broken.parent.mkdir()
    broken.write_text("raise ImportError")
    monkeypatch.setattr("functions.training.process.ROOT", f"{broken.parent}{os.pathsep}{ROOT}")  # may be installed here
    with request(tmp_path, way="ray", processes=2, steps=8) as process, pytest.raises(Reject, match="Ray is not installed"):
        list(process.lines(threading.Event()))


def test_a_curve_is_a_picture_and_a_line():
    points = [{"steps": float(n), "success": n / 1000, "loss": 0.0} for n in range(1001)]
    root = ElementTree.parse(io.StringIO(curve.svg("<a & b>", points))).getroot()
    assert root.tag.endswith("svg")
    assert len(curve.line([point["success"] for point in points])) <= 42
    assert curve.thinned(points)[-1] == points[-1]
    assert curve.svg("nothing", [])
