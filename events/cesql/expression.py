"""An expression, compiled once: call ``evaluate`` for its value and error, ``matches`` to filter by it.

Source: CloudEvents SQL 1.0.0, sections 1.2 (filters), 3.3 (errors) and 4.1 (fail-fast mode).
"""

from __future__ import annotations

from typing import NamedTuple

from events.cesql.casts import ZERO
from events.cesql.errors import CesqlError, Value
from events.cesql.functions import BUILTIN, Functions
from events.cesql.parser import Parser
from events.event import Event


class Result(NamedTuple):
    """What came out: always a value, and the error that ended the evaluation, if any."""

    value: Value
    error: CesqlError | None = None


class Expression:
    """A compiled expression; ``text`` is its source, ``missing`` its calls of functions that do not exist.

    Any number of threads may use it at once.
    """

    def __init__(self, text: str, functions: Functions = BUILTIN) -> None:
        self.text = text
        parser = Parser(text, functions)
        root = parser.parse()
        self.missing = tuple(parser.missing)
        self._run, self._zero, self._position = root.run, ZERO[root.type], root.position

    def __repr__(self) -> str:
        return f"compile({self.text!r})"

    def evaluate(self, event: Event) -> Result:
        """The value for this event. The first error ends it; then the value is what the failed operation gives instead.

        That is the zero value of the expression's type (``""``, 0, ``False``; ``False`` if the type is unknown), unless the
        outermost operation is the one that failed and defines another one, as LEFT, RIGHT and ABS do.
        """
        try:
            return Result(self._run(event))
        except CesqlError as error:
            own = error.value if error.position == self._position else None
            return Result(self._zero if own is None else own, error.with_traceback(None))

    def matches(self, event: Event) -> bool:
        """Whether the expression is the boolean true for this event, and no error came up."""
        try:
            return self._run(event) is True
        except CesqlError:
            return False


def compile(text: str, functions: Functions = BUILTIN) -> Expression:
    """The expression in ``text``. Raises ``ParseError`` with the position of what is wrong.

    Args:
        text: an expression, such as ``type LIKE 'dev.sluice.%' AND INT(sequence) > 10``.
        functions: what may be called in it; ``BUILTIN.with_(Function(...))`` adds your own.

    """
    return Expression(text, functions)
