"""The three types, their zero values, and the casts between them.

Source: CloudEvents SQL 1.0.0, sections 3.1 (types) and 3.7 (casts).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from events.cesql.errors import CastError, Value

#: The type of a value, or ``None`` where only the event tells it.
Type = type[str] | type[int] | type[bool] | None

ZERO: dict[Type, Value] = {str: "", int: 0, bool: False, None: False}
NAMES: dict[Type, str] = {str: "String", int: "Integer", bool: "Boolean", None: "Any"}
LOWEST, HIGHEST = -(2**31), 2**31 - 1
#: Leading zeros may be many, digits that count may not: no text makes an integer of more than ten of them.
_INTEGER = re.compile(r"[+-]?0*[0-9]{1,10}").fullmatch


def to_string(value: Value) -> str:
    """``value`` as text; booleans in lower case."""
    if type(value) is bool:
        return "true" if value else "false"
    return str(value)


def to_integer(value: Value) -> int:
    """``value`` as an integer of 32 bits. Raises ``CastError``."""
    if type(value) is not str:
        return int(value)
    if _INTEGER(value) and LOWEST <= (number := int(value)) <= HIGHEST:
        return number
    raise CastError(f"the text {value[:60]!r} is no integer of 32 bits")


def to_boolean(value: Value) -> bool:
    """``value`` as a boolean: of a text, only ``true`` and ``false`` in any case. Raises ``CastError``."""
    if type(value) is not str:
        return bool(value)
    lower = value.lower()
    if lower == "true":
        return True
    if lower == "false":
        return False
    raise CastError(f"the text {value[:60]!r} is no boolean")


CAST: dict[Type, Callable[[Value], Any]] = {str: to_string, int: to_integer, bool: to_boolean}


def cast(value: Value, wanted: Type, position: int) -> Value:
    """``value`` as one of the type ``wanted``. Raises ``CastError`` with the position of what had to be cast."""
    if wanted is None or type(value) is wanted:
        return value
    try:
        result: Value = CAST[wanted](value)
    except CastError as error:
        error.position = position
        raise
    return result


def castable(value: Value, wanted: Type) -> bool:
    """Whether ``value`` can become one of the type ``wanted``."""
    try:
        cast(value, wanted, 0)
    except CastError:
        return False
    return True
