"""Charts as SVG: points, joined or not; open circles are modelled, full ones measured."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT, LEFT, BOTTOM, TOP, RIGHT = 640, 400, 70, 50, 40, 170
COLOURS = ("#3f6fb5", "#c2552d", "#3d8b53", "#8a5aa8", "#7a7a7a")
STYLE = "text{font:12px sans-serif;fill:#333}.title{font-size:15px}.axis{stroke:#333}.grid{stroke:#ddd}"


@dataclass(frozen=True)
class Point:
    """A place in a chart, with what is written beside it."""

    x: float
    y: float
    measured: bool = True
    label: str = ""


@dataclass(frozen=True)
class Series:
    """Points of one colour; joined by a line, or only a ``line`` without points."""

    name: str
    points: Sequence[Point]
    line: bool = False


def chart(title: str, across: str, up: str, series: Sequence[Series], *, names: Sequence[str] = (), log: bool = False) -> str:
    """The picture. ``names`` replace the numbers on the horizontal axis; ``log`` is of the vertical one."""
    xs = [point.x for each in series for point in each.points]
    ys = [point.y for each in series for point in each.points if point.y > 0]
    low, high = (10 ** math.floor(math.log10(min(ys))), 10 ** math.ceil(math.log10(max(ys)))) if log else (0.0, max(ys) * 1.08)
    pad = (max(xs) - min(xs)) * 0.06 or 1.0

    def x(value: float) -> float:
        return round(LEFT + (value - min(xs) + pad) / (max(xs) - min(xs) + 2 * pad) * (WIDTH - LEFT - RIGHT), 1)

    def y(value: float) -> float:
        part = (math.log(max(value, low) / low) / math.log(high / low) if high > low else 0.5) if log else value / high
        return round(HEIGHT - BOTTOM - part * (HEIGHT - BOTTOM - TOP), 1)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img"><style>{STYLE}</style>',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
        f'<text class="title" x="{LEFT}" y="22">{escape(title)}</text>',
        f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 10}" text-anchor="middle">{escape(across)}</text>',
        f'<text transform="translate(16 {HEIGHT / 2}) rotate(-90)" text-anchor="middle">{escape(up)}</text>',
    ]
    for tick in _ticks(low, high, log):
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(tick)}" y2="{y(tick)}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y(tick) + 4}" text-anchor="end">{tick:g}</text>')
    places: list[tuple[float, str]] = [(place, name) for place, name in enumerate(names)] or [
        (tick, f"{tick:g}") for tick in (sorted(set(xs)) if len(set(xs)) < 6 else _spread(xs))
    ]
    for place, text in places:
        parts.append(f'<text x="{x(place)}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{escape(text)}</text>')
    parts.append(f'<line class="axis" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{HEIGHT - BOTTOM}" y2="{HEIGHT - BOTTOM}"/>')
    for number, each in enumerate(series):
        colour, legend = COLOURS[number % len(COLOURS)], TOP + 20 * number
        joined = " ".join(f"{x(point.x)},{y(point.y)}" for point in each.points)
        parts.append(
            f'<polyline points="{joined}" fill="none" stroke="{colour}" stroke-opacity="{0.9 if each.line else 0.35}"/>'
        )
        for point in () if each.line else each.points:
            fill = colour if point.measured else "#fff"
            parts.append(
                f'<circle cx="{x(point.x)}" cy="{y(point.y)}" r="5" fill="{fill}" stroke="{colour}" stroke-width="2"/>'
            )
            parts.append(f'<text x="{x(point.x)}" y="{y(point.y) - 9}" text-anchor="middle">{escape(point.label)}</text>')
        parts.append(f'<rect x="{WIDTH - RIGHT + 14}" y="{legend - 9}" width="10" height="10" fill="{colour}"/>')
        parts.append(f'<text x="{WIDTH - RIGHT + 30}" y="{legend}">{escape(each.name)}</text>')
    parts.append(f'<text x="{WIDTH - RIGHT + 14}" y="{HEIGHT - BOTTOM}">full: measured</text>')
    parts.append(f'<text x="{WIDTH - RIGHT + 14}" y="{HEIGHT - BOTTOM + 16}">open: modelled</text></svg>')
    return "\n".join(parts) + "\n"


def _ticks(low: float, high: float, log: bool) -> list[float]:
    if log:
        return [10**power for power in range(round(math.log10(low)), round(math.log10(high)) + 1)]
    step = 10 ** math.floor(math.log10(high / 2))
    step *= next(factor for factor in (1, 2, 5) if high / (step * factor) <= 8)
    return [step * number for number in range(int(high / step) + 1)]


def _spread(values: Sequence[float]) -> list[float]:
    """Some round numbers between the least and the greatest."""
    low, high = min(values), max(values)
    step = 10 ** math.floor(math.log10((high - low) or 1))
    while (high - low) / step < 3:
        step /= 2
    return [step * number for number in range(math.ceil(low / step), int(high / step) + 1)]
