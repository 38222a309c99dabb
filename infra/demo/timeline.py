"""The timeline of a demonstration as SVG: one lane an object, one dot an event."""

from __future__ import annotations

from html import escape
from typing import Any

from infra.console import text
from infra.demo.ways import Way, ways

LABELS, WIDTH, LANE, TOP = 250, 1080, 30, 46
#: Step -> its class in the style sheet, in the legend's order.
CLASSES = {
    "uploaded": "s3", "ingested": "ingest", "described": "describe", "catalogued": "catalog", "published": "model",
    "failed": "failed", "map ran": "map", "profile learned": "profile",
}  # fmt: skip


def timeline(events: list[dict[str, Any]]) -> str:
    """The picture. Each dot tells on hovering what it is; the line above it leads from cause to effect."""
    found = [way for way in ways(events) if way.steps[0].name in ("uploaded", "map ran")]
    if not found:
        return ""
    begin = min(_start(way) for way in found)
    end = max(step.at for way in found for step in way.steps)
    span = max(end - begin, 0.001)
    height = TOP + LANE * len(found) + 30

    def place(at: float) -> float:
        return round(LABELS + (at - begin) / span * (WIDTH - LABELS - 24), 1)

    parts = [
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="Timeline of events" class="timeline">',
        *_legend(),
        *_axis(span, height, place, begin),
    ]
    for number, way in enumerate(found):
        parts += _lane(way, TOP + LANE * number + LANE // 2, place)
    return "\n".join([*parts, "</svg>"])


def _start(way: Way) -> float:
    """When it began: the event of a map tells of its end."""
    first = way.steps[0]
    return first.at - (first.event["data"]["seconds"] if first.name == "map ran" else 0.0)


def _legend() -> list[str]:
    parts, x = [], LABELS
    for name, kind in CLASSES.items():
        parts.append(f'<circle class="dot {kind}" cx="{x}" cy="14" r="5"/><text x="{x + 10}" y="18">{name}</text>')
        x += 26 + 7 * len(name)
    return parts


def _axis(span: float, height: int, place: Any, begin: float) -> list[str]:
    step = next(size for size in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 1000) if span / size <= 10 or size == 1000)
    parts = []
    for number in range(int(span / step) + 1):
        x = place(begin + number * step)
        parts.append(f'<line class="grid" x1="{x}" x2="{x}" y1="{TOP - 6}" y2="{height - 24}"/>')
        parts.append(f'<text class="tick" x="{x}" y="{height - 8}">{number * step:g} s</text>')
    return parts


def _lane(way: Way, y: int, place: Any) -> list[str]:
    first, last = place(_start(way)), place(way.steps[-1].at)
    label = escape(text.printable(way.name))
    names = {step.name for step in way.steps}
    kind = "failed" if "failed" in names else "map" if "map ran" in names else "way"
    parts = [
        f'<text class="lane" x="{LABELS - 14}" y="{y + 4}">{label}</text>',
        f'<line class="{kind}-line" x1="{first}" x2="{last}" y1="{y}" y2="{y}"/>',
    ]
    for step in way.steps:
        after = text.seconds(step.at - way.steps[0].at)
        title = escape(f"{step.event['type']}\n{way.name}, {after} after its cause\nid {step.event['id']}")
        kind, x = CLASSES.get(step.name, "other"), place(step.at)
        parts.append(f'<circle class="dot {kind}" cx="{x}" cy="{y}" r="5"><title>{title}</title></circle>')
    return parts
