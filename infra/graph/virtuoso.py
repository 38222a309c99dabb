"""Triples in a Virtuoso 7 server, over HTTP.

What it does in its own way is put right here: updates want Digest authentication and at most a thousand triples each; without
named graphs it would answer over its own, too; ASK is answered as if it were SELECT; booleans come as 1 and 0; of a double it
writes six digits, but in Turtle all; a query whose time is up gives part of the result without a word in the body; and see
``virtuoso_query.py``. What cannot be: the value of a comparison in SELECT is an integer. Changes of more than a thousand
triples are several transactions.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from typing import Any

import httpx
import msgspec
import pyoxigraph

from events.errors import Reject, Retry
from events.ports import GraphChange
from infra.graph.keeper import serialise
from infra.graph.sparql import describe
from infra.graph.store import JSON, NTRIPLES, Answer, Ask, SparqlStore, TooLarge, TooLong, dataset
from infra.graph.terms import XSD, updates
from infra.graph.virtuoso_query import EXACT_WKT, NO_GRAPH, WKT, about_graphs, rewritten, written_graphs

#: Triples in one update: its parser's memory ends at about 5000.
PORTION = 1000
#: Most graphs that a query over all of them is told.
MOST_GRAPHS = 5000
#: How long a refused password is not tried again, in seconds.
REFUSED_S = 60.0
#: Graphs of Virtuoso's own.
_ITS_OWN = ("http://www.openlinksw.com/", "http://www.w3.org/ns/ldp#", "http://localuriqaserver/", "virtrdf:")
_GRAPHS = "SELECT ?g WHERE { GRAPH ?g { ?s ?p ?o } } GROUP BY ?g"
_BOOLEAN, _TIME = XSD + "boolean", XSD + "dateTime"
_FLOATS = (XSD + "double", XSD + "float")
_NUMBERS = (*_FLOATS, XSD + "decimal")
#: The zeros behind the fraction of a second, or behind its point.
_FRACTION = re.compile(r"(:[0-9]{2}(?:\.[0-9]*[1-9])?)\.?0*(?=Z|[+-]|$)")
_RESULTS = "http://www.w3.org/2005/sparql-results#"
TURTLE = "text/turtle"


class VirtuosoStore(SparqlStore):
    """The server at ``url``; ``user`` may update it (``SPARQL_UPDATE``)."""

    def __init__(self, url: str, user: str, password: str) -> None:
        self._url = url.rstrip("/")
        self._refused_until = float("-inf")
        self._auth = httpx.DigestAuth(user, password)
        self._client = httpx.Client(trust_env=False, timeout=httpx.Timeout(60, connect=5))

    def change(self, changes: Sequence[GraphChange]) -> None:
        """See the port ``GraphStore``. A password that is refused is not tried again soon: Virtuoso would lock the user out."""
        texts = list(updates(changes, PORTION))
        together: list[str] = []
        size = 0
        for text in texts:
            lines = text.count("\n")
            if together and size + lines > PORTION:
                self._update(together)
                together, size = [], 0
            together.append(text)
            size += lines
        if together:
            self._update(together)

    def answer(self, ask: Ask) -> Answer:
        """See ``SparqlStore``."""
        query = describe(ask.query)
        default, named = dataset(ask)
        if named is None and default is not None and about_graphs(query):
            named = written_graphs(query)
            if named is None:
                named = self.graphs()
            if len(named) > MOST_GRAPHS:
                raise Reject(f"there are {len(named)} graphs: name those that the query is about with FROM NAMED")
        text = rewritten(query, without_from=default is not None)
        form: dict[str, Any] = {"query": text, "timeout": str(max(1000, round(ask.seconds * 1000)))}
        if default is not None:
            form["default-graph-uri"] = default or [NO_GRAPH]
            form["named-graph-uri"] = (named or [NO_GRAPH]) if named is not None else []
        if query.form in ("CONSTRUCT", "DESCRIBE"):
            body = self._post(form, NTRIPLES, ask)
            floats = b"#double>" in body or b"#float>" in body
            return _serialised(body, self._post(form, TURTLE, ask) if floats else b"", ask)
        document = msgspec.json.decode(self._post(form, JSON, ask))
        if any(_rounded(bound) for row in document["results"]["bindings"] for bound in row.values()):
            _exact(document, self._post(form, TURTLE, ask))
        results: Any = pyoxigraph.parse_query_results(_standard(document), pyoxigraph.QueryResultsFormat.JSON)
        return _limited(results, ask)

    def graphs(self) -> list[str]:
        """The graphs that have triples and are not Virtuoso's own, sorted."""
        body = self._post({"query": _GRAPHS}, JSON, Ask(query=_GRAPHS))
        found = (row["g"]["value"] for row in msgspec.json.decode(body)["results"]["bindings"])
        return sorted(graph for graph in found if not graph.startswith(_ITS_OWN))

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _update(self, texts: list[str]) -> None:
        refusal = Retry(f"Virtuoso at {self._url} refuses semantics.graph_user or its graph_password", after=REFUSED_S)
        if time.monotonic() < self._refused_until:
            raise refusal
        text = " ;\n".join(texts).replace(f"^^<{WKT}>", f"^^<{EXACT_WKT}>")
        try:
            response = self._client.post(
                f"{self._url}/sparql-auth",
                content=text.encode(),
                headers={"content-type": "application/sparql-update"},
                auth=self._auth,
            )
        except httpx.HTTPError as error:
            raise Retry(f"Virtuoso at {self._url} cannot be reached: {error}") from error
        if response.status_code == 401:
            self._refused_until = time.monotonic() + REFUSED_S
            raise refusal
        if not response.is_success:
            raise Retry(f"Virtuoso at {self._url} does not take an update: {_first_line(response.text)}")

    def _post(self, form: dict[str, Any], accept: str, ask: Ask) -> bytes:
        try:
            with self._client.stream(
                "POST", f"{self._url}/sparql", data=form, headers={"accept": accept}, timeout=ask.seconds + 5
            ) as response:
                body = bytearray()
                for part in response.iter_bytes():
                    body += part
                    if len(body) > ask.most:
                        raise TooLarge(f"the result is larger than {ask.most} bytes")
        except httpx.TimeoutException as error:
            raise TooLong(f"it was ended because it took longer than {ask.seconds:g} s") from error
        except httpx.HTTPError as error:
            raise Retry(f"Virtuoso at {self._url} cannot be reached: {error}") from error
        if response.headers.get("x-sql-state") == "S1TAT":
            raise TooLong(f"it was ended because it took longer than {ask.seconds:g} s")
        if "x-sparql-maxrows" in response.headers:
            raise TooLarge(f"Virtuoso gives no more than {response.headers['x-sparql-maxrows']} rows")
        if response.is_success:
            return bytes(body)
        said = _first_line(body.decode("utf-8", "replace"))
        if "Virtuoso 42000 Error The estimated execution time" in said or "S1T00" in said:
            raise TooLong(f"it would take too long: {said}")
        if said.startswith("Virtuoso"):
            raise Reject(f"the query cannot be answered: {said}")
        raise Retry(f"Virtuoso at {self._url} answers {response.status_code}")


