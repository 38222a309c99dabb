"""The temporal operators: each is comparisons of two starts and two ends, so nothing else has to know of them.

An instant starts and ends at once. A date is its whole day here. An end that is open (``..``) comes before or after everything.
"""

from __future__ import annotations

from typing import Any, Literal

from infra.catalog.query import tree
from infra.catalog.query.binder import Binder, both, fail, need, negated
from infra.catalog.query.moments import DAY, moment, whole_day
from infra.catalog.query.tree import Condition, Value

#: A moment: a value, or before or after all others.
Moment = Value | Literal["first", "last"]
Span = tuple[Moment, Moment]
#: operator -> what must hold: (which end of a, comparison, which end of b)
_RULES: dict[str, tuple[tuple[int, str, int], ...]] = {
    "t_after": ((0, ">", 1),),
    "t_before": ((1, "<", 0),),
    "t_intersects": ((0, "<=", 1), (1, ">=", 0)),
    "t_equals": ((0, "=", 0), (1, "=", 1)),
    "t_during": ((0, ">", 0), (1, "<", 1)),
    "t_contains": ((0, "<", 0), (1, ">", 1)),
    "t_meets": ((1, "=", 0),),
    "t_metby": ((0, "=", 1),),
    "t_overlaps": ((0, "<", 0), (1, ">", 0), (1, "<", 1)),
    "t_overlappedby": ((0, ">", 0), (0, "<", 1), (1, ">", 1)),
    "t_starts": ((0, "=", 0), (1, "<", 1)),
    "t_startedby": ((0, "=", 0), (1, ">", 1)),
    "t_finishes": ((1, "=", 1), (0, ">", 0)),
    "t_finishedby": ((1, "=", 1), (0, "<", 0)),
}

#: The operators of this file.
TEMPORAL = (*_RULES, "t_disjoint")


def temporal(binder: Binder, op: str, args: list[Any], at: str) -> Condition:
    """One temporal operator as comparisons."""
    rules = _RULES["t_intersects" if op == "t_disjoint" else op]
    a, b = need(args, 2, op, at)
    spans = _span(binder, a, f"{at}/args/0"), _span(binder, b, f"{at}/args/1")
    found = both(tuple(_ordered(spans[0][i], how, spans[1][j]) for i, how, j in rules))
    return negated(found) if op == "t_disjoint" else found


def _ordered(a: Moment, how: str, b: Moment) -> Condition:
    if not isinstance(a, str) and not isinstance(b, str):
        return tree.Compare(how, a, b)
    rank = {"first": -1, "last": 1}
    x, y = (rank[one] if isinstance(one, str) else 0 for one in (a, b))
    return tree.Always({"=": x == y, "<": x < y, ">": x > y, "<=": x <= y, ">=": x >= y}[how])


def _span(binder: Binder, node: Any, at: str) -> Span:
    """Start and end of a temporal operand."""
    node = binder.joined(node)
    if isinstance(node, dict) and "interval" in node:
        ends = node["interval"]
        if not isinstance(ends, list) or len(ends) != 2:
            fail("an interval has a start and an end", at)
        start, end = _end(binder, ends[0], 0, f"{at}/interval/0"), _end(binder, ends[1], 1, f"{at}/interval/1")
        if isinstance(start, tree.Literal) and isinstance(end, tree.Literal) and start.value > end.value:
            fail("the interval ends before it starts", f"{at}/interval/1")
        return start, end
    if isinstance(node, dict) and "property" in node:
        found = binder.field(node, at)
        if found.type == "interval" and found.end is not None:
            return tree.Read(found, "time"), tree.Read(found.end, "time")
        read = binder.read(node, "time", at)
        return read, read
    return _end(binder, node, 0, at), _end(binder, node, 1, at)


def _end(binder: Binder, node: Any, which: int, at: str) -> Moment:
    if node == "..":
        return ("first", "last")[which]
    node = binder.joined(node)
    if isinstance(node, dict) and "property" in node:
        return _span(binder, node, at)[which]
    text = node if isinstance(node, str) else next(iter(node.values()), None) if isinstance(node, dict) else None
    if isinstance(text, str) and whole_day(text) and (day := moment(text)) is not None:
        return binder.slot("time", day + which * (DAY - 1))
    return binder.literal(node, "time", at)
