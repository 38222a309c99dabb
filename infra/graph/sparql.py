"""What a SPARQL query is about, as far as its words tell: its form, its data set, and what the lake does not let it do."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, NamedTuple

from events.errors import Reject

Form = Literal["SELECT", "ASK", "CONSTRUCT", "DESCRIBE"]
_TOKEN = re.compile(
    r"""(?P<space>\s+|\#[^\n\r]*)
    |(?P<text>\"\"\"(?:[^"\\]|\\.|\"(?!\"\"))*\"\"\"|'''(?:[^'\\]|\\.|'(?!''))*'''|"(?:[^"\\\n\r]|\\.)*"|'(?:[^'\\\n\r]|\\.)*')
    |(?P<iri><[^<>"{}|^`\\\x00-\x20]*>)
    |(?P<variable>[?$]\w+)
    |(?P<name>(?:[^\W\d_][\w.-]*)?:(?:[\w:%.-]|\\.)*|_:[\w.-]+)
    |(?P<word>[^\W\d]\w*)
    |(?P<other>.)""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPE = re.compile(r"\\u([0-9A-Fa-f]{4})|\\U([0-9A-Fa-f]{8})")
_UPDATES = {"INSERT", "DELETE", "LOAD", "CLEAR", "CREATE", "DROP", "COPY", "MOVE", "ADD", "WITH"}
_FORMS: dict[str, Form] = {"SELECT": "SELECT", "ASK": "ASK", "CONSTRUCT": "CONSTRUCT", "DESCRIBE": "DESCRIBE"}


class Token(NamedTuple):
    """A piece of a query: ``kind`` is text, iri, variable, name, word or other; a word is in capitals."""

    kind: str
    value: str
    start: int
    end: int


def tokens(query: str) -> list[Token]:
    """The pieces of a query without white space and comments."""
    found = []
    for match in _TOKEN.finditer(query):
        kind = match.lastgroup or ""
        if kind != "space":
            value = match.group()
            found.append(Token(kind, value.upper() if kind == "word" else value, *match.span()))
    return found


@dataclass(frozen=True)
class Described:
    """A query's form, and its data set: the graphs of its FROM and FROM NAMED clauses, as far as they are written out.

    ``own`` says whether it has such clauses at all, ``plain`` whether all of those are written as ``<IRI>``.
    """

    text: str
    form: Form
    default: tuple[str, ...]
    named: tuple[str, ...]
    own: bool
    plain: bool
    tokens: tuple[Token, ...]


def describe(query: str) -> Described:
    """Look a query over. Raises ``Reject`` for an update, for SERVICE, and for what is no query."""
    found = tokens(query)
    unescaped = _ESCAPE.sub(lambda match: chr(int(match[1] or match[2], 16) % 0x110000), query)
    for token in (*found, *(tokens(unescaped) if unescaped != query else ())):
        if token.kind == "word" and token.value == "SERVICE":
            raise Reject(f"{where(query, token.start)}: SERVICE is not answered here: a query sees this lake only")
    form = _form(query, found)
    graphs: dict[str, list[str]] = {"": [], "NAMED": []}
    own, plain = False, True
    for place, token in enumerate(found):
        if token.kind == "word" and token.value == "FROM":
            named = place + 1 < len(found) and found[place + 1].value == "NAMED"
            rest = found[place + 1 + named : place + 2 + named]
            own = True
            if rest and rest[0].kind == "iri":
                graphs["NAMED" if named else ""].append(rest[0].value[1:-1])
            else:
                plain = False
    return Described(query, form, tuple(graphs[""]), tuple(graphs["NAMED"]), own, plain, tuple(found))


def where(query: str, offset: int) -> str:
    """``line 3, column 7`` of a place in a query."""
    before = query[:offset]
    return f"line {before.count(chr(10)) + 1}, column {offset - before.rfind(chr(10))}"


def _form(query: str, found: list[Token]) -> Form:
    place = 0
    while place < len(found):
        token = found[place]
        if token.kind == "word" and token.value == "BASE":
            place += 2
        elif token.kind == "word" and token.value == "PREFIX":
            place += 3
        elif token.kind == "word" and token.value in _UPDATES:
            raise Reject(f"{where(query, token.start)}: {token.value} changes data; this endpoint only answers queries")
        elif token.kind == "word" and token.value in _FORMS:
            return _FORMS[token.value]
        else:
            what = query[token.start : token.end]
            raise Reject(
                f"{where(query, token.start)}: a query begins with SELECT, ASK, CONSTRUCT or DESCRIBE, not {what[:40]!r}"
            )
    raise Reject("line 1, column 1: there is no query: it begins with SELECT, ASK, CONSTRUCT or DESCRIBE")
