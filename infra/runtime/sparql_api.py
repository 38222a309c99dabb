"""The API's part about the graph: the query operation of the SPARQL 1.1 Protocol, and a page to try it on."""

from __future__ import annotations

from importlib import resources
from urllib.parse import parse_qsl

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from infra.graph.sparql import describe
from infra.graph.store import Ask, SparqlStore, TooLarge, TooLong
from infra.lake import Lake
from infra.runtime.operation import Operation

#: The largest query, in bytes.
MOST_QUERY = 1 << 20
ROWS = {
    "application/sparql-results+json": "application/sparql-results+json",
    "application/json": "application/sparql-results+json",
    "application/sparql-results+xml": "application/sparql-results+xml",
    "application/xml": "application/sparql-results+xml",
    "text/csv": "text/csv",
    "text/tab-separated-values": "text/tab-separated-values",
}
TRIPLES = {
    "text/turtle": "text/turtle",
    "application/n-triples": "application/n-triples",
    "text/plain": "application/n-triples",
    "application/ld+json": "application/ld+json",
    "application/json": "application/ld+json",
    "application/rdf+xml": "application/rdf+xml",
}
FORM = "application/x-www-form-urlencoded"
QUERY = "application/sparql-query"


class SparqlApi:
    """``/sparql``. Who may read may ask anything; nobody changes the graph here. It has no access lists of its own."""

    def __init__(self, lake: Lake) -> None:
        self._lake = lake

    def operations(self) -> list[Operation]:
        names = ("query", "default-graph-uri", "named-graph-uri")
        return [
            Operation("GET", "/sparql", "graph", self.get, query=names),
            Operation("POST", "/sparql", "graph", self.post, query=names[1:]),
        ]

    async def get(self, request: Request) -> Response:
        """Answer a SPARQL query; a browser that asks nothing gets a page to write one on."""
        asked = request.query_params.multi_items()
        accept = request.headers.get("accept", "")
        if not any(name == "query" for name, _ in asked) and "text/html" in accept:
            page = resources.files("infra.runtime").joinpath("sparql.html").read_text("utf-8")
            return Response(page, media_type="text/html", headers={"content-security-policy": _POLICY})
        return await self._answer(request, asked)

    async def post(self, request: Request) -> Response:
        """Answer a SPARQL query that is the body, or in a form."""
        data = bytearray()
        async for chunk in request.stream():
            data += chunk
            if len(data) > MOST_QUERY:
                raise HTTPException(413, f"the query is larger than {MOST_QUERY} bytes")
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError as error:
            raise HTTPException(400, f"the body is no UTF-8: {error}") from error
        if kind == FORM:
            return await self._answer(request, parse_qsl(text, keep_blank_values=True))
        if kind == QUERY:
            return await self._answer(request, [*request.query_params.multi_items(), ("query", text)])
        if kind == "application/sparql-update":
            raise HTTPException(403, "this endpoint only answers queries: facts are told by events")
        raise HTTPException(415, f"a query is sent as {QUERY} or {FORM}, not {kind or 'without a content-type'}")

    async def _answer(self, request: Request, asked: list[tuple[str, str]]) -> Response:
        if any(name == "update" for name, _ in asked):
            raise HTTPException(403, "this endpoint only answers queries: facts are told by events")
        queries = [value for name, value in asked if name == "query"]
        if len(queries) != 1:
            raise HTTPException(400, f"query= must be given once, not {len(queries)} times")
        query = describe(queries[0])
        accept = request.headers.get("accept", "*/*") or "*/*"
        triples = query.form in ("CONSTRUCT", "DESCRIBE")
        media = negotiated(accept, TRIPLES if triples else ROWS)
        if media is None:
            offered = ", ".join(dict.fromkeys((TRIPLES if triples else ROWS).values()))
            raise HTTPException(406, f"{query.form} is answered as {offered}")
        settings = self._lake.config.semantics
        ask = Ask(
            query=queries[0],
            default=tuple(value for name, value in asked if name == "default-graph-uri"),
            named=tuple(value for name, value in asked if name == "named-graph-uri"),
            seconds=settings.query_s,
            most=settings.query_mb << 20,
            **{"triples" if triples else "rows": media},
        )
        try:
            answer = await run_in_threadpool(self._store().answer, ask)
        except TooLong as error:
            raise HTTPException(503, f"the query {error}") from error
        except TooLarge as error:
            raise HTTPException(413, f"{error}: ask for less, with LIMIT") from error
        charset = "; charset=utf-8" if answer.media.startswith("text/") else ""
        return Response(answer.body, headers={"content-type": answer.media + charset, "vary": "accept"})

    def _store(self) -> SparqlStore:
        if not isinstance(self._lake.graph, SparqlStore):
            raise HTTPException(404, "this process has no graph open")
        return self._lake.graph


_POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'self'"


def negotiated(accept: str, offered: dict[str, str]) -> str | None:
    """The format that an Accept header wants most (RFC 9110, section 12.5.1); the first offered where it does not care."""
    best: tuple[float, int, str] | None = None
    ranges = []
    for part in accept.split(","):
        media, *parameters = (piece.strip().lower() for piece in part.split(";"))
        try:
            weight = next((float(each[2:]) for each in parameters if each.startswith("q=")), 1.0)
        except ValueError:
            continue  # a weight that is no number: as if the range were not there
        if 0 <= weight <= 1:
            ranges.append((media, weight))
    for place, (name, media) in enumerate(offered.items()):
        fitting = [
            (2 if wanted == name else 1 if wanted == name.partition("/")[0] + "/*" else 0, weight)
            for wanted, weight in ranges
            if wanted in (name, name.partition("/")[0] + "/*", "*/*")
        ]
        if fitting and (weight := max(fitting)[1]) > 0 and (best is None or (weight, -place) > best[:2]):
            best = (weight, -place, media)
    return best[2] if best else None
