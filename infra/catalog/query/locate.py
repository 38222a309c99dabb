"""Where in a text filter a part of its CQL2-JSON was written, so that an error about the part can point at the character."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from infra.catalog.query.errors import FilterError
from infra.catalog.query.json_place import place as json_place

#: Tokens of each language: texts and quoted names, times (CIMI alone has bare ones), names, numbers.
_CQL2 = re.compile(r"""'(?:[^']|'')*'|"[^"]*"|[^\W\d][\w.:]*|[\d.](?:[eE][+-]|[\w.])*""")
_CIMI = re.compile(
    r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|\d{4}-\d\d-\d\d(?:T[\d:.]+(?:Z|[+-]\d\d:\d\d)?)?|[^\W\d][\w.:/-]*|[\d.](?:[eE][+-]|[\w.])*""",
    re.DOTALL,
)
_WRITTEN_OTHERWISE = ("and", "or", "not", "like", "in", "between", "isNull")
#: What a leaf is (``name``, ``function``, ``geometry`` or ``literal``), and its value.
Leaf = tuple[str, Any]


def located(error: FilterError, ast: Any, text: str, lang: str) -> FilterError:
    """The error at the character of ``text`` that ``error.pointer`` into ``ast`` stands for.

    Where the part itself cannot be found (a text that the language makes another of), the error is at what stands before it in
    the same condition.
    """
    if error.index >= 0 or not error.pointer:
        return error
    if lang == "cql2-json":
        return error.at(text, json_place(text, error.pointer))
    cimi, path = lang == "cimi", error.pointer.rstrip("/")
    leaves = list(_leaves(ast, "", cimi))
    while True:
        for i, (at, _) in enumerate(leaves):
            if (at == path or at.startswith(path + "/")) and (place := _place(leaves, i, text, cimi)) >= 0:
                return error.at(text, place)
        if not path:
            return error
        path = path.rpartition("/")[0]


def quoted(ast: Any, text: str) -> Iterator[tuple[str, str]]:
    """The names that a CQL2 text has in double quotes: each with its pointer."""
    leaves = list(_leaves(ast, "", False))
    for i, (at, (kind, value)) in enumerate(leaves):
        if kind == "name" and (place := _place(leaves, i, text, False)) >= 0 and text[place] == '"':
            yield at, value


def _place(leaves: list[tuple[str, Leaf]], i: int, text: str, cimi: bool) -> int:
    """Where a leaf is written: as the nth of those that are written as it is; -1 if it is not found."""
    wanted = leaves[i][1]
    nth = sum(1 for _, leaf in leaves[:i] if _same(leaf, wanted))
    for found in (_CIMI if cimi else _CQL2).finditer(text):
        if (into := _names(found[0], wanted, cimi)) >= 0:
            if nth == 0:
                return found.start() + into
            nth -= 1
    return -1


def _leaves(node: Any, at: str, cimi: bool) -> Iterator[tuple[str, Leaf]]:
    """The functions, properties and literals in the order in which they are written, each with its pointer."""
    if isinstance(node, dict):
        if "property" in node:
            yield at, ("name", str(node["property"]))
        elif "bbox" in node and "coordinates" not in node:
            yield at, ("geometry", "BBOX")
        elif isinstance(kind := node.get("type"), str) and ("coordinates" in node or "geometries" in node):
            yield at, ("geometry", kind.upper())
            if not cimi:  # there all of it is one text
                yield from _leaves(node.get("geometries", []), f"{at}/geometries", cimi)
        elif isinstance(op := node.get("op"), str):
            if re.fullmatch(r"\w+", op) and op not in _WRITTEN_OTHERWISE:
                yield at, ("function", op)
            args = node.get("args")
            for i, one in enumerate(args if isinstance(args, list) else ()):
                yield from _leaves(one, f"{at}/args/{i}", cimi)
        else:
            for key, one in node.items():
                yield from _leaves(one, f"{at}/{key}", cimi)
    elif isinstance(node, list):
        for i, one in enumerate(node):
            yield from _leaves(one, f"{at}/{i}", cimi)
    else:
        yield at, ("literal", node)


def _same(one: Leaf, other: Leaf) -> bool:
    return bool(one[0] == other[0] and type(one[1]) is type(other[1]) and one[1] == other[1])


def _names(token: str, leaf: Leaf, cimi: bool) -> int:
    """How far into a token the leaf begins; -1 if the token is something else."""
    kind, value = leaf
    quote = token[0] if token[0] in "'\"" else ""
    if kind == "function":
        return 0 if value.lower() in (token.lower(), f"s_{token.lower()}") else -1
    if kind == "name":
        return 0 if value in ((token.replace("/", ".") if cimi else token), token.strip('"')) else -1
    if kind == "geometry":
        word = token.strip(quote).lstrip() if cimi and quote else token
        found = re.match(rf"{value}(?!\w)", word, re.IGNORECASE)
        return -1 if found is None or (cimi and not quote) else len(token) - len(token[1:].lstrip()) if quote else 0
    if isinstance(value, str):
        if not quote:  # a time of CIMI
            return 0 if cimi and token == value and "-" in token else -1
        inner = token[1:-1]
        return 0 if (re.sub(r"\\(.)", r"\1", inner, flags=re.DOTALL) if cimi else inner.replace("''", "'")) == value else -1
    if isinstance(value, bool) or value is None:
        return 0 if token.lower() == {True: "true", False: "false", None: "null"}[value] else -1
    try:
        number = int(token) if token.isdecimal() else float(token)
    except ValueError:
        return -1
    return 0 if value in (number, -number) else -1
