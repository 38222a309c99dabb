"""A search of the catalogue in the parameters of a request.

``filter`` is CQL2 text, or what ``filter-lang`` says (``cql2-text``, ``cql2-json``, ``cimi``); ``orderby=name,-bytes``;
``select=name,metadata.rows``; ``limit``; ``after``, the ``next`` of the page before; ``aggregation=avg:bytes``, may repeat.
"""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.requests import Request

from infra.catalog.query import parse
from infra.catalog.search import Search
from infra.runtime.answers import number

NAMES = ("filter", "filter-lang", "orderby", "select", "limit", "after", "aggregation")
MOST = 10_000


def search_of(request: Request) -> Search:
    """The search that a request asks for. Raises ``HTTPException`` 400, or ``Reject`` for a filter that cannot be read."""
    given = request.query_params
    if unknown := set(given) - set(NAMES):
        raise HTTPException(400, f"unknown parameters {', '.join(sorted(unknown))}; known: {', '.join(NAMES)}")
    text = given.get("filter", "")
    aggregation = [name for each in given.getlist("aggregation") for name in each.split(",") if name]
    return Search(
        filter=parse(text, given.get("filter-lang", "cql2-text")) if text else None,
        orderby=[(name.lstrip("-+"), name.startswith("-")) for name in given.get("orderby", "").split(",") if name],
        select=[name for name in given.get("select", "").split(",") if name],
        limit=number(request, "limit", 100, MOST),
        after=given.get("after", ""),
        aggregation=[_aggregation(each) for each in aggregation],
    )


def _aggregation(text: str) -> tuple[str, str]:
    algorithm, found, path = text.partition(":")
    if not (algorithm and found and path):
        raise HTTPException(400, f"aggregation={text!r} must read ALGORITHM:NAME, such as avg:bytes")
    return algorithm, path
