"""The catalogue in DCAT: data sets as ``dcat:Dataset``, objects as ``dcat:Distribution``, records as ``dcat:CatalogRecord``.

It is made a page at a time. Objects that are in no data set are distributions of one that holds what is loose.
Source: Data Catalog Vocabulary (DCAT) 3, W3C Recommendation of 22 August 2024.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any
from urllib.parse import quote

from rdflib import DCAT, DCTERMS, FOAF, RDF, XSD, Graph, Literal, Namespace, URIRef
from sqlalchemy import select

from infra.catalog.acl import Caller
from infra.catalog.database import Database
from infra.catalog.membership import Membership
from infra.catalog.schema import acl_view, data_set, member
from infra.catalog.search import Search
from infra.catalog.store import Store

SPDX = Namespace("http://spdx.org/rdf/terms#")
MEDIA_TYPES = "https://www.iana.org/assignments/media-types/"
LOCN, GEO = Namespace("http://www.w3.org/ns/locn#"), Namespace("http://www.opengis.net/ont/geosparql#")
PREFIXES = {"dcat": DCAT, "dcterms": DCTERMS, "foaf": FOAF, "geo": GEO, "locn": LOCN, "spdx": SPDX, "xsd": XSD}
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
        loose = URIRef(f"{self._url}/catalog#loose")
        there = False
        for page in self._pages("data-object", _READY):
            graph = _graph()
            alone = self._loose([each["id"] for each in page])
            if alone and not there:
                there = True
                graph.add((catalog, DCAT.dataset, loose))
                graph.add((loose, RDF.type, DCAT.Dataset))
                graph.add((loose, DCTERMS.title, Literal("Objects in no data set")))
            for each in page:
                self._object(graph, each)
                if each["id"] in alone:
                    graph.add((loose, DCAT.distribution, self._name(each["id"])))
            yield graph
        for page in self._pages("data-record", None):
            graph = _graph()
            for each in page:
                self._record(graph, catalog, each)
            yield graph

    def _loose(self, ids: list[str]) -> frozenset[str]:
        """Those of the objects that are in no data set that the caller may view."""
        tests = [member.c.resource.in_(ids), data_set.c.n == member.c.data_set]
        if not self._caller.admin:
            mine = select(acl_view.c.acl).where(acl_view.c.principal.in_(sorted(self._caller.principals)))
            tests.append(data_set.c.acl.in_(mine))
        with self._reading() as database:
            return frozenset(ids) - {row[0] for row in database.rows(select(member.c.resource).where(*tests))}

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
        _where_and_when(graph, made, found)
        algorithm, colon, value = found["digest"].partition(":")
        if colon:
            checksum = URIRef(f"{made}#checksum")
            graph.add((made, SPDX.checksum, checksum))
            graph.add((checksum, RDF.type, SPDX.Checksum))
            graph.add((checksum, SPDX.algorithm, SPDX[f"checksumAlgorithm_{algorithm}"]))
            graph.add((checksum, SPDX.checksumValue, Literal(value, datatype=XSD.hexBinary, normalize=False)))

    def _record(self, graph: Graph, catalog: URIRef, found: dict[str, Any]) -> None:
        made = self._name(found["id"])
        graph.add((catalog, DCAT.record, made))
        graph.add((made, RDF.type, DCAT.CatalogRecord))
        _describe(graph, made, found, found["name"] or found["id"])
        _where_and_when(graph, made, found)
        if found["object"]:
            graph.add((made, FOAF.primaryTopic, self._name(found["object"])))

    def _name(self, id: str) -> URIRef:
        kind, _, name = id.partition("/")
        return URIRef(f"{self._url}/{kind}s/{quote(name)}")


def _graph() -> Graph:
    graph = Graph(bind_namespaces="none")
    for name, uri in PREFIXES.items():
        graph.bind(name, uri)
    return graph


def _where_and_when(graph: Graph, made: URIRef, found: dict[str, Any]) -> None:
    """The place and the time that were told of something."""
    if found["geometry"]:
        place = URIRef(f"{made}#place")
        graph.add((made, DCTERMS.spatial, place))
        graph.add((place, RDF.type, DCTERMS.Location))
        graph.add((place, LOCN.geometry, Literal(json.dumps(found["geometry"]), datatype=GEO.geoJSONLiteral)))
    if found["timestamp"]:
        period = URIRef(f"{made}#time")
        graph.add((made, DCTERMS.temporal, period))
        graph.add((period, RDF.type, DCTERMS.PeriodOfTime))
        for name, moment in (
            (DCAT.startDate, found["timestamp"]),
            (DCAT.endDate, found["timestamp-end"] or found["timestamp"]),
        ):
            graph.add((period, name, Literal(moment, datatype=XSD.dateTime, normalize=False)))


def _describe(graph: Graph, made: URIRef, found: dict[str, Any], title: str) -> None:
    graph.add((made, DCTERMS.identifier, Literal(found["id"])))
    graph.add((made, DCTERMS.title, Literal(title)))
    if found["description"]:
        graph.add((made, DCTERMS.description, Literal(found["description"])))
    for tag in found["tags"]:
        graph.add((made, DCAT.keyword, Literal(tag)))
    graph.add((made, DCTERMS.issued, Literal(found["created"], datatype=XSD.dateTime, normalize=False)))
    graph.add((made, DCTERMS.modified, Literal(found["updated"], datatype=XSD.dateTime, normalize=False)))
