"""What is kept of a training: its progress and its curve, and a checkpoint for as long as somebody may go on with it."""

from __future__ import annotations

from datetime import timedelta

import pytest

from events.event import Event
from events.types import ModelTrained, ObjectVersion
from functions.checkpoint import checkpoint


@pytest.fixture
def end(objects, settings):
    objects.ensure("sluice")
    for name in ("training/1/checkpoint", "training/1/curve.svg", "training/1/progress.json", "training/2/checkpoint", "other"):
        objects.write("sluice", name, b"content")
    trained = ModelTrained(
        run="1", agent="flood", repository="models", name="flood", parameters={}, metrics={},
        result=ObjectVersion(bucket="models", key="flood/model.onnx"),
    )  # fmt: skip

    def ended() -> set[str]:
        checkpoint(Event(id="1", source="/t", type="t"), trained, objects, settings)
        return {info.key for info in objects.list("sluice")}

    return ended


def test_the_checkpoint_of_a_training_that_ended_is_removed_and_nothing_else(end):
    kept = {"training/1/curve.svg", "training/1/progress.json", "training/2/checkpoint", "other"}
    assert end() == kept
    assert end() == kept, "told twice"


def test_a_checkpoint_that_nobody_took_up_again_is_removed_in_the_end(end, monkeypatch):
    monkeypatch.setattr("functions.checkpoint.KEPT", -timedelta(days=1))
    assert end() == {"training/1/curve.svg", "training/1/progress.json", "other"}
