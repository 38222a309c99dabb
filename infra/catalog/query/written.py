"""A filter as somebody wrote it: what it means as CQL2-JSON, and where in it a mistake is."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import msgspec

from infra.catalog.query.binder import COMPARISONS
from infra.catalog.query.cimi import parse_cimi
from infra.catalog.query.cql2 import parse_text
from infra.catalog.query.errors import FilterError
from infra.catalog.query.fields import Fields
from infra.catalog.query.locate import located, quoted

LANGUAGES = ("cql2-text", "cql2-json", "cimi")
_SURROGATE = re.compile("[\ud800-\udfff]")
_ARGUMENT = re.compile(r"(?P<parent>.*)/args/(?P<nth>\d+)(?:/\d+)?")
T = TypeVar("T")


class Written(NamedTuple):
    """``filter`` in the language ``lang`` (``""`` is CQL2 text) and its CQL2-JSON."""

    filter: str | dict[str, Any] | bool
    lang: str
    ast: Any

    def bound(self, fields: Fields, bind: Callable[[Any, Fields], T]) -> T:
        """``bind(ast, fields)``, whose ``FilterError`` points at the character, or into the JSON."""
        self.check(fields)
        try:
            return bind(self.ast, fields)
        except FilterError as error:
            raise self.located(error) from None

    def located(self, error: FilterError) -> FilterError:
        """An error about a part of ``ast`` at the character where that part was written."""
        return located(error, self.ast, self.filter, self.lang) if isinstance(self.filter, str) else error

    def check(self, fields: Fields) -> None:
        """Raises ``FilterError`` for a text in double quotes: to CQL2 it is the name of an attribute, and there is none."""
        if not isinstance(self.filter, str) or self.lang not in ("", "cql2-text") or '"' not in self.filter:
            return
        for at, name in quoted(self.ast, self.filter):
            found = _ARGUMENT.fullmatch(at)
            if found is None or name in fields.declared or name.partition(".")[0] in fields.known:
                continue
            node = _at(self.ast, found["parent"])
            if node["op"] not in (*COMPARISONS, "in", "between", "like"):
                continue
            other = node["args"][0].get("property", "") if isinstance(node["args"][0], dict) else ""
            if found["nth"] == "0":  # a name of one's own stands first, unless a known one follows
                other = node["args"][1].get("property", "") if isinstance(node["args"][1], dict) else ""
                if other not in fields.known:
                    continue
            error = FilterError(
                f"\"{name[:60]}\" in double quotes is the name of an attribute: write a text as '{name[:60]}', "
                f'and an attribute of this name as "metadata.{name[:60]}"',
                pointer=at,
            )
            raise self.located(error)


def written(filter: str | dict[str, Any] | bool, lang: str = "") -> Written:
    """Read a filter. ``lang`` is one of ``LANGUAGES``; without it a text is CQL2 text.

    Raises ``FilterError`` for what is not in that language; what a filter's names and types allow is seen by ``bind``.
    """
    return Written(filter, lang, parse(filter, lang))


def parse(filter: str | dict[str, Any] | bool, lang: str = "") -> Any:
    """A filter as CQL2-JSON; see ``written``."""
    if isinstance(filter, dict | bool):
        return filter
    if lang not in ("", *LANGUAGES):
        raise FilterError(f"there is no filter language {lang[:40]!r}: there are cql2-text, cql2-json and cimi")
    if _SURROGATE.search(filter):
        raise FilterError("the filter has half of a surrogate pair")
    if lang == "cql2-json":
        return _json(filter)
    if lang == "cimi":
        return parse_cimi(filter)
    try:
        return parse_text(filter)
    except FilterError as error:
        if error.index >= 0 and _is_cimi(filter):
            more = f"{error.reason}. It reads as CIMI: then say so with filter-lang"
            raise FilterError(more, text=filter, index=error.index) from None
        raise


def _json(text: str) -> Any:
    try:
        found = msgspec.json.decode(text)
        if found is None:  # elsewhere it says that there is no filter
            raise FilterError("null is no filter: leave it out", text=text, index=len(text) - len(text.lstrip()))
        return found
    except RecursionError:
        raise FilterError("this is no JSON: it is nested too deep") from None
    except msgspec.DecodeError as error:
        reason = str(error)
    try:
        json.loads(text)  # it tells where
    except json.JSONDecodeError as error:
        raise FilterError(f"this is no JSON: {error.msg}", text=text, index=min(error.pos, len(text.rstrip()))) from None
    except (ValueError, RecursionError):
        pass
    raise FilterError(f"this is no JSON: {reason}")


def _is_cimi(text: str) -> bool:
    try:
        parse_cimi(text)
    except (FilterError, RecursionError):
        return False
    return True


def _at(ast: Any, pointer: str) -> Any:
    """The part of CQL2-JSON that a pointer of ours leads to."""
    for step in pointer.split("/")[1:]:
        ast = ast[int(step)] if isinstance(ast, list) else ast[step]
    return ast
