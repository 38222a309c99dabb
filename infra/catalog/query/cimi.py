"""CIMI filters -> CQL2-JSON, by the LALR grammar ``cimi.lark``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import cql2
from lark import Lark, Token, Transformer, UnexpectedCharacters, UnexpectedEOF, UnexpectedInput, UnexpectedToken

from infra.catalog.query.errors import FilterError

LONGEST = 100_000
_MIRROR = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_WKT = re.compile(
    r"\s*(?:GEOMETRYCOLLECTION|(?:MULTI)?(?:POINT|LINESTRING|POLYGON))\s*Z?\s*\((?:[-+0-9eE.,()\s]|(?:MULTI)?(?:POINT|LINESTRING|POLYGON)\s*Z?(?=\s*\())*\)\s*",
    re.IGNORECASE,
)
#: The grammar's names of what may come next, for people.
_NAMES = {
    "NAME": "an attribute",
    "STRING": "a text in quotes",
    "NUMBER": "a number",
    "TIME": "a time",
    "LPAR": "(",
    "RPAR": ")",
    "LSQB": "[",
    "RSQB": "]",
    "COMMA": ",",
    "SAME": "= or !=",
    "ORDER": "< <= > >=",
    "PREFIX": "^=",
    "WORDS": "==",
    "SHAPE": "intersects disjoint within contains",
    "$END": "the end",
}


_Items = list[Any]


class _Json(Transformer[Token, Any]):
    """Each rule's CQL2-JSON."""

    def STRING(self, token: Token) -> Any:
        return _ESCAPED.sub(r"\1", token[1:-1])

    def NUMBER(self, token: Token) -> Any:
        return float(token) if re.search(r"[.eE]", token) else int(token) if len(token) < 300 else float(token)

    def TIME(self, token: Token) -> Any:
        return {"date" if len(token) == 10 else "timestamp": str(token)}

    def TRUE(self, token: Token) -> Any:
        return True

    def FALSE(self, token: Token) -> Any:
        return False

    def NAME(self, token: Token) -> Any:
        return {"property": token.replace("/", ".")}

    def list(self, items: _Items) -> Any:
        return items

    def either(self, items: _Items) -> Any:
        return {"op": "or", "args": items[::2]}

    def both(self, items: _Items) -> Any:
        return {"op": "and", "args": items[::2]}

    def negated(self, items: _Items) -> Any:
        return {"op": "not", "args": [items[1]]}

    def compare(self, items: _Items) -> Any:
        name, how, value = items
        how = "<>" if how == "!=" else str(how)
        if isinstance(value, Token):  # null
            return _unless(how == "=", {"op": "isNull", "args": [name]})
        if isinstance(value, list):
            return _unless(how == "=", {"op": "in", "args": [name, value]})
        return {"op": how, "args": [name, value]}

    def mirrored(self, items: _Items) -> Any:
        value, how, name = items
        return self.compare([name, _MIRROR.get(how, how), value])

    def prefix(self, items: _Items) -> Any:
        return {"op": "like", "args": [items[0], _literal(items[2]) + "%"]}

    def like(self, items: _Items) -> Any:
        return _unless(not items[1].children, {"op": "like", "args": [items[0], items[3]]})

    def among(self, items: _Items) -> Any:
        return _unless(not items[1].children, {"op": "in", "args": [items[0], items[3]]})

    def between(self, items: _Items) -> Any:
        return _unless(not items[1].children, {"op": "between", "args": [items[0], items[3], items[5]]})

    def fulltext(self, items: _Items) -> Any:
        name, _, words = items
        if name["property"] == "fulltext":
            return {"op": "fulltext", "args": [words]}
        found: list[Any] = [
            {"op": "like", "args": [{"op": "casei", "args": [name]}, {"op": "casei", "args": [f"%{_literal(word)}%"]}]}
            for word in words.split()
        ]
        return {"op": "and", "args": found} if len(found) > 1 else found[0] if found else True

    def mirrored_fulltext(self, items: _Items) -> Any:
        return self.fulltext(items[::-1])

    def spatial(self, items: _Items) -> Any:
        name, how, text = items
        if not _WKT.fullmatch(text):
            raise FilterError("this is no WKT: write it like 'POINT(10.2 46.2)' or 'POLYGON((0 0, 1 0, 1 1, 0 0))'", text=text)
        try:
            shape = cql2.parse_text(f"S_INTERSECTS(g, {text})").to_json()["args"][1]
        except cql2.ParseError:
            raise FilterError("this is no WKT: its numbers and brackets do not fit together", text=text) from None
        return {"op": f"s_{how.lower()}", "args": [name, shape]}


def _unless(plain: bool, node: Any) -> Any:
    return node if plain else {"op": "not", "args": [node]}


def _literal(text: str) -> str:
    """A text as a pattern that fits nothing else."""
    return re.sub(r"([%_\\])", r"\\\1", text)


_PARSER = Lark(Path(__file__).with_name("cimi.lark").read_text(), parser="lalr", transformer=_Json(), maybe_placeholders=False)


def parse_cimi(text: str) -> Any:
    """A CIMI filter as CQL2-JSON. Raises ``FilterError`` at the character that cannot be understood."""
    if len(text) > LONGEST:
        raise FilterError(f"a filter has {LONGEST} characters at most")
    try:
        return _PARSER.parse(text)
    except UnexpectedInput as error:
        raise _explained(error, text) from None
    except FilterError as error:  # of a rule, which knows the text that is wrong but not where it stands
        raise error.at(text, max(0, text.find(error.text))) from None


def _explained(error: UnexpectedInput, text: str) -> FilterError:
    names: set[str] = set()
    index: int = len(text.rstrip())
    if isinstance(error, UnexpectedCharacters):
        index, names = error.pos_in_stream or 0, set(error.allowed or ())
    elif isinstance(error, UnexpectedToken):
        names = set(error.accepts or error.expected)
        if error.token.type != "$END":
            index = error.token.start_pos or 0
    elif isinstance(error, UnexpectedEOF):
        names = set(error.expected)
    expected = ", ".join(sorted({_NAMES.get(name, name) for name in names}))
    what = f"{text[index]!r} is not understood" if index < len(text.rstrip()) else "the filter ends too early"
    return FilterError(f"{what}; expected {expected}", text=text, index=index)
