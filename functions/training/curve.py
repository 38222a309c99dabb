"""The course of a training: a picture (SVG) for the lake, a line of blocks for a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

WIDTH, HEIGHT, LEFT, BOTTOM, MOST = 640, 320, 56, 40, 400
BLOCKS = "▁▂▃▄▅▆▇█"


def thinned(points: Sequence[Any], most: int = MOST) -> list[Any]:
    """At most about ``most`` of the points, the last among them."""
    step = max(1, -(-len(points) // most))
    return [*points[:-1:step], *points[-1:]]


def line(values: Sequence[float], width: int = 40) -> str:
    """Values from 0 to 1 as a line of blocks."""
    return "".join(BLOCKS[min(7, max(0, int(value * 8)))] for value in thinned(values, width))


def svg(title: str, points: Sequence[dict[str, float]]) -> str:
    """The share of successes over the steps."""
    last = max((point["steps"] for point in points), default=1) or 1
    across, up = WIDTH - LEFT - 16, HEIGHT - BOTTOM - 36

    def place(point: dict[str, float]) -> str:
        return f"{LEFT + across * point['steps'] / last:.1f},{36 + up * (1 - min(max(point['success'], 0), 1)):.1f}"

    rules = "".join(
        f'<line x1="{LEFT}" x2="{LEFT + across}" y1="{36 + up * (1 - at):.1f}" y2="{36 + up * (1 - at):.1f}" stroke="#ddd"/>'
        f'<text x="{LEFT - 8}" y="{40 + up * (1 - at):.1f}" text-anchor="end">{at:.0%}</text>'
        for at in (0, 0.25, 0.5, 0.75, 1)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12">'
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/><text x="{LEFT}" y="22" font-size="14">{_escaped(title)}</text>'
        f'{rules}<polyline fill="none" stroke="#0b6e99" stroke-width="2" points="{" ".join(map(place, thinned(points)))}"/>'
        f'<text x="{LEFT}" y="{HEIGHT - 14}">0</text>'
        f'<text x="{LEFT + across}" y="{HEIGHT - 14}" text-anchor="end">{last:,.0f} steps</text></svg>\n'
    )


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;")
