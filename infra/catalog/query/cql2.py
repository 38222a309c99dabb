"""CQL2 as text (parsed by the ``cql2`` package) or JSON -> CQL2-JSON. OGC 21-065r2."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import count
from typing import Any

import cql2

from infra.catalog.query.errors import FilterError

LONGEST, DEEPEST = 100_000, 64
_PLACE = re.compile(r"--> (\d+):(\d+)")
_TOKEN = re.compile(r"""'(?:[^']|'')*'|"[^"]*"|\b[nN][oO][tT]\b|[-+^]|[()]|\s+|[^\s'"()+^-]+|.""")
#: There may be an integer that no double is.
_LARGE = re.compile(r"[0-9]{16}")
#: Texts and names, which stay as they are, and numbers; ``whole`` is an integer.
_NUMBERS = re.compile(
    r"""'(?:[^']|'')*'|"[^"]*"|[^\W\d][\w.:]*|[0-9]*\.[0-9]+(?:[eE][+-]?[0-9]+)?|[0-9]+\.?[eE][+-]?[0-9]+"""
    r"""|(?P<whole>[0-9]{16,300})(?![\w.])|[0-9]+\.?"""
)
#: The grammar's names of what may come next, for people.
_NAMES = {
    "EOI": "the end",
    "Identifier": "a name",
    "DECIMAL": "a number",
    "Double": "a number",
    "SingleQuotedString": "a text in single quotes",
    "ExpressionInParentheses": "(",
    "Array": "(",
    "GEOMETRY": "a geometry",
    "Negative": "-",
    "UnaryNot": "NOT",
    "NotFlag": "NOT",
    "True": "TRUE",
    "False": "FALSE",
    "Null": "NULL",
    "Expr": "an expression",
    "And": "AND",
    "Or": "OR",
    "Add": "+",
    "Subtract": "-",
    "Multiply": "*",
    "Divide": "/",
    "Modulo": "%",
    "Power": "^",
    "Eq": "=",
    "Gt": ">",
    "GtEq": ">=",
    "Lt": "<",
    "LtEq": "<=",
    "NotEq": "<>",
    "IsNullPostfix": "IS NULL",
}


def parse_text(text: str) -> Any:
    """CQL2 text as CQL2-JSON. Raises ``FilterError`` at the character that cannot be understood."""
    if len(text) > LONGEST:
        raise FilterError(f"a filter has {LONGEST} characters at most")
    _shallow(text)
    try:
        parsed = cql2.parse_text(text).to_json()
        return _exactly(text, parsed) if _LARGE.search(text) else parsed
    except cql2.ParseError as error:
        raise _explained(str(error), text) from None
    except (cql2.ValidationError, ValueError) as error:
        raise FilterError(str(error)[:200]) from None


def _exactly(text: str, parsed: Any) -> Any:
    """As the parser reads it, but for integers that no double is: it knows doubles only, so unused ones stand in for them."""
    unused = (float(f"{i}e-280") for i in count(1))
    used = set(_doubles(parsed))
    known: dict[float, int] = {}

    def stand_in(found: re.Match[str]) -> str:
        if not found["whole"] or int(found["whole"]) == float(found["whole"]):
            return found[0]
        mark = next(one for one in unused if one not in used)
        known[mark] = int(found["whole"])
        return repr(mark)

    def replaced(node: Any) -> Any:
        if isinstance(node, dict):
            return {name: replaced(one) for name, one in node.items()}
        if isinstance(node, list):
            return [replaced(one) for one in node]
        if type(node) is float and abs(node) in known:
            return known[abs(node)] if node > 0 else -known[abs(node)]
        return node

    return replaced(cql2.parse_text(_NUMBERS.sub(stand_in, text)).to_json())


def _doubles(node: Any) -> Iterator[float]:
    """The numbers in a filter, without their signs."""
    if isinstance(node, dict | list):
        for one in node.values() if isinstance(node, dict) else node:
            yield from _doubles(one)
    elif isinstance(node, float):
        yield abs(node)


def _shallow(text: str) -> None:
    """The parser goes down one call a bracket, NOT or sign, and the process ends where its stack does."""
    depth = run = 0
    for found in _TOKEN.finditer(text):
        token = found[0]
        if token.isspace():
            continue
        depth += (token == "(") - (token == ")")  # noqa: S105 - brackets
        run = run + 1 if token in "-+^(" or token.lower() == "not" else 0  # noqa: S105
        if depth > DEEPEST or run > DEEPEST:
            raise FilterError(f"brackets, signs and NOT are nested more than {DEEPEST} deep", text=text, index=found.start())


def _explained(message: str, text: str) -> FilterError:
    found = _PLACE.search(message)
    if found is None:
        return FilterError(message.strip()[:200])
    line, column = int(found[1]), int(found[2])
    rows = text.split("\n")
    index = min(sum(len(row) + 1 for row in rows[: line - 1]) + column - 1, len(text))
    early = not text[index:].strip()
    if early:
        index = len(text.rstrip())
    names = re.split(r", (?:or )?| or ", message.partition("= expected ")[2].strip())
    expected = ", ".join(dict.fromkeys(_NAMES.get(name, name) for name in names if name))
    what = "the filter ends too early" if early else f"{text[index]!r} is not understood"
    return FilterError(f"{what}; expected {expected}" if expected else what, text=text, index=index)
