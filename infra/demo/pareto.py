"""A plan's Pareto front as SVG: what more money buys in time, and what was chosen."""

from __future__ import annotations

from html import escape
from typing import Any

from infra.console import text

WIDTH, HEIGHT, LEFT, BOTTOM, MARGIN = 520, 320, 78, 48, 28


def pareto(plan: dict[str, Any]) -> str:
    """The picture; empty where nothing was predicted."""
    if not plan.get("time_s"):
        return ""
    front = sorted(plan["front"], key=lambda choice: choice["cost"])
    chosen = {**plan, "time_s": plan["time_s"]["value"], "cost": plan["cost"]["value"]}
    costs, times = ([choice[name] for choice in (*front, chosen)] for name in ("cost", "time_s"))

    def across(cost: float) -> float:
        return round(_scale(cost, min(costs), max(costs), LEFT + 20, WIDTH - MARGIN - 20), 1)

    def up(time: float) -> float:
        return round(_scale(time, min(times), max(times), HEIGHT - BOTTOM - 20, MARGIN + 14), 1)

    points = " ".join(f"{across(choice['cost'])},{up(choice['time_s'])}" for choice in front)
    parts = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="Time and cost of the choices" class="pareto">',
        f'<line class="axis" x1="{LEFT}" x2="{WIDTH - MARGIN}" y1="{HEIGHT - BOTTOM}" y2="{HEIGHT - BOTTOM}"/>',
        f'<line class="axis" x1="{LEFT}" x2="{LEFT}" y1="{MARGIN}" y2="{HEIGHT - BOTTOM}"/>',
        f'<text class="tick" x="{(LEFT + WIDTH - MARGIN) / 2}" y="{HEIGHT - 8}">predicted cost</text>',
        f'<text class="tick" x="{LEFT}" y="{MARGIN - 10}">predicted time</text>',
        f'<polyline class="front" points="{points}"/>',
    ]
    for cost in {min(costs), max(costs)}:
        parts.append(f'<text class="tick" x="{across(cost)}" y="{HEIGHT - BOTTOM + 18}">{cost:.2g}</text>')
    for time in {min(times), max(times)}:
        parts.append(f'<text class="lane" x="{LEFT - 8}" y="{up(time) + 4}">{text.seconds(time)}</text>')
    for choice in (*front, chosen):
        name = f"{choice['workers']} x {choice['memory_mb']} MB"
        title = escape(f"{name}, {choice['slices']} slices: {text.seconds(choice['time_s'])}, cost {choice['cost']:.3g}")
        kind, size = ("chosen", 8) if choice is chosen else ("choice", 4)
        x, y = across(choice["cost"]), up(choice["time_s"])
        parts.append(f'<circle class="dot {kind}" cx="{x}" cy="{y}" r="{size}"><title>{title}</title></circle>')
    parts.append(f'<text class="chosen-label" x="{x + 14}" y="{y - 8}">chosen: {escape(name)}</text>')
    return "\n".join([*parts, "</svg>"])


def _scale(value: float, low: float, high: float, start: float, end: float) -> float:
    return start + (value - low) / (high - low) * (end - start) if high > low else (start + end) / 2
