"""The operations of an expression as closures: each node is made once and then called with every event.

Source: CloudEvents SQL 1.0.0, sections 3.2 (attributes), 3.4 (operators) and 3.7 (implicit casts). Evaluation fails fast
(section 4.1): the first error ends it, as a Python exception, so that an event without errors pays nothing for them.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import NamedTuple

from events.attributes import CORE
from events.cesql.casts import CAST, HIGHEST, LOWEST, NAMES, Type, cast, castable
from events.cesql.errors import (
    CesqlError,
    FunctionEvaluationError,
    MathError,
    MissingAttributeError,
    MissingFunctionError,
    ParseError,
    Value,
)
from events.cesql.functions import Function
from events.cesql.like import matcher
from events.event import Event

Run = Callable[[Event], Value]
#: Most operations inside each other: what is made here must run on the stack of any thread.
MAX_DEPTH = 200
_NOTHING = object()


class Node(NamedTuple):
    """An operation: what it computes, of which type (``None``: the event decides), and where it stands in the text."""

    run: Run
    type: Type
    position: int
    depth: int = 1
    #: The value of a literal.
    constant: object = _NOTHING


def literal(value: Value, position: int) -> Node:
    """A value that stands in the text."""
    return Node(lambda _: value, type(value), position, constant=value)


def attribute(name: str, position: int) -> Node:
    """A context attribute, which must be there."""
    get = _getter(name)

    def run(event: Event) -> Value:
        value = get(event)
        if value is None:
            raise MissingAttributeError(f"the event has no attribute {name!r}", position)
        return value

    return Node(run, None, position)


def exists(name: str, position: int) -> Node:
    """Whether the event has an attribute."""
    get = _getter(name)
    return Node(lambda event: get(event) is not None, bool, position)


def negation(operand: Node, position: int) -> Node:
    """``NOT x``."""
    run = _as(operand, bool)
    return _node(lambda event: not run(event), bool, position, operand)


def minus(operand: Node, position: int) -> Node:
    """``-x``."""
    run = _as(operand, int)

    def negative(event: Event) -> int:
        value: int = run(event)  # type: ignore[assignment]
        return _fit(-value, position)

    return _node(negative, int, position, operand)


def arithmetic(operands: Sequence[Node], symbols: Sequence[str], positions: Sequence[int]) -> Node:
    """``a * b / c % d`` or ``a + b - c``, from left to right."""
    first, *rest = [_as(operand, int) for operand in operands]
    steps = [
        (symbol, _ARITHMETIC[symbol], operand, position)
        for symbol, operand, position in zip(symbols, rest, positions, strict=True)
    ]

    def run(event: Event) -> Value:
        value = first(event)
        for symbol, compute, operand, position in steps:
            other = operand(event)
            try:
                value = _fit(compute(value, other), position)  # type: ignore[arg-type]
            except ZeroDivisionError:
                raise MathError(f"{value} {symbol} 0 has no result", position) from None
        return value

    return _node(run, int, positions[-1], *operands)


def order(symbol: str, left: Node, right: Node, position: int) -> Node:
    """``<``, ``<=``, ``>`` and ``>=``, of integers."""
    compare = _ORDER[symbol]
    first, second = _as(left, int), _as(right, int)
    return _node(lambda event: compare(first(event), second(event)), bool, position, left, right)


def equality(equal: bool, left: Node, right: Node, position: int) -> Node:
    """``=`` and ``!=``: the left side is cast to the type of the right one."""
    if right.type is None:
        first, second, where = left.run, right.run, left.position

        def run(event: Event) -> bool:
            x, y = first(event), second(event)
            if type(x) is not type(y):
                x = cast(x, type(y), where)
            return (x == y) is equal

        return _node(run, bool, position, left, right)
    first, second = _as(left, right.type), right.run
    if right.constant is not _NOTHING:
        constant = right.constant
        if equal:
            return _node(lambda event: first(event) == constant, bool, position, left, right)
        return _node(lambda event: first(event) != constant, bool, position, left, right)
    return _node(lambda event: (first(event) == second(event)) is equal, bool, position, left, right)


def logic(operands: Sequence[Node], operators: Sequence[str], position: int) -> Node:
    """``a AND b OR c XOR d ...``, from left to right: the three have one precedence. AND and OR are short-circuit."""
    runs = [_as(operand, bool) for operand in operands]
    first, second = runs[:2]
    rest, kinds = runs[1:], set(operators)
    if len(kinds) == 1 and "XOR" not in kinds:
        stop = "OR" in kinds  # the value of an operand that decides
        if len(runs) == 2:
            both = (lambda event: first(event) or second(event)) if stop else (lambda event: first(event) and second(event))
            return _node(both, bool, position, *operands)

        def decided(event: Event) -> bool:
            for operand in runs:
                if operand(event) is stop:
                    return stop
            return not stop

        return _node(decided, bool, position, *operands)
    steps = list(zip(operators, rest, strict=True))

    def run(event: Event) -> Value:
        value = first(event)
        for kind, operand in steps:
            if kind == "XOR":
                value = value is not operand(event)
            elif value is (kind == "AND"):
                value = operand(event)
        return value

    return _node(run, bool, position, *operands)


def like(operand: Node, pattern: str, negated: bool, position: int) -> Node:
    """``x LIKE 'pattern'`` and ``x NOT LIKE 'pattern'``."""
    run, match = _as(operand, str), matcher(pattern)
    if negated:
        return _node(lambda event: not match(run(event)), bool, position, operand)  # type: ignore[arg-type]
    return _node(lambda event: match(run(event)), bool, position, operand)  # type: ignore[arg-type]


def member(operand: Node, elements: Sequence[Node], negated: bool, position: int) -> Node:
    """``x IN (y, ...)`` and ``x NOT IN (y, ...)``: elements are cast to the type of ``x``, up to the first equal one."""
    if all(element.constant is not _NOTHING for element in elements):
        return _member_of_literals(operand, elements, negated, position)
    return _node(_search(operand.run, elements, negated), bool, position, operand, *elements)


def call(function: Function, arguments: Sequence[Node], position: int) -> Node:
    """A call of ``function``, its arguments cast to what it takes."""
    name, compute, returns = function.name, function.call, function.returns
    types = [*function.parameters, *[function.rest] * (len(arguments) - len(function.parameters))]
    runs = [_as(argument, wanted) for argument, wanted in zip(arguments, types, strict=True)]

    def run(event: Event) -> Value:
        values = [each(event) for each in runs]
        try:
            value = compute(*values)
        except CesqlError as error:
            error.position = position
            raise
        except Exception as error:
            raise FunctionEvaluationError(f"{name} failed: {error or type(error).__name__}", position) from error
        if type(value) is not returns or (type(value) is int and not LOWEST <= value <= HIGHEST):
            raise FunctionEvaluationError(f"{name} gave {value!r}, which is no {NAMES[returns]}", position)
        return value

    return _node(run, returns, position, *arguments)


def missing(text: str, arguments: Sequence[Node], position: int) -> Node:
    """A call of a function that does not exist: ``text`` says so where it is evaluated."""

    def run(_: Event) -> Value:
        raise MissingFunctionError(text, position)

    return _node(run, bool, position, *arguments)


def _node(run: Run, kind: Type, position: int, *parts: Node) -> Node:
    depth = 1 + max((part.depth for part in parts), default=0)
    if depth > MAX_DEPTH:
        raise ParseError(f"operations are nested more than {MAX_DEPTH} deep", position)
    return Node(run, kind, position, depth)


def _getter(name: str) -> Callable[[Event], Value | None]:
    if name in CORE:
        return operator.attrgetter(name)
    return lambda event: event.extensions.get(name)


def _as(node: Node, wanted: Type) -> Run:
    """What the node computes, as a value of the type ``wanted``."""
    run, position = node.run, node.position
    if wanted is None or node.type is wanted:
        return run

    def converted(event: Event) -> Value:
        value = run(event)
        return value if type(value) is wanted else cast(value, wanted, position)

    return converted


def _fit(number: int, position: int) -> int:
    if LOWEST <= number <= HIGHEST:
        return number
    raise MathError(f"the result {number} needs more than 32 bits", position)


def _divide(x: int, y: int) -> int:
    quotient = abs(x) // abs(y)
    return quotient if (x < 0) is (y < 0) else -quotient


def _remainder(x: int, y: int) -> int:
    return x - y * _divide(x, y)


def _search(run: Run, elements: Sequence[Node], negated: bool) -> Run:
    def found(event: Event) -> bool:
        x = run(event)
        for element in elements:
            if cast(element.run(event), type(x), element.position) == x:
                return not negated
        return negated

    return found


def _member_of_literals(operand: Node, elements: Sequence[Node], negated: bool, position: int) -> Node:
    """The usual set, cast once to each type that all of its elements can have."""
    values: list[Value] = [element.constant for element in elements]  # type: ignore[misc]
    sets = {
        kind: frozenset(map(CAST[kind], values)) for kind in (str, int, bool) if all(castable(value, kind) for value in values)
    }
    run, slowly = operand.run, _search(operand.run, elements, negated)

    def found(event: Event) -> Value:
        x = run(event)
        ready = sets.get(type(x))
        return slowly(event) if ready is None else (x in ready) is not negated

    return _node(found, bool, position, operand)


_ARITHMETIC: dict[str, Callable[[int, int], int]] = {
    "*": operator.mul,
    "/": _divide,
    "%": _remainder,
    "+": operator.add,
    "-": operator.sub,
}
_ORDER: dict[str, Callable[[Value, Value], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
