"""CQL2-JSON and the fields it names -> a typed tree (``tree.py``). Whatever can be known to be wrong is an error here.

A literal decides how an open attribute is read: ``rows > 5`` reads numbers, ``rows > '5'`` texts; a document whose value is
of another type answers neither yes nor no, as one without the attribute does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Never, cast

from infra.catalog.query import tree
from infra.catalog.query.errors import FilterError
from infra.catalog.query.fields import Field, Fields, Type
from infra.catalog.query.moments import moment
from infra.catalog.query.numbers import LARGE, fits
from infra.catalog.query.patterns import checked, fold
from infra.catalog.query.tree import Condition, Literal, Read, Value

DEEPEST = 64
COMPARISONS = {"=": "=", "<>": "<>", "!=": "<>", "<": "<", "<=": "<=", ">": ">", ">=": ">="}
#: The exponents of ``^``: by these both databases and Python multiply in the same order, so to the same last digit.
MOST_POWER = 16
#: A comparison with its sides exchanged.
MIRROR = {"=": "=", "<>": "<>", "<": ">", "<=": ">=", ">": "<", ">=": "<="}
ARITHMETIC = ("+", "-", "*", "/", "%", "div", "^")
NOUN = {
    "text": "text",
    "number": "a number",
    "integer": "a number",
    "boolean": "true or false",
    "time": "a time",
    "json": "a document",
    "interval": "an interval",
    "geometry": "a geometry",
    "array": "an array",
    "any": "any value",
}


#: Understands the arguments of one operator, which stand at a JSON pointer.
Operator = Callable[["Binder", str, list[Any], str], Condition]


class Binder:
    """One filter on its way to a tree. ``reads`` collects the fields it names."""

    def __init__(self, fields: Fields, operators: Mapping[str, Operator]) -> None:
        self.fields, self.operators = fields, operators
        self.literals: list[Literal] = []
        self.reads: dict[str, Field] = {}

    def condition(self, node: Any, at: str, depth: int = 0) -> Condition:
        """A node that is true or false."""
        if depth > DEEPEST:
            fail(f"conditions are nested more than {DEEPEST} deep", at)
        if isinstance(node, bool):
            return tree.Always(node)
        if isinstance(node, dict) and "property" in node:
            read = self.read(node, "boolean", at)
            return tree.Holds(read)
        op, args = operation(node, at)
        low = op.lower()
        if low in ("and", "or"):
            if not args:
                fail(f"{op} takes conditions", at)
            items = tuple(self.condition(one, f"{at}/args/{i}", depth + 1) for i, one in enumerate(args))
            return both(items) if low == "and" else either(items)
        if low == "not":
            (one,) = need(args, 1, op, at)
            return negated(self.condition(one, f"{at}/args/0", depth + 1))
        if op in COMPARISONS:
            left, right = need(args, 2, op, at)
            return self.compare(COMPARISONS[op], (left, f"{at}/args/0"), (right, f"{at}/args/1"))
        if found := self.operators.get(low):
            return found(self, low, args, at)
        if low in (*ARITHMETIC, "casei", "accenti"):
            fail(f"{op!r} gives {'text' if low in ('casei', 'accenti') else 'a number'}, where true or false is needed", at)
        fail(f"there is no function {op!r}", at)

    def compare(self, op: str, left: tuple[Any, str], right: tuple[Any, str]) -> Condition:
        """One of the six comparisons of two values, each a node and where it stands."""
        (a, at_a), (b, at_b) = left, right
        a, b = self.joined(a), self.joined(b)
        type_a, type_b = self.type_of(a, at_a), self.type_of(b, at_b)
        for type_, at in ((type_a, at_a), (type_b, at_b)):
            if type_ in ("geometry", "json"):
                fail(f"{NOUN[type_]} cannot be compared with {op}", at)
        if type_a == "array" or type_b == "array":
            return self._element(op, (a, at_a), (b, at_b))
        if type_a == type_b == "any":
            return tree.First(
                tuple(
                    tree.Compare(op, self.value(a, one, at_a), self.value(b, one, at_b))
                    for one in cast(tuple[Type, ...], ("number", "text", "boolean"))
                    if one != "boolean" or op in ("=", "<>")
                )
            )
        type_ = self.common(type_a, type_b, (a, at_a), (b, at_b))
        if type_ == "boolean" and op not in ("=", "<>"):
            fail(f"true and false have no order, so {op} makes no sense", at_a if type_a == "boolean" else at_b)
        return comparison(op, self.value(a, type_, at_a), self.value(b, type_, at_b))

    def common(self, a: Type, b: Type, left: tuple[Any, str], right: tuple[Any, str]) -> Type:
        """The type in which two values are compared."""
        a, b = ("time" if one == "interval" else one for one in (a, b))
        if "any" in (a, b) or a == b:
            known = b if a == "any" else a
            return "number" if known == "integer" and a != b else known
        if {a, b} == {"integer", "number"}:
            literal = any(isinstance(node, int | float) for node, _ in (left, right))
            return "integer" if literal else "number"
        for one, (node, _) in ((b, left), (a, right)):
            if one == "time" and isinstance(node, str):  # CIMI has no other way to write one
                return "time"
        wrong, other = (right, a) if isinstance(left[0], dict) else (left, b)
        fail(f"{NOUN[other]} is compared with {NOUN[b if wrong is right else a]}", wrong[1])

    def type_of(self, node: Any, at: str) -> Type:
        """What is known of a node's type."""
        if isinstance(node, bool):
            return "boolean"
        if isinstance(node, str):
            return "text"
        if isinstance(node, int | float):
            return "number"
        if isinstance(node, list):
            return "array"
        if node is None:
            fail("null is compared with nothing: write IS NULL", at)
        if isinstance(node, dict):
            if "property" in node:
                return self.field(node, at).type
            for key, type_ in (("timestamp", "time"), ("date", "time"), ("interval", "interval")):
                if key in node:
                    return cast(Type, type_)
            if "coordinates" in node or "bbox" in node or "geometries" in node:
                return "geometry"
            if (op := node.get("op")) in ARITHMETIC:
                return "number"
            if isinstance(op, str) and op.lower() in ("casei", "accenti"):
                return "text"
            if isinstance(op, str):
                fail(f"{op!r} is no value that could be compared", at)
        fail("here a property, a literal or a function is needed", at)

    def value(self, node: Any, type_: Type, at: str) -> Value:
        """A node as a value of a type."""
        node = self.joined(node)
        if isinstance(node, dict) and "property" in node:
            return self.read(node, type_, at)
        if isinstance(node, dict) and "op" in node:
            op, args = operation(node, at)
            if type_ in ("number", "integer") and op in ARITHMETIC:
                if op in ("+", "-") and len(args) == 1:
                    args = [0, *args]
                left, right = need(args, 2, op, at)
                if op == "^" and not (type(right) in (int, float) and right == int(right) and 0 <= right <= MOST_POWER):
                    fail(f"the exponent of ^ is a whole number from 0 to {MOST_POWER}", f"{at}/args/1")
                depth = at.count("/args/")
                if depth > DEEPEST:
                    fail(f"the arithmetic is nested more than {DEEPEST} deep", at)
                return tree.Arithmetic(
                    op, self.value(left, "number", f"{at}/args/0"), self.value(right, "number", f"{at}/args/1")
                )
            if type_ == "text" and op.lower() in ("casei", "accenti"):
                (one,) = need(args, 1, op, at)
                inner = self.value(one, "text", f"{at}/args/0")
                if isinstance(inner, Literal):
                    return self.replaced(inner, fold(op.lower(), inner.value))
                return tree.Fold(op.lower(), inner)
            fail(f"there is no operator {op!r} that gives {NOUN[type_]}", at)
        return self.literal(node, type_, at)

    def literal(self, node: Any, type_: Type, at: str) -> Literal:
        """A literal in the next slot."""
        actual = self.type_of(node, at)
        if type_ == "time" and actual in ("time", "text"):
            text = node if isinstance(node, str) else node.get("timestamp", node.get("date"))
            if not isinstance(text, str) or (ms := moment(text)) is None:
                fail(f"{str(text)[:60]!r} is no time: write it like 2026-03-01 or 2026-03-01T12:00:00Z", at)
            return self.slot("time", ms)
        if actual == "text" == type_:
            return self.slot("text", checked(node, at))
        if actual == "boolean" == type_:
            return self.slot("boolean", node)
        if actual == "number" and type_ in ("number", "integer"):
            return self.slot(*number(node, type_, at))
        fail(f"{NOUN[type_]} is needed here, not {NOUN[actual]}", at)

    def slot(self, type_: Type, value: Any) -> Literal:
        """A new literal."""
        self.literals.append(Literal(type_, len(self.literals), value))
        return self.literals[-1]

    def replaced(self, literal: Literal, value: Any, type_: Type = "text") -> Literal:
        """The literal with another value in the same slot."""
        self.literals[literal.slot] = replace(literal, value=value, type=type_)
        return self.literals[literal.slot]

    def field(self, node: Any, at: str) -> Field:
        """The field that a property node names."""
        name = node["property"]
        if not isinstance(name, str) or not name:
            fail("a property is named by a text", at)
        try:
            found = self.fields.find(name)
        except FilterError as error:
            raise FilterError(error.reason, pointer=at) from None
        self.reads[name] = found
        return found

    def read(self, node: Any, type_: Type, at: str) -> Read:
        """A property read as a type."""
        found = self.field(node, at)
        actual = "time" if found.type == "interval" else found.type
        if type_ == "any":
            return Read(found, actual)
        if actual not in (type_, "any") and {actual, type_} != {"integer", "number"}:
            fail(f"{node['property']!r} is {NOUN[found.type]}, where {NOUN[type_]} is needed", at)
        return Read(found, type_)

    def joined(self, node: Any) -> Any:
        """``content-type`` as one name: CQL2 reads a minus."""
        if isinstance(node, dict) and node.get("op") == "-" and isinstance(args := node.get("args"), list) and len(args) == 2:
            parts = [one.get("property") if isinstance(one, dict) else None for one in (self.joined(args[0]), args[1])]
            if all(isinstance(one, str) for one in parts) and (name := "-".join(map(str, parts))) in self.fields.known:
                return {"property": name}
        return node

    def _element(self, op: str, left: tuple[Any, str], right: tuple[Any, str]) -> Condition:
        """``tags = 'x'``: one of the array's elements is."""
        (array, at), (one, at_one) = (left, right) if isinstance(left[0], dict) else (right, left)
        if op not in ("=", "<>") or not isinstance(array, dict) or isinstance(one, dict | list):
            fail("an array is compared by A_CONTAINS, A_OVERLAPS and the like", at)
        found = tree.Elements("contains", self.field(array, at), (self.literal(one, self.type_of(one, at_one), at_one),))
        return found if op == "=" else negated(found)


