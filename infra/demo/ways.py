"""Each object's way through the suite, read off the events: what caused what, and after how long."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from infra.console import text

#: Steps as people name them, by what the event type begins with.
STEPS = {
    "com.amazonaws.s3.": "uploaded",
    "dev.sluice.object.ingested": "ingested",
    "dev.sluice.metadata.extracted": "described",
    "dev.sluice.catalog.updated": "catalogued",
    "dev.sluice.model.published": "published",
    "dev.sluice.delivery.failed": "failed",
    "dev.sluice.task.executed": "map ran",
    "dev.sluice.profile.updated": "profile learned",
}


@dataclass(frozen=True)
class Step:
    """One event on the way: its step's name, when it was recorded (POSIX seconds), and the event."""

    name: str
    at: float
    event: dict[str, Any]


@dataclass
class Way:
    """One cause and all that followed from it."""

    name: str
    steps: list[Step]

    @property
    def seconds(self) -> float:
        """From the first event to the last."""
        return self.steps[-1].at - self.steps[0].at

    @property
    def told(self) -> str:
        """The way in one line: ``uploaded → ingested 12 ms → ...``, times from the first event."""
        first = self.steps[0]
        return " → ".join(
            step.name if step is first else f"{step.name} {text.seconds(step.at - first.at)}" for step in self.steps
        )


def ways(accepted: list[dict[str, Any]]) -> list[Way]:
    """The ways that these events, in their order, are the steps of; one way a root cause."""
    found: dict[str, Way] = {}
    for each in accepted:
        event = each["event"]
        step = Step(step_name(event["type"]), each["recorded"], event)
        root = str(event.get("correlationid", event["id"]))
        if root in found:
            found[root].steps.append(step)
        else:
            found[root] = Way(str(event.get("subject") or event["source"]), [step])
    return list(found.values())


def step_name(event_type: str) -> str:
    """What an event type is called here."""
    return next((name for start, name in STEPS.items() if event_type.startswith(start)), text.short(event_type))
