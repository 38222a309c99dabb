"""A search of the catalogue in the parameters of a request.

``filter`` is CQL2 text, or what ``filter-lang`` says (``cql2-text``, ``cql2-json``, ``cimi``); it may repeat, and all must
hold. ``orderby=name,-bytes`` or ``orderby=name:asc,bytes:desc``; ``select=name,metadata.rows``; ``limit``; ``after``, the
``next`` of the page before, or ``first`` and ``last``, counted from 1; ``aggregation=avg:bytes``, may repeat.
"""

from __future__ import annotations

import re

from starlette.exceptions import HTTPException
from starlette.requests import Request

from infra.catalog.query import Written, written
from infra.catalog.search import Search
from infra.runtime.answers import number

NAMES = ("filter", "filter-lang", "orderby", "select", "limit", "after", "first", "last", "aggregation")
MOST = 10_000
_ORDER = re.compile(r"(?P<sign>[+-]?)(?P<name>[^+:-].*?)(?::(?P<way>asc|desc))?", re.IGNORECASE)


def search_of(request: Request) -> Search:
    """The search that a request asks for. Raises ``HTTPException`` 400, or ``Reject`` for a filter that cannot be read."""
    given = request.query_params
    if unknown := set(given) - set(NAMES):
        raise HTTPException(400, f"unknown parameters {', '.join(sorted(unknown))}; known: {', '.join(NAMES)}")
    filters = _filters(request)
    offset, limit = _window(request)
    aggregation = [name for each in given.getlist("aggregation") for name in each.split(",") if name]
    asts = [each.ast for each in filters]
    return Search(
        filter={"op": "and", "args": asts} if len(asts) > 1 else asts[0] if asts else None,
        written=filters,
        orderby=[_order(each) for each in ",".join(given.getlist("orderby")).split(",") if each],
        select=[name for name in ",".join(given.getlist("select")).split(",") if name],
        limit=limit,
        offset=offset,
        after=given.get("after", ""),
        aggregation=[_aggregation(each) for each in aggregation],
    )


def _filters(request: Request) -> list[Written]:
    """The filters; there is one language for all of them, or one for each."""
    texts, langs = (request.query_params.getlist(name) for name in ("filter", "filter-lang"))
    if len(langs) > 1 and len(langs) != len(texts):
        raise HTTPException(400, f"there are {len(texts)} filters and {len(langs)} filter-lang: give one, or one for each")
    langs = langs if len(langs) > 1 else (langs or [""]) * len(texts)
    return [written(text, lang) for text, lang in zip(texts, langs, strict=True) if text]


def _window(request: Request) -> tuple[int, int]:
    """How many to pass over, and how many to show: by ``limit``, or by ``first`` and ``last``. ``last=0`` shows none."""
    given = request.query_params
    if "first" not in given and "last" not in given:
        return 0, number(request, "limit", 100, MOST)
    if given.get("after") or ("last" in given and "limit" in given):
        raise HTTPException(400, "first and last are a page by its numbers: give either them, or after and limit")
    first, last = number(request, "first", 1, MOST), number(request, "last", 0, MOST)
    if "last" not in given:
        return max(first, 1) - 1, min(number(request, "limit", 100, MOST), MOST + 1 - max(first, 1))
    if last and last < first:
        raise HTTPException(400, f"last={last} comes before first={first}")
    return (max(first, 1) - 1, last + 1 - max(first, 1)) if last else (0, 0)


def _order(text: str) -> tuple[str, bool]:
    found = _ORDER.fullmatch(text)
    if found is None or (found["sign"] and found["way"]) or found["name"].lower().endswith((" asc", " desc")):
        raise HTTPException(400, f"orderby={text!r} must read NAME, -NAME, NAME:asc or NAME:desc")
    return found["name"], found["sign"] == "-" or (found["way"] or "").lower() == "desc"


def _aggregation(text: str) -> tuple[str, str]:
    algorithm, found, path = text.partition(":")
    if not (algorithm and found and path):
        raise HTTPException(400, f"aggregation={text!r} must read ALGORITHM:NAME, such as avg:bytes")
    return algorithm, path
