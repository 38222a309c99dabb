"""The catalogue in DCAT: data sets as ``dcat:Dataset``, objects as ``dcat:Distribution``, a page at a time.

Source: Data Catalog Vocabulary (DCAT) 3, W3C Recommendation of 22 August 2024.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any
from urllib.parse import quote

from rdflib import DCAT, DCTERMS, RDF, XSD, Graph, Literal, Namespace, URIRef

from infra.catalog.acl import Caller
from infra.catalog.database import Database
from infra.catalog.membership import Membership
from infra.catalog.search import Search
from infra.catalog.store import Store

SPDX = Namespace("http://spdx.org/rdf/terms#")
MEDIA_TYPES = "https://www.iana.org/assignments/media-types/"
PREFIXES = {"dcat": DCAT, "dcterms": DCTERMS, "spdx": SPDX, "xsd": XSD}
PAGE = 500
_READY = {"op": "=", "args": [{"property": "state"}, "READY"]}


class Export:
    """The catalogue as ``caller`` may view it; names begin with ``url``. ``reading`` opens the catalogue's database."""

    def __init__(self, reading: Callable[[], AbstractContextManager[Database]], caller: Caller, url: str) -> None:
        self._reading, self._caller, self._url = reading, caller, url

    def turtle(self) -> Iterator[bytes]:
        """As Turtle."""
        yield "".join(f"@prefix {name}: <{uri}> .\n" for name, uri in PREFIXES.items()).encode()
        for graph in self._graphs():
            text = graph.serialize(format="turtle")
            head, _, rest = text.partition("\n\n")
            yield b"\n" + (rest if head.startswith("@prefix") else text).encode()

    def json_ld(self) -> Iterator[bytes]:
        """As JSON-LD in its expanded form."""
        start = b"["
        for graph in self._graphs():
            for node in json.loads(graph.serialize(format="json-ld")):
                yield start + json.dumps(node, ensure_ascii=False).encode()
                start = b",\n"
        yield b"]\n" if start != b"[" else b"[]\n"

    def _graphs(self) -> Iterator[Graph]:
        catalog = URIRef(f"{self._url}/catalog")
        graph = _graph()
        graph.add((catalog, RDF.type, DCAT.Catalog))
        graph.add((catalog, DCTERMS.title, Literal("Sluice")))
        yield graph
        for page in self._pages("data-set", None):
            graph = _graph()
            for each in page:
                made = self._name(each["id"])
                graph.add((catalog, DCAT.dataset, made))
                graph.add((made, RDF.type, DCAT.Dataset))
                _describe(graph, made, each, each["name"] or each["id"])
            yield graph
            for each in page:
                yield from self._members(each["id"])
        for page in self._pages("data-object", _READY):
            graph = _graph()
            for each in page:
                self._object(graph, each)
            yield graph

    def _pages(self, kind: str, filter: dict[str, Any] | None) -> Iterator[list[dict[str, Any]]]:
        after = ""
        while True:
            with self._reading() as database:
                page = Store(database).search(kind, Search(filter=filter, limit=PAGE, after=after), self._caller)
            if page.items:
                yield page.items
            if not (after := page.next):
                return

    def _members(self, id: str) -> Iterator[Graph]:
        after, upto = 0, -1
        while True:
            with self._reading() as database:
                log = Membership(database, id, self._caller)
                upto = log.cursor() if upto < 0 else upto
                last, found = log.members(upto, after, PAGE)
            if last == after:
                return
            graph, after = _graph(), last
            for each in found:
                if each.key:
                    graph.add((self._name(id), DCAT.distribution, self._name(each.resource)))
            yield graph

    def _object(self, graph: Graph, found: dict[str, Any]) -> None:
        made = self._name(found["id"])
        graph.add((made, RDF.type, DCAT.Distribution))
        _describe(graph, made, found, found["name"] or found["key"])
        graph.add((made, DCAT.accessURL, URIRef(f"s3://{quote(found['bucket'], safe=':')}/{quote(found['key'])}")))
        graph.add((made, DCAT.byteSize, Literal(found["bytes"], datatype=XSD.nonNegativeInteger)))
        if found["content-type"]:
            media = quote(found["content-type"].partition(";")[0].strip(), safe="/+.-")
            graph.add((made, DCAT.mediaType, URIRef(MEDIA_TYPES + media)))
        if found["format"]:
            graph.add((made, DCTERMS["format"], Literal(found["format"])))
        algorithm, colon, value = found["digest"].partition(":")
        if colon:
            checksum = URIRef(f"{made}#checksum")
            graph.add((made, SPDX.checksum, checksum))
            graph.add((checksum, RDF.type, SPDX.Checksum))
            graph.add((checksum, SPDX.algorithm, SPDX[f"checksumAlgorithm_{algorithm}"]))
            graph.add((checksum, SPDX.checksumValue, Literal(value, datatype=XSD.hexBinary, normalize=False)))

    def _name(self, id: str) -> URIRef:
        kind, _, name = id.partition("/")
        return URIRef(f"{self._url}/{kind}s/{quote(name)}")


def _graph() -> Graph:
    graph = Graph(bind_namespaces="none")
    for name, uri in PREFIXES.items():
        graph.bind(name, uri)
    return graph


def _describe(graph: Graph, made: URIRef, found: dict[str, Any], title: str) -> None:
    graph.add((made, DCTERMS.identifier, Literal(found["id"])))
    graph.add((made, DCTERMS.title, Literal(title)))
    if found["description"]:
        graph.add((made, DCTERMS.description, Literal(found["description"])))
    for tag in found["tags"]:
        graph.add((made, DCAT.keyword, Literal(tag)))
    graph.add((made, DCTERMS.issued, Literal(found["created"], datatype=XSD.dateTime, normalize=False)))
    graph.add((made, DCTERMS.modified, Literal(found["updated"], datatype=XSD.dateTime, normalize=False)))
