"""What can go wrong with an expression. ``kind`` is the name that the CloudEvents test kit gives to each.

    CesqlError
    ├── ParseError                parse               the text is no expression; raised by ``compile``
    ├── MathError                 math                a division by zero, or a result of more than 32 bits
    ├── CastError                 cast                a text that is no integer or no boolean
    ├── MissingAttributeError     missingAttribute    the event has no such attribute
    ├── MissingFunctionError      missingFunction     no function of this name takes so many arguments
    ├── FunctionEvaluationError   functionEvaluation  a function got what it cannot work with
    └── GenericError              generic             anything else

Source: CloudEvents SQL 1.0.0, section 3.3.
"""

from __future__ import annotations

from typing import ClassVar

from events.errors import Reject

Value = str | int | bool


class CesqlError(Reject):
    """Root of them all.

    Args:
        message: what is wrong, for people.
        position: where in the expression's text, counted from 0.
        value: what the failed operation gives all the same; ``None`` is the zero value of its type.

    """

    kind: ClassVar[str] = "generic"

    def __init__(self, message: str, position: int = 0, value: Value | None = None) -> None:
        super().__init__(message)
        self.position, self.value = position, value

    def __str__(self) -> str:
        return f"{self.args[0]} (at character {self.position + 1} of the expression)"


class ParseError(CesqlError):
    """The text breaks the grammar."""

    kind = "parse"


class MathError(CesqlError):
    """An arithmetic operation has no result, or none that fits into 32 bits."""

    kind = "math"


class CastError(CesqlError):
    """A value cannot become one of the type that is needed."""

    kind = "cast"


class MissingAttributeError(CesqlError):
    """The event lacks an attribute that the expression names."""

    kind = "missingAttribute"


class MissingFunctionError(CesqlError):
    """The expression calls what nobody defined."""

    kind = "missingFunction"


class FunctionEvaluationError(CesqlError):
    """A function failed on its arguments."""

    kind = "functionEvaluation"


class GenericError(CesqlError):
    """An error of no other kind."""
