"""Numbers in metadata: integers of 64 bits are exact, all others are IEEE doubles; so they compare everywhere, as numbers do.

Python and SQLite compare an integer with a double exactly. PostgreSQL does so in its decimals, which JSON's numbers are there:
a double is the decimal of its shortest text, but a whole one that a 64-bit integer can be is that integer.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

#: Below this every whole double is the integer that its shortest text says.
EXACT = 2**53
#: Integers lie from minus this to below it.
LARGE = 2**63


def fits(value: int) -> bool:
    """Whether an integer has 64 bits."""
    return -LARGE <= value < LARGE


def decimal(value: float) -> Decimal:
    """A number as PostgreSQL is to compare it."""
    if type(value) is float and (abs(value) < EXACT or not fits(int(value))):
        return Decimal(repr(value))
    return Decimal(int(value))


def plain(value: Any) -> Any:
    """A number from a database as JSON: whole ones are integers, whatever their form was."""
    if value is None or type(value) is int:
        return value
    return int(value) if value == int(value) and fits(int(value)) else float(value)


def storable(document: Any) -> Any:
    """A document whose numbers are all in one of the two forms: integers of 64 bits, or doubles that no such integer equals.

    What is small stays as it was written. Raises ``OverflowError`` for an integer that is beyond the doubles, too.
    """
    if not _odd(document):
        return document
    return _settled(document)


def _odd(value: Any) -> bool:
    kind = type(value)
    if kind is dict:
        return any(map(_odd, value.values()))
    if kind is list:
        return any(map(_odd, value))
    return (kind is float or kind is int) and not -EXACT < value < EXACT


def _settled(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _settled(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_settled(one) for one in value]
    if isinstance(value, int) and not isinstance(value, bool):
        return value if fits(value) else float(value)
    if isinstance(value, float) and abs(value) >= EXACT and abs(value) < LARGE:
        return int(value)
    return value
