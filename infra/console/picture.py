"""A scatter plot on logarithmic axes, in a terminal or as SVG."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from math import log10

WIDTH, HEIGHT = 64, 16
#: Size of the SVG and of its margins.
ACROSS, DOWN, MARGIN = 640, 400, 56
COLOURS = ("#8a8f98", "#1f77b4", "#d62728", "#2ca02c")


@dataclass(frozen=True)
class Points:
    """Points that belong together: their mark in a terminal and their name. ``line`` joins them in the SVG."""

    name: str
    mark: str
    at: list[tuple[float, float]]
    line: bool = False


@dataclass(frozen=True)
class Picture:
    """Points over two positive quantities; later ones are drawn over earlier ones."""

    title: str
    x: str
    y: str
    points: list[Points]

    def text(self) -> str:
        """The picture as lines of text, empty without points."""
        places = self._places()
        if not places:
            return ""
        rows = [[" "] * WIDTH for _ in range(HEIGHT)]
        for group, across, down in places:
            rows[round((1 - down) * (HEIGHT - 1))][round(across * (WIDTH - 1))] = self.points[group].mark
        (left, right), (low, high) = self._bounds()
        key = "  ".join(f"{group.mark} {group.name}" for group in self.points if group.at)
        body = "\n".join("|" + "".join(row).rstrip() for row in rows)
        axis = f"{left:.3g}".ljust(WIDTH - 8) + f"{right:.3g}".rjust(9)
        return f"{self.y}, {low:.3g} to {high:.3g}\n{body}\n+{'-' * WIDTH}\n{axis}\n{self.x}    {key}"

    def svg(self) -> str:
        """The picture as an SVG document."""
        (left, right), (low, high) = self._bounds()
        parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {ACROSS} {DOWN}" font-family="sans-serif" font-size="12">',
            f'<rect width="{ACROSS}" height="{DOWN}" fill="white"/>',
            f'<path d="M{MARGIN} {MARGIN}V{DOWN - MARGIN}H{ACROSS - MARGIN}" fill="none" stroke="black"/>',
            f'<text x="{MARGIN}" y="24" font-size="14">{escape(self.title)}</text>',
            f'<text x="{MARGIN}" y="{MARGIN - 8}">{escape(self.y)}: {low:.3g} to {high:.3g}</text>',
            f'<text x="{MARGIN}" y="{DOWN - MARGIN + 18}">{left:.3g}</text>',
            f'<text x="{ACROSS - MARGIN}" y="{DOWN - MARGIN + 18}" text-anchor="end">{right:.3g}</text>',
            f'<text x="{ACROSS / 2}" y="{DOWN - MARGIN + 18}" text-anchor="middle">{escape(self.x)}</text>',
        ]
        places = self._places()
        for number, group in enumerate(self.points):
            colour = COLOURS[number % len(COLOURS)]
            at = [
                (MARGIN + across * (ACROSS - 2 * MARGIN), DOWN - MARGIN - down * (DOWN - 2 * MARGIN))
                for which, across, down in places
                if which == number
            ]
            if group.line:
                joined = " ".join(f"{x:.1f},{y:.1f}" for x, y in at)
                parts.append(f'<polyline points="{joined}" fill="none" stroke="{colour}"/>')
            parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colour}"/>' for x, y in at]
            parts.append(f'<text x="{MARGIN + number * 150}" y="{DOWN - 10}" fill="{colour}">{escape(group.name)}</text>')
        return "\n".join([*parts, "</svg>"]) + "\n"

    def _bounds(self) -> tuple[tuple[float, float], tuple[float, float]]:
        found = [point for group in self.points for point in group.at if min(point) > 0] or [(1.0, 1.0)]
        across, down = [x for x, _ in found], [y for _, y in found]
        return (min(across), max(across)), (min(down), max(down))

    def _places(self) -> list[tuple[int, float, float]]:
        """Group and place, 0 to 1, of each point that has one on logarithmic axes."""
        bounds = self._bounds()

        def share(value: float, low: float, high: float) -> float:
            return log10(value / low) / log10(high / low) if high > low else 0.5

        return [
            (number, share(x, *bounds[0]), share(y, *bounds[1]))
            for number, group in enumerate(self.points)
            for x, y in group.at
            if x > 0 and y > 0
        ]
