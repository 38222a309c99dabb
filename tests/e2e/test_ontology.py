"""An ontology is uploaded to a running lake: checked by the reasoners, then active, or refused with the reason."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.conftest import Sluice, eventually

HEAD = b"""
@prefix c: <http://city/> .
@prefix owl: <http://www.w3.org/2002/07/owl#> .
@prefix rdfs: <http://www.w3.org/2000/01/rdf-schema#> .
"""
#: A ferry is a vessel because it carries people, which nobody wrote down.
GOOD = (
    HEAD
    + b"""
c:Person a owl:Class . c:Boat a owl:Class ; owl:disjointWith c:Person . c:carries a owl:ObjectProperty .
c:Vessel a owl:Class ; owl:equivalentClass [ a owl:Restriction ; owl:onProperty c:carries ; owl:someValuesFrom c:Person ] .
c:Ferry a owl:Class ; rdfs:subClassOf c:Boat, [ a owl:Restriction ; owl:onProperty c:carries ; owl:someValuesFrom c:Person ] .
c:Punt a owl:Class .
"""
)
#: A punt is one, too: what is told of one is seen in another light.
LATER = GOOD + b"c:Punt rdfs:subClassOf c:Ferry ."
CONTRADICTORY = GOOD + b"c:Raft a owl:Class . c:anna a c:Person, c:Ferry ."
UNSATISFIABLE = GOOD + b"c:Centaur a owl:Class ; rdfs:subClassOf c:Person, c:Boat ."
FERRY = "<http://city/Ferry> <http://www.w3.org/2000/01/rdf-schema#subClassOf> <http://city/Vessel>"
TBOX = "https://sluice.dev/graph/tbox"


@pytest.fixture(scope="module")
def lake(tmp_path_factory, reasoners) -> Iterator[Sluice]:
    """A lake with an ontology of its own."""
    made = Sluice(tmp_path_factory.mktemp("ontology") / "data", SLUICE_SEMANTICS_ANNOUNCE='["http://city/Vessel"]')
    try:
        made.start()
        assert asked(made, f"ASK {{ GRAPH <{TBOX}> {{ <http://city/Ferry> ?p ?o }} }}") is False
        upload(made, "city.ttl", GOOD)
        yield made
    finally:
        made.close()


def upload(lake: Sluice, key: str, data: bytes) -> dict[str, Any]:
    """Upload it; the event that says what became of it."""
    store = lake.store()
    store.ensure("ontologies")
    etag = store.write("ontologies", key, data).etag
    store.close()

    follow = {"type": "dev.sluice.ontology.*", "follow": "1"}
    with httpx.stream("GET", f"{lake.endpoints['http']}/events", params=follow, timeout=90, trust_env=False) as told:
        for event in (json.loads(line)["event"] for line in told.iter_lines()):
            if event["data"]["etag"] == etag and not event["type"].endswith(".checked.v1"):
                found: dict[str, Any] = event
                return found
    pytest.fail(f"nobody says what becomes of {key}")


def events(lake: Sluice, kind: str) -> list[dict[str, Any]]:
    return [each["event"] for each in lake.get("/events", type=kind)["events"]]


def asked(lake: Sluice, query: str) -> bool:
    """The answer to ASK."""
    return bool(lake.get("/sparql", query=query)["boolean"])


def active(lake: Sluice) -> bool:
    """Whether the graphs hold the uploaded ontology and what its classification adds, and the built-in one no more."""
    return (
        asked(lake, f"ASK {{ GRAPH <{TBOX}> {{ <http://city/Ferry> ?p ?o }} GRAPH <{TBOX}-inferred> {{ {FERRY} }} }}")
        and not asked(lake, f"ASK {{ GRAPH <{TBOX}> {{ {FERRY} }} }}")
        and not asked(lake, "ASK { <https://sluice.dev/per#Person> ?p ?o }")
    )


def test_a_good_one_is_active_and_seen_in_its_graphs(lake):
    (event,) = events(lake, "dev.sluice.ontology.activated.v1")
    assert event["data"]["version"] == 1
    assert event["data"]["inferred"] >= 1
    eventually(lambda: active(lake), 30, "the graphs of the ontology")


@pytest.mark.parametrize(
    ("key", "data", "cause"),
    [
        ("contradictory.ttl", CONTRADICTORY, ("contradicts itself", "anna")),
        ("unsatisfiable.ttl", UNSATISFIABLE, ("nothing can ever be in", "http://city/Centaur")),
        ("broken.ttl", b"@prefix c: <http://city/> . c:a c:b", ("broken.ttl cannot be read as turtle",)),
        ("empty.nt", b"\n", ("says nothing",)),
    ],
)
def test_one_that_cannot_be_used_is_refused_and_the_one_before_stays(lake, key, data, cause):
    told = upload(lake, key, data)
    assert told["type"] == "dev.sluice.ontology.rejected.v1"
    assert all(part in told["data"]["cause"] for part in cause), told["data"]["cause"]
    eventually(lambda: active(lake), 30, "the ontology before")
    assert not asked(lake, "ASK { <http://city/Raft> ?p ?o }")
    assert len(events(lake, "dev.sluice.ontology.activated.v1")) == 1


def test_what_another_one_makes_of_the_state_is_told(lake):
    fact = {"subject": "http://city/punt", "facts": [["a", "http://city/Punt"]]}
    told = {
        "specversion": "1.0",
        "id": "1",
        "source": "/harbour",
        "type": "dev.sluice.fact.recorded.v1",
        "time": "2026-05-01T12:00:00Z",
        "data": fact,
    }
    headers = {"content-type": "application/cloudevents+json"}
    url = f"{lake.endpoints['http']}/events"
    httpx.post(url, content=json.dumps(told), headers=headers, trust_env=False).raise_for_status()
    eventually(lambda: asked(lake, "ASK { <http://city/punt> a <http://city/Punt> }"), 30, "the punt")
    assert events(lake, "dev.sluice.fact.inferred.v1") == []

    assert upload(lake, "city.ttl", LATER)["type"] == "dev.sluice.ontology.activated.v1"
    eventually(lambda: events(lake, "dev.sluice.fact.inferred.v1"), 30, "the announcement")
    (inferred,) = events(lake, "dev.sluice.fact.inferred.v1")
    assert (inferred["data"]["subject"], inferred["data"]["object"]) == ("<http://city/punt>", "<http://city/Vessel>")
    eventually(lambda: asked(lake, "ASK { <http://city/punt> a <http://city/Vessel> }"), 30, "the graph of it")

    assert upload(lake, "city.ttl", GOOD)["type"] == "dev.sluice.ontology.activated.v1"
    eventually(lambda: events(lake, "dev.sluice.fact.retracted.v1"), 30, "the retraction")
    (retracted,) = events(lake, "dev.sluice.fact.retracted.v1")
    assert retracted["subject"] == "http://city/punt"