def _rounded(bound: dict[str, str]) -> bool:
    """Whether this may be a number that Virtuoso has more digits of than the six that it writes."""
    return bound.get("datatype") in _FLOATS and sum(char.isdigit() for char in bound["value"].partition("e")[0]) >= 6


def _exact(document: dict[str, Any], turtle: bytes) -> None:
    """Put the numbers as Turtle has them into the rows of JSON."""
    values: dict[Any, dict[str, Any]] = {}
    solutions: dict[Any, list[Any]] = {}
    for each in pyoxigraph.parse(turtle, pyoxigraph.RdfFormat.TURTLE):
        name = each.predicate.value.removeprefix(_RESULTS)
        if name == "binding":
            solutions.setdefault(each.subject, []).append(each.object)
        elif name in ("variable", "value"):
            values.setdefault(each.subject, {})[name] = each.object
    bindings = document["results"]["bindings"]
    if len(solutions) != len(bindings):
        raise Retry("the data changed while they were read; ask again")
    for row, solution in zip(bindings, solutions.values(), strict=True):
        exact = {values[each]["variable"].value: values[each]["value"] for each in solution}
        for name, bound in row.items():
            if _rounded(bound):
                bound["value"] = repr(float(exact[name].value))


def _standard(document: dict[str, Any]) -> bytes:
    """Virtuoso's JSON as the specification has it."""
    names, rows = document["head"].get("vars", []), document["results"]["bindings"]
    if names == ["__ASK_RETVAL"]:
        return msgspec.json.encode({"head": {}, "boolean": bool(rows) and rows[0]["__ASK_RETVAL"]["value"] == "1"})
    for row in rows:
        for bound in row.values():
            if bound["type"] == "typed-literal":
                bound["type"] = "literal"
                if bound["datatype"] == _BOOLEAN:
                    bound["value"] = {"1": "true", "0": "false"}.get(bound["value"], bound["value"])
                elif bound["datatype"] == EXACT_WKT:
                    bound["datatype"] = WKT
                elif bound["datatype"] == _TIME:
                    bound["value"] = _FRACTION.sub(r"\1", bound["value"])
    return msgspec.json.encode({"head": {"vars": names}, "results": {"bindings": rows}})


def _limited(results: Any, ask: Ask) -> Answer:
    try:
        return Answer(*serialise(results, ask.rows, ask.triples, ask.most))
    except OverflowError as error:
        raise TooLarge(str(error)) from error


def _serialised(ntriples: bytes, turtle: bytes, ask: Ask) -> Answer:
    """Triples, with the numbers that Turtle has of them (as decimals) where N-Triples has only six digits."""
    numbers: dict[Any, list[float]] = {}
    for each in pyoxigraph.parse(turtle, pyoxigraph.RdfFormat.TURTLE):
        if isinstance(each.object, pyoxigraph.Literal) and each.object.datatype.value in _NUMBERS:
            numbers.setdefault((each.subject, each.predicate), []).append(float(each.object.value))
    store = pyoxigraph.Store()
    for each in pyoxigraph.parse(ntriples, pyoxigraph.RdfFormat.N_TRIPLES):
        value = _standard_term(each.object, numbers.get((each.subject, each.predicate), []))
        store.add(pyoxigraph.Quad(each.subject, each.predicate, value))
    return _limited(store.query("CONSTRUCT WHERE { ?s ?p ?o }"), ask)


def _standard_term(term: Any, numbers: list[float]) -> Any:
    if not isinstance(term, pyoxigraph.Literal) or term.language is not None:
        return term
    kind, value = term.datatype.value, term.value
    if kind == _BOOLEAN:
        value = {"1": "true", "0": "false"}.get(value, value)
    elif kind == EXACT_WKT:
        kind = WKT
    elif kind in _FLOATS:
        value = next((repr(number) for number in numbers if f"{number:g}" == f"{float(value):g}"), value)
    elif kind == _TIME:
        value = _FRACTION.sub(r"\1", value)
    return pyoxigraph.Literal(value, datatype=pyoxigraph.NamedNode(kind))


def _first_line(text: str) -> str:
    return text.strip().partition("\n")[0][:300]
