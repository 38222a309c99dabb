"""A condition as branches: it is true where all conditions of one of them are. NOT stands before single conditions only.

A comparison stays unknown where a value is: NOT of one is the opposite one, in SQL's three values too.
"""

from __future__ import annotations

from infra.catalog.query import tree
from infra.catalog.query.binder import both, either, negated
from infra.catalog.query.tree import Condition

#: Most branches that ANDs of ORs are multiplied out to, and most that a condition may have.
PRODUCT, MOST = 16, 64
#: NOT IN with more values stays one condition.
FEW = 4
_OPPOSITE = {"=": "<>", "<>": "=", "<": ">=", "<=": ">", ">": "<=", ">=": "<"}


def branches(condition: Condition) -> list[list[Condition]]:
    """The branches, each a list of conditions. One whose alternatives are too many is a single branch of itself."""
    plain = _pushed(condition, False)
    found = _branches(plain)
    return found if len(found) <= MOST else [[plain]]


def _branches(condition: Condition) -> list[list[Condition]]:
    if isinstance(condition, tree.Always):
        return [[]] if condition.value else []
    if isinstance(condition, tree.Or):
        return [branch for item in condition.items for branch in _branches(item)]
    if not isinstance(condition, tree.And):
        return [[condition]]
    made: list[list[Condition]] = [[]]
    for item in condition.items:
        more = _branches(item)
        if len(made) * len(more) > PRODUCT:
            more = [[item]]
        made = [[*one, *other] for one in made for other in more]
    return made


def _pushed(condition: Condition, negate: bool) -> Condition:
    if isinstance(condition, tree.Not):
        return _pushed(condition.item, not negate)
    if isinstance(condition, tree.And | tree.Or):
        items = tuple(_pushed(item, negate) for item in condition.items)
        return both(items) if isinstance(condition, tree.And) != negate else either(items)
    if not negate:
        return condition
    if isinstance(condition, tree.Compare):
        return tree.Compare(_OPPOSITE[condition.op], condition.left, condition.right)
    if isinstance(condition, tree.In):
        choices = {item.value: item for item in condition.items}  # the last of a list is there several times
        if len(choices) <= FEW:
            return both(tuple(tree.Compare("<>", condition.value, item) for item in choices.values()))
    return negated(condition)
