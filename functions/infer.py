"""Inference over a data set has ended: what its result was made of, for the lineage."""

from __future__ import annotations

from collections.abc import Iterator

from events.event import Event
from events.route import on
from events.types import InferenceCompleted, ObjectDerived


@on("dev.sluice.inference.completed.v1")
def infer(event: Event, data: InferenceCompleted) -> Iterator[Event]:
    """The result derives from every object, and from the model's file."""
    for of in (*data.objects, data.source):
        derived = ObjectDerived(of=of, result=data.result, function="infer")
        yield event.reply(derived, subject=f"{data.result.bucket}/{data.result.key}")
