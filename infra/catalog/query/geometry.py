"""Plane geometry on GeoJSON: does a geometry meet, cover or lie within another.

A geometry is its segments (a point is one without length) and, for polygons, the area between them by the even-odd rule,
which serves holes and several parts alike. The same arithmetic in the same order is done in PostgreSQL (``functions.sql``),
so both answer alike, also where rounding decides. ``within`` is exact except where an edge runs through corners of the other
without crossing it; a common boundary counts as within.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

Point = tuple[float, float]
Segment = tuple[float, float, float, float]
FURTHEST, NEAREST, MOST = 1e9, 1e-30, 100_000
_DEPTH = {"Point": 0, "MultiPoint": 1, "LineString": 1, "MultiLineString": 2, "Polygon": 2, "MultiPolygon": 3}


@dataclass(frozen=True, slots=True)
class Shape:
    """``bounds`` are west, south, east and north. ``box``: just that rectangle, or a point."""

    segments: tuple[Segment, ...]
    area: bool
    bounds: tuple[float, float, float, float]
    box: bool


def shape(geometry: Any) -> Shape:
    """A GeoJSON geometry of one of six types. Raises ``ValueError`` (text for people) for anything else."""
    if not isinstance(geometry, dict) or not isinstance(kind := geometry.get("type"), str) or kind not in _DEPTH:
        raise ValueError(f"a geometry is GeoJSON of type {', '.join(_DEPTH)}")
    if kind == "Point" and (position := geometry.get("coordinates")):  # most are
        x, y = _point(position)
        return Shape(((x, y, x, y),), False, (x, y, x, y), True)
    lines = _lines(geometry.get("coordinates"), _DEPTH[kind])
    area = kind.endswith("Polygon")
    if not lines or (kind.endswith("LineString") and any(len(line) < 2 for line in lines)):
        raise ValueError(f"the {kind} has too few positions")
    if area and any(len(line) < 4 or line[0] != line[-1] for line in lines):
        raise ValueError(f"a ring of the {kind} is not closed: it needs four positions, the last like the first")
    if kind == "MultiPoint":
        lines = [[point] for line in lines for point in line]
    segments = tuple((*start, *end) for line in lines for start, end in (pairwise(line) if len(line) > 1 else [(line[0],) * 2]))
    if len(segments) > MOST:
        raise ValueError(f"the {kind} has more than {MOST} segments")
    xs, ys = [p[0] for line in lines for p in line], [p[1] for line in lines for p in line]
    bounds = (min(xs), min(ys), max(xs), max(ys))
    straight = all(x1 == x2 or y1 == y2 for x1, y1, x2, y2 in segments)
    corners = {(x, y) for x in bounds[::2] for y in bounds[1::2]}
    box = area and len(segments) == 4 and straight and {p for line in lines for p in line} == corners
    return Shape(segments, area, bounds, box)


def _lines(value: Any, depth: int) -> list[list[Point]]:
    """The rings, lines or points in ``coordinates`` nested ``depth`` deep, whatever they are parts of."""
    if depth <= 1:
        return [[_point(one) for one in (value if depth and isinstance(value, list) else [value])]] if value else []
    if not isinstance(value, list):
        raise ValueError("the coordinates are not nested as the type needs")
    return [line for one in value for line in _lines(one, depth - 1)]


def _point(value: Any) -> Point:
    if not isinstance(value, list | tuple) or not 2 <= len(value) <= 4:
        raise ValueError("a position is [longitude, latitude]")
    for one in value[:2]:
        if isinstance(one, bool) or not isinstance(one, int | float) or not (one == 0 or NEAREST <= abs(one) <= FURTHEST):
            raise ValueError(f"{one!r} is no coordinate: give a number between -{FURTHEST:g} and {FURTHEST:g}")
    return float(value[0]), float(value[1])


def rectangle(west: float, south: float, east: float, north: float) -> dict[str, Any]:
    """A box as GeoJSON; one with ``west > east`` lies across the date line and becomes two."""

    def ring(w: float, e: float) -> list[list[list[float]]]:
        return [[[w, south], [e, south], [e, north], [w, north], [w, south]]]

    if west > east:
        return {"type": "MultiPolygon", "coordinates": [ring(west, 180.0), ring(-180.0, east)]}
    if west == east and south == north:
        return {"type": "Point", "coordinates": [west, south]}
    if west == east or south == north:
        return {"type": "LineString", "coordinates": [[west, south], [east, north]]}
    return {"type": "Polygon", "coordinates": ring(west, east)}


def intersects(a: Shape, b: Shape) -> bool:
    """They have a point in common."""
    if not _near(a, b):
        return False
    return (
        any(_meet(one, other) for one in a.segments for other in b.segments)
        or (b.area and any(_inside(x, y, b) for x, y, _, _ in a.segments))
        or (a.area and any(_inside(x, y, a) for x, y, _, _ in b.segments))
    )


def within(a: Shape, b: Shape) -> bool:
    """Every point of ``a`` is one of ``b``."""
    if not enclosed(a, b):
        return False
    if not b.area:
        return not a.area and all(any(_along(one, other) for other in b.segments) for one in a.segments)
    for one in a.segments:
        x1, y1, x2, y2 = one
        if not _covered(x1, y1, b) or not _covered(x2, y2, b) or any(_cross(one, other) for other in b.segments):
            return False
        if not _covered((x1 + x2) / 2, (y1 + y2) / 2, b) and not any(_along(one, other) for other in b.segments):
            return False
    if not a.area:
        return True
    return not any(_inside(x, y, a) and not _on(x, y, a.segments) for x, y, _, _ in b.segments) and _covered(*_middle(a), b)


def enclosed(a: Shape, b: Shape) -> bool:
    """The bounds of ``a`` lie within those of ``b``."""
    p, q = a.bounds, b.bounds
    return q[0] <= p[0] and q[1] <= p[1] and p[2] <= q[2] and p[3] <= q[3]


def _near(a: Shape, b: Shape) -> bool:
    p, q = a.bounds, b.bounds
    return p[0] <= q[2] and q[0] <= p[2] and p[1] <= q[3] and q[1] <= p[3]


def _side(x1: float, y1: float, x2: float, y2: float, x: float, y: float) -> int:
    """1, 0 or -1: the point lies left of, on or right of the line."""
    turn = (x2 - x1) * (y - y1) - (y2 - y1) * (x - x1)
    return (turn > 0) - (turn < 0)


def _at(x: float, y: float, s: Segment) -> bool:
    """The point is on the segment."""
    x1, y1, x2, y2 = s
    return (x1 <= x <= x2 or x2 <= x <= x1) and (y1 <= y <= y2 or y2 <= y <= y1) and _side(x1, y1, x2, y2, x, y) == 0


def _on(x: float, y: float, segments: Iterable[Segment]) -> bool:
    return any(_at(x, y, s) for s in segments)


def _along(a: Segment, b: Segment) -> bool:
    return _at(a[0], a[1], b) and _at(a[2], a[3], b)


def _cross(a: Segment, b: Segment) -> bool:
    """They cross in a point that is an end of neither."""
    return (
        _side(*b, a[0], a[1]) * _side(*b, a[2], a[3]) < 0 and _side(*a, b[0], b[1]) * _side(*a, b[2], b[3]) < 0
    )  # fmt: skip


def _meet(a: Segment, b: Segment) -> bool:
    return _cross(a, b) or _at(a[0], a[1], b) or _at(a[2], a[3], b) or _at(b[0], b[1], a) or _at(b[2], b[3], a)


def _inside(x: float, y: float, s: Shape) -> bool:
    """The point is in the area by the even-odd rule (on its boundary: one or the other)."""
    odd = False
    for x1, y1, x2, y2 in s.segments:
        if (y1 > y) != (y2 > y) and x < (x2 - x1) * (y - y1) / (y2 - y1) + x1:
            odd = not odd
    return odd


def _covered(x: float, y: float, s: Shape) -> bool:
    return _inside(x, y, s) or _on(x, y, s.segments)


def _middle(s: Shape) -> Point:
    """A point inside the area: between its first two crossings with the line half-way between its two lowest levels."""
    levels = sorted({y for _, y, _, _ in s.segments})
    y = (levels[0] + levels[1]) / 2 if len(levels) > 1 else levels[0]
    xs = sorted((x2 - x1) * (y - y1) / (y2 - y1) + x1 for x1, y1, x2, y2 in s.segments if (y1 > y) != (y2 > y))
    return ((xs[0] + xs[1]) / 2, y) if len(xs) > 1 else s.segments[0][:2]
