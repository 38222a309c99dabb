"""CloudEvents SQL: expressions over an event's context attributes, compiled once and evaluated in about a microsecond.

Source: CloudEvents SQL Expression Language 1.0.0. ``compile("subject LIKE 'raw/%'")`` gives an ``Expression``.
"""

from events.cesql.errors import (
    CastError,
    CesqlError,
    FunctionEvaluationError,
    GenericError,
    MathError,
    MissingAttributeError,
    MissingFunctionError,
    ParseError,
)
from events.cesql.expression import Expression, Result, compile
from events.cesql.functions import BUILTIN, Function, Functions

__all__ = [
    "BUILTIN",
    "CastError",
    "CesqlError",
    "Expression",
    "Function",
    "FunctionEvaluationError",
    "Functions",
    "GenericError",
    "MathError",
    "MissingAttributeError",
    "MissingFunctionError",
    "ParseError",
    "Result",
    "compile",
]