def fail(reason: str, at: str) -> Never:
    """The filter is wrong at a JSON pointer."""
    raise FilterError(reason, pointer=at or "/")


def operation(node: Any, at: str) -> tuple[str, list[Any]]:
    """Operator and arguments of a node."""
    if isinstance(node, dict) and isinstance(op := node.get("op"), str) and isinstance(args := node.get("args"), list):
        return op, args
    if isinstance(node, str | int | float | list) or (
        isinstance(node, dict) and ({"timestamp", "date", "interval"} & node.keys())
    ):
        fail("a value stands where a condition is needed", at)
    fail('a condition is {"op": NAME, "args": [...]}', at)


def need(args: list[Any], count: int, op: str, at: str) -> list[Any]:
    """The arguments, when they are as many as the operator takes."""
    if len(args) != count:
        fail(f"{op} takes {count} argument{'s' * (count != 1)}, not {len(args)}", at)
    return args


def number(value: float, type_: Type, at: str) -> tuple[Type, float]:
    """A number in the form it is bound in: an integer of 64 bits, else a double."""
    try:
        double = float(value)
    except OverflowError:
        double = float("inf")
    if double != double or double in (float("inf"), float("-inf")):
        fail("the number is too large", at)
    if type_ == "number" and isinstance(value, int) and fits(value):
        return "number", value
    if type_ == "number":
        return "large" if abs(double) >= LARGE else "number", double + 0.0
    if value != int(value):
        return "number", double
    return ("integer", int(value)) if fits(int(value)) else ("number", 1e19 if value > 0 else -1e19)


