"""Where in a text filter a part of its CQL2-JSON was written, so that an error about the part can point at the character."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from infra.catalog.query.errors import FilterError

_REST = r"[^\W\d][\w.:/-]*|-?[\d.][\w.+-]*"
_CQL2 = re.compile(r"""'(?:[^']|'')*'|"[^"]*"|""" + _REST)
_CIMI = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|""" + _REST)


def located(error: FilterError, ast: Any, text: str, lang: str) -> FilterError:
    """The error at the character of ``text`` that ``error.pointer`` into ``ast`` stands for; itself where that is not known."""
    if error.index >= 0 or not error.pointer:
        return error
    leaves = list(_leaves(ast, ""))
    path = error.pointer.rstrip("/")
    wanted = next((leaf for leaf in leaves if leaf[0] == path or leaf[0].startswith(path + "/")), None)
    if wanted is None:
        return error
    nth = [leaf[0] for leaf in leaves if _same(leaf[1], wanted[1])].index(wanted[0])
    places = [found.start() for found in (_CIMI if lang == "cimi" else _CQL2).finditer(text) if _names(found[0], wanted[1])]
    return error.at(text, places[nth]) if nth < len(places) else error


def _leaves(node: Any, at: str) -> Iterator[tuple[str, Any]]:
    """The functions, properties and literals in the order in which they are written, each with its pointer."""
    if isinstance(node, dict):
        if "property" in node:
            yield at, ("name", str(node["property"]))
        elif isinstance(op := node.get("op"), str):
            if re.fullmatch(r"\w+", op) and op not in ("and", "or", "not", "like", "in", "between", "isNull"):
                yield at, ("function", op)
            args = node.get("args")
            for i, one in enumerate(args if isinstance(args, list) else ()):
                yield from _leaves(one, f"{at}/args/{i}")
        else:
            for key, one in node.items():
                yield from _leaves(one, f"{at}/{key}")
    elif isinstance(node, list):
        for i, one in enumerate(node):
            yield from _leaves(one, f"{at}/{i}")
    else:
        yield at, ("literal", node)


def _same(one: Any, other: Any) -> bool:
    return bool(one[0] == other[0] and type(one[1]) is type(other[1]) and one[1] == other[1])


def _names(token: str, leaf: tuple[str, Any]) -> bool:
    """Whether a token is how the leaf is written."""
    kind, value = leaf
    if kind == "function":
        return token.lower() == str(value).lower() or f"s_{token.lower()}" == value
    if kind == "name":
        return str(value) in (token.strip('"'), token.replace("/", "."))
    if isinstance(value, str):
        return token[0] in "'\"" and re.sub(r"''", "'", token[1:-1]) == value
    if isinstance(value, bool) or value is None:
        return token.lower() == {True: "true", False: "false", None: "null"}[value]
    try:
        return float(token) in (value, -value)
    except ValueError:
        return False
