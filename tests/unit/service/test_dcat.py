"""The catalogue in DCAT, as a reader of RDF sees it."""

from __future__ import annotations

import json
import warnings

import pytest
from rdflib import DCAT, DCTERMS, FOAF, RDF, XSD, Graph, Literal, URIRef

from infra.catalog import dcat
from tests.unit.service.conftest import both_stores
from tests.unit.service.test_bindings import CSV, put

pytestmark = both_stores

FORMS = {"turtle": "/catalog.ttl", "json-ld": "/catalog.jsonld"}


def read(client, form: str) -> Graph:
    answer = client.get(FORMS[form])
    assert answer.status_code == 200
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # rdflib's reader of JSON-LD uses what rdflib has deprecated
        return Graph().parse(data=answer.text, format=form)


@pytest.mark.parametrize("form", FORMS)
def test_a_reader_of_rdf_finds_data_sets_and_their_distributions(service, monkeypatch, form) -> None:
    monkeypatch.setattr(dcat, "PAGE", 2)
    admin = service.as_()
    for key in ("1.csv", "2.csv", 'deep/ü "3".csv', "4.csv", "5.csv"):
        put(service, key, CSV)
    body = {"name": "stars", "description": "a\n\n@prefix x: <y> .", "tags": ["a"], "object-filter": "rows = 3"}
    made = admin.post("/data-sets", json=body).json()
    service.settle()
    graph = read(admin, form)
    (found,) = graph.subjects(RDF.type, DCAT.Dataset)
    assert (found, DCTERMS.identifier, Literal(made["id"])) in graph
    assert graph.value(found, DCTERMS.description) == Literal("a\n\n@prefix x: <y> .")
    assert len(list(graph.objects(found, DCAT.distribution))) == 5
    assert set(graph.objects(found, DCAT.distribution)) == set(graph.subjects(RDF.type, DCAT.Distribution))
    (one,) = graph.subjects(DCAT.accessURL, URIRef("s3://raw/deep/%C3%BC%20%223%22.csv"))
    assert graph.value(one, DCAT.byteSize) == Literal(len(CSV), datatype=XSD.nonNegativeInteger)
    assert str(graph.value(one, DCAT.mediaType)).endswith("/text/csv")
    digest = admin.get('/catalog/raw/deep/ü "3".csv').json()["digest"].partition(":")[2]
    checksum = graph.value(one, dcat.SPDX.checksum)
    assert str(graph.value(checksum, dcat.SPDX.checksumValue)) == digest


@pytest.mark.parametrize("form", FORMS)
def test_places_times_records_and_what_is_loose(service, form) -> None:
    ann = service.as_("ann")
    made = ann.post("/data-objects", json={"bucket": "raw", "key": "loose.csv"}).json()
    for key in ("loose.csv", "member.csv"):
        put(service, key, CSV if key == "member.csv" else CSV + b"x,1,1\n")
    ann.post("/data-sets", json={"name": "s", "object-filter": "key = 'member.csv'"})
    point = {"type": "Point", "coordinates": [12.5, 45.5]}
    told = {"geometry": point, "timestamp": "2026-01-01T00:00:00.000Z", "timestamp-end": "2026-01-02T00:00:00.000Z"}
    assert ann.patch(f"/data-objects/{made['id'].partition('/')[2]}", json=told).status_code == 200
    assert ann.post("/data-records", json={"name": "night 12", "object": made["id"], **told}).status_code == 201
    service.settle()
    graph = read(ann, form)
    (catalog,) = graph.subjects(RDF.type, DCAT.Catalog)
    (object,) = graph.subjects(DCAT.accessURL, URIRef("s3://raw/loose.csv"))
    (loose,) = graph.subjects(DCAT.distribution, object)
    assert str(graph.value(loose, DCTERMS.title)) == "Objects in no data set"
    assert {loose} < set(graph.objects(catalog, DCAT.dataset))
    (other,) = graph.subjects(DCAT.accessURL, URIRef("s3://raw/member.csv"))
    assert loose not in set(graph.subjects(DCAT.distribution, other))
    (record,) = graph.objects(catalog, DCAT.record)
    assert graph.value(record, FOAF.primaryTopic) == object
    for each in (object, record):
        place, period = graph.value(each, DCTERMS.spatial), graph.value(each, DCTERMS.temporal)
        assert json.loads(str(graph.value(place, dcat.LOCN.geometry))) == point
        assert str(graph.value(period, DCAT.startDate)).startswith("2026-01-01T00:00:00")
        assert str(graph.value(period, DCAT.endDate)).startswith("2026-01-02T00:00:00")
    assert "night 12" not in service.as_("bob").get(FORMS[form]).text


def test_an_empty_catalogue_is_a_catalogue(service) -> None:
    admin = service.as_()
    assert len(list(read(admin, "turtle").subjects(RDF.type, DCAT.Catalog))) == 1
    assert len(json.loads(admin.get("/catalog.jsonld").text)) == 1


def test_who_asks_for_the_catalogue_says_in_which_form(service) -> None:
    admin = service.as_()
    put(service, "s.csv", CSV)
    for accept, told in (
        ("", "application/json"),
        ("*/*", "application/json"),
        ("text/html, */*;q=0.8", "application/json"),
        ("image/png", "application/json"),
        ("text/turtle", "text/turtle; charset=utf-8"),
        ("application/json;q=0.5, text/turtle;q=0.9", "text/turtle; charset=utf-8"),
        ("application/ld+json, */*;q=0.1", "application/ld+json"),
        ("text/turtle;q=x, application/ld+json;q=nan, application/json;q=0.001", "application/json"),
    ):
        answer = admin.get("/catalog", headers={"accept": accept})
        assert (answer.status_code, answer.headers["content-type"], answer.headers["vary"]) == (200, told, "accept"), accept
        assert "s.csv" in answer.text
    one = admin.get("/catalog", params={"format": "fits"}, headers={"accept": "text/turtle"})
    assert (one.status_code, "as a whole" in one.json()["error"]) == (400, True)


def test_nobody_exports_what_he_may_not_view(service) -> None:
    ann, bob = service.as_("ann"), service.as_("bob")
    ann.post("/data-objects", json={"bucket": "raw", "key": "s.csv"})
    put(service, "s.csv", CSV)
    put(service, "open.csv", CSV)
    ann.post("/data-sets", json={"name": "hers", "object-filter": "rows = 3"})
    ann.post("/data-sets", json={"name": "ours", "object-filter": "rows = 3", "acl": {"owners": ["group/anyone"]}})
    service.settle()
    assert "s.csv" in ann.get("/catalog.ttl").text
    for path in FORMS.values():
        text = bob.get(path).text
        assert "open.csv" in text
        assert "ours" in text
        assert "hers" not in text
        assert "s.csv" not in text