def comparison(op: str, left: Value, right: Value) -> Condition:
    """A comparison. An attribute that a resource has not is an empty text there: to be equal to one is to have no value."""
    for one, other, how in ((left, right, op), (right, left, MIRROR[op])):
        blank = isinstance(one, Read) and one.field.blank and isinstance(other, Literal) and other.value == ""
        if blank and how not in ("<", "<="):
            return tree.IsNull(one) if how == "=" else tree.Not(tree.IsNull(one))
    return tree.Compare(op, left, right)


def both(items: tuple[Condition, ...]) -> Condition:
    """AND, flat and without what is always true."""
    flat = [one for item in items for one in (item.items if isinstance(item, tree.And) else (item,))]
    if any(item == tree.Always(False) for item in flat):
        return tree.Always(False)
    kept = tuple(item for item in flat if item != tree.Always(True))
    return kept[0] if len(kept) == 1 else tree.And(kept) if kept else tree.Always(True)


def either(items: tuple[Condition, ...]) -> Condition:
    """OR, flat and without what is never true."""
    flat = [one for item in items for one in (item.items if isinstance(item, tree.Or) else (item,))]
    if any(item == tree.Always(True) for item in flat):
        return tree.Always(True)
    kept = tuple(item for item in flat if item != tree.Always(False))
    return kept[0] if len(kept) == 1 else tree.Or(kept) if kept else tree.Always(False)


def negated(item: Condition) -> Condition:
    """NOT."""
    return tree.Always(not item.value) if isinstance(item, tree.Always) else tree.Not(item)
