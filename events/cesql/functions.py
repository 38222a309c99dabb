"""The functions of CESQL: the built-in ones, and a table that may hold further ones.

Source: CloudEvents SQL 1.0.0, section 3.5; ``INT``, ``BOOL``, ``STRING``, ``IS_INT`` and ``IS_BOOL`` as its drafts had them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

import msgspec

from events.cesql.casts import HIGHEST, LOWEST, Type, castable, to_boolean, to_integer, to_string
from events.cesql.errors import FunctionEvaluationError, MathError, Value

_NAME = re.compile(r"[A-Za-z][A-Za-z_]*").fullmatch
#: Unicode's property White_Space, which is not what ``str.strip`` takes: that also removes the separators U+001C to U+001F.
_WHITE_SPACE = (
    "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
)


class Function(msgspec.Struct, frozen=True):
    """A function: its name in any case, the types it takes and gives, and the Python callable behind it.

    With ``rest``, any number of further arguments of that type may follow. ``call`` may raise ``FunctionEvaluationError``
    or ``MathError`` (their ``value`` is what the call gives all the same); anything else it raises becomes the former.
    """

    name: str
    parameters: tuple[Type, ...]
    returns: Type
    call: Callable[..., Value]
    rest: Type = None
    variadic: bool = False


class Functions:
    """A table of functions by name and number of arguments."""

    def __init__(self, functions: Iterable[Function] = ()) -> None:
        self._found: dict[str, list[Function]] = {}
        for function in functions:
            self.add(function)

    def add(self, function: Function) -> None:
        """Define a function. ``ValueError`` where a call could mean two: a variadic one has most fixed arguments."""
        if not _NAME(function.name):
            raise ValueError(f"{function.name!r} is no function name; names have letters and, behind the first, underscores")
        known = self._found.setdefault(function.name.upper(), [])
        for other in known:
            few, many = sorted((other, function), key=lambda each: len(each.parameters))
            if len(few.parameters) == len(many.parameters) or few.variadic:
                raise ValueError(f"{function.name}() with {len(many.parameters)} arguments could mean two functions")
        known.append(function)

    def find(self, name: str, arguments: int) -> Function | None:
        """The function that a call with so many arguments means."""
        for each in self._found.get(name.upper(), ()):
            if len(each.parameters) == arguments or (each.variadic and len(each.parameters) < arguments):
                return each
        return None

    def with_(self, *functions: Function) -> Functions:
        """A table with these and those here."""
        return Functions([*(each for known in self._found.values() for each in known), *functions])


def _left(text: str, length: int) -> str:
    if length < 0:
        raise FunctionEvaluationError(f"LEFT() takes {length} characters, but a length cannot be negative", value=text)
    return text[:length]


def _right(text: str, length: int) -> str:
    if length < 0:
        raise FunctionEvaluationError(f"RIGHT() takes {length} characters, but a length cannot be negative", value=text)
    return text[max(0, len(text) - length) :]


def _substring(text: str, start: int, length: int = HIGHEST) -> str:
    if length < 0:
        raise FunctionEvaluationError(f"SUBSTRING() takes {length} characters, but a length cannot be negative")
    if not -len(text) <= start <= len(text):
        raise FunctionEvaluationError(f"SUBSTRING() starts at {start}, outside of a text of {len(text)} characters")
    if start == 0:
        return ""
    first = start - 1 if start > 0 else len(text) + start
    return text[first : first + length]


def _absolute(number: int) -> int:
    if number == LOWEST:
        raise MathError(f"ABS({number}) needs more than 32 bits", value=HIGHEST)
    return abs(number)


def _joined(delimiter: str, *texts: str) -> str:
    return delimiter.join(texts)


BUILTIN = Functions(
    [
        Function("LENGTH", (str,), int, len),
        Function("CONCAT", (), str, lambda *texts: "".join(texts), str, True),
        Function("CONCAT_WS", (str,), str, _joined, str, True),
        Function("LOWER", (str,), str, str.lower),
        Function("UPPER", (str,), str, str.upper),
        Function("TRIM", (str,), str, lambda text: text.strip(_WHITE_SPACE)),
        Function("LEFT", (str, int), str, _left),
        Function("RIGHT", (str, int), str, _right),
        Function("SUBSTRING", (str, int), str, _substring),
        Function("SUBSTRING", (str, int, int), str, _substring),
        Function("ABS", (int,), int, _absolute),
        Function("INT", (None,), int, to_integer),
        Function("BOOL", (None,), bool, to_boolean),
        Function("STRING", (None,), str, to_string),
        Function("IS_INT", (None,), bool, lambda value: castable(value, int)),
        Function("IS_BOOL", (None,), bool, lambda value: castable(value, bool)),
    ]
)
