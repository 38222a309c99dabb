"""A filter that has been understood: every name resolved, every comparison of one type, every literal in a numbered slot.

Two filters that differ in literals only are equal and hash alike, so a tree is the key under which compiled SQL is kept.
Values are ``Literal``, ``Read``, ``Arithmetic`` and ``Fold``; all others are conditions, which are true, false or (as NULL in
SQL) unknown.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from infra.catalog.query.fields import Field, Type


@dataclass(frozen=True, slots=True)
class Literal:
    """A value from the filter: text, float or int, bool, time in ms, or a ``Shape``. It is bound as parameter ``f{slot}``."""

    type: Type
    slot: int
    value: Any = field(compare=False)


@dataclass(frozen=True, slots=True)
class Read:
    """A field's value as ``type``: unknown where the document has none, or one of another type."""

    field: Field
    type: Type


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """``+ - * / % div`` of numbers in IEEE doubles; unknown where an operand or the result is of no use (see ``match.py``)."""

    op: str
    left: Value
    right: Value


@dataclass(frozen=True, slots=True)
class Fold:
    """A text without its case (``casei``) or its accents (``accenti``)."""

    op: str
    value: Value


Value = Literal | Read | Arithmetic | Fold


@dataclass(frozen=True, slots=True)
class Always:
    """True or false whatever the document."""

    value: bool


@dataclass(frozen=True, slots=True)
class And:
    """All hold."""

    items: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """One holds."""

    items: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """It does not hold."""

    item: Condition


@dataclass(frozen=True, slots=True)
class First:
    """The first that is known, as COALESCE."""

    items: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Compare:
    """``= <> < <= > >=`` of two values of one type."""

    op: str
    left: Value
    right: Value


@dataclass(frozen=True, slots=True)
class In:
    """One of these literals."""

    value: Value
    items: tuple[Literal, ...]


@dataclass(frozen=True, slots=True)
class Like:
    r"""A text that fits a pattern: ``%`` any text, ``_`` any character, ``\`` takes the next character as it is."""

    value: Value
    pattern: Value


@dataclass(frozen=True, slots=True)
class IsNull:
    """There is no value."""

    value: Value


@dataclass(frozen=True, slots=True)
class Holds:
    """A boolean value as a condition."""

    value: Read


@dataclass(frozen=True, slots=True)
class Elements:
    """An array against literals: ``contains`` all of them, ``overlaps`` with one, is ``contained`` in them.

    ``like``: one of its texts fits the pattern.
    """

    op: str
    field: Field
    items: tuple[Literal, ...]


@dataclass(frozen=True, slots=True)
class Spatial:
    """A geometry ``intersects``, is ``within`` or ``contains`` a shape; ``bounds`` are its west, south, east and north.

    ``box`` says that the shape is just that rectangle (or a point).
    """

    op: str
    field: Field
    shape: Literal
    bounds: tuple[Literal, ...]
    box: bool


@dataclass(frozen=True, slots=True)
class Words:
    """The resource's text has all these words; one of ``starts`` need only begin a word."""

    items: tuple[Literal, ...]
    starts: tuple[bool, ...]


Condition = Always | And | Or | Not | First | Compare | In | Like | IsNull | Holds | Elements | Spatial | Words
