"""What every store of triples does beside the port: answer in a format, within limits."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import msgspec
import pyoxigraph

from events.errors import Reject
from events.ports import GraphChange, Solutions
from events.types import Triple
from functions.ontologies.graphs import PRESENT
from infra.graph.sparql import describe
from infra.graph.terms import term

JSON = "application/sparql-results+json"
NTRIPLES = "application/n-triples"
#: What the store's own users may be given, in seconds and bytes.
SECONDS, BYTES = 60.0, 1 << 30


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """A query and how to answer it: over which graphs, in which format for rows or for triples, within which limits.

    Without graphs of its own or given here, a query is about the present (``PRESENT``), and GRAPH ranges over all.
    """

    query: str
    default: tuple[str, ...] = ()
    named: tuple[str, ...] = ()
    rows: str = JSON
    triples: str = NTRIPLES
    seconds: float = SECONDS
    most: int = BYTES


class Answer(msgspec.Struct, frozen=True):
    """A result, serialised."""

    media: str
    body: bytes


class TooLong(Reject):
    """A query was ended because its time was up."""


class TooLarge(Reject):
    """A result is larger than it may be."""


class SparqlStore(ABC):
    """A store of named graphs. Threads may share it."""

    @abstractmethod
    def change(self, changes: Sequence[GraphChange]) -> None:
        """See the port ``GraphStore``."""

    @abstractmethod
    def answer(self, ask: Ask) -> Answer:
        """Answer a query. Raises ``Reject`` (``TooLong``, ``TooLarge``) or ``Retry``."""

    @abstractmethod
    def graphs(self) -> list[str]:
        """The graphs that have triples, sorted."""

    def query(self, sparql: str, default: Sequence[str] = (), named: Sequence[str] = ()) -> Solutions | bool | list[Triple]:
        """See the port ``GraphStore``."""
        answer = self.answer(Ask(query=sparql, default=tuple(default), named=tuple(named)))
        if answer.media != JSON:
            found: Any = pyoxigraph.parse(answer.body, pyoxigraph.RdfFormat.N_TRIPLES)
            return [(str(each.subject), str(each.predicate), str(each.object)) for each in found]
        document = msgspec.json.decode(answer.body)
        if "boolean" in document:
            return bool(document["boolean"])
        names = document["head"]["vars"]
        rows = document["results"]["bindings"]
        return Solutions(names, [[term(row[name]) if name in row else None for name in names] for row in rows])

    @abstractmethod
    def close(self) -> None:
        """Let go of it; what was changed stays."""


def dataset(ask: Ask) -> tuple[list[str] | None, list[str] | None]:
    """The default and named graphs of a query: those given, its own (``None``: see its text), or the present and all."""
    if ask.default or ask.named:
        return list(ask.default), list(ask.named)
    if describe(ask.query).own:
        return None, None
    return list(PRESENT), None
