"""The graphs of the lake: what holds now, what follows from it, the ontology, and the observations of each minute."""

from __future__ import annotations

from datetime import UTC, datetime

BASE = "https://sluice.dev/graph/"
#: The latest that is known of everything.
STATE = BASE + "state"
#: What the reasoner derives from the state; never mixed with it.
INFERRED = BASE + "inferred"
#: The active ontology, and the subclass axioms that its classification added.
TBOX = BASE + "tbox"
TBOX_INFERRED = BASE + "tbox-inferred"
#: What a query is about that names no graph.
PRESENT = (STATE, INFERRED, TBOX, TBOX_INFERRED)
OBSERVATIONS = BASE + "observations/"


def minute(time: datetime) -> str:
    """The graph of the observations made in the minute of ``time``."""
    return OBSERVATIONS + time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M")


def begun(graph: str) -> datetime | None:
    """When the minute of a graph of observations began; ``None`` for any other graph."""
    if not graph.startswith(OBSERVATIONS):
        return None
    try:
        return datetime.strptime(graph[len(OBSERVATIONS) :], "%Y-%m-%dT%H:%M").replace(tzinfo=UTC)
    except ValueError:
        return None
