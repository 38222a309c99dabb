"""The SPARQL protocol of a running lake: with rdflib, curl, a browser, and the command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime

import httpx
import pyshacl
import pytest
import rdflib
from rdflib import SOSA, Variable
from rdflib.plugins.stores.sparqlstore import SPARQLStore

from functions.ontologies.graphs import TBOX
from functions.ontologies.reading import HERE
from tests.conftest import Sluice, eventually, need

STATE = "https://sluice.dev/graph/state"
NOW = datetime.now(UTC).isoformat()
ANNA = {"person": "http://e/anna", "place": "http://e/calle1"}


@pytest.fixture(scope="module")
def lake(tmp_path_factory) -> Iterator[Sluice]:
    """A lake that knows where Anna is, with little time for queries."""
    made = Sluice(tmp_path_factory.mktemp("sparql") / "data", SLUICE_SEMANTICS_QUERY_S="2", SLUICE_SEMANTICS_QUERY_MB="1")
    try:
        made.start()
        event = {
            "specversion": "1.0",
            "id": "1",
            "source": "/phones",
            "type": "dev.sluice.position.recorded.v1",
            "time": NOW,
            "data": ANNA,
        }
        headers = {"content-type": "application/cloudevents+json"}
        url = made.endpoints["http"]
        httpx.post(f"{url}/events", content=json.dumps(event), headers=headers, trust_env=False).raise_for_status()
        eventually(lambda: ask(made, "ASK { <http://e/anna> ?p <http://e/calle1> }").json()["boolean"], 30, "Anna's place")
        yield made
    finally:
        made.close()


def ask(lake: Sluice, query: str, **headers: str) -> httpx.Response:
    url = f"{lake.endpoints['http']}/sparql"
    return httpx.get(url, params={"query": query}, headers=headers, trust_env=False, timeout=30)


QUERY = "SELECT ?p WHERE { <http://e/anna> ?p <http://e/calle1> }"


@pytest.mark.parametrize("method", ["GET", "POST", "POST_FORM"])
@pytest.mark.parametrize("form", ["xml", "json", "csv", "tsv"])
def test_rdflib_asks(lake, method, form):
    store = SPARQLStore(f"{lake.endpoints['http']}/sparql", method=method, returnFormat=form)
    assert "https://sluice.dev/per#isAt" in {str(binding[Variable("p")]) for binding in store.query(QUERY).bindings}


def test_curl_asks(lake):
    url = f"{lake.endpoints['http']}/sparql"
    done = subprocess.run(
        ["curl", "-sf", "-H", "Accept: text/csv", "--data-urlencode", f"query={QUERY}", url], capture_output=True, check=True
    )
    assert b"https://sluice.dev/per#isAt\r\n" in done.stdout
    direct = ["curl", "-sf", "-H", "Content-Type: application/sparql-query", "--data", QUERY, url]
    assert b'"bindings"' in subprocess.run(direct, capture_output=True, check=True).stdout


def test_a_browser_asks(lake, tmp_path):
    need("chromium")
    command = [
        "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=10000", f"--user-data-dir={tmp_path}",
        "--dump-dom", f"{lake.endpoints['http']}/sparql#ask",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=True)
    assert "0 rows" in done.stdout  # nobody is at risk
    assert "<th>person</th>" in done.stdout


def test_the_command_line_asks(lake):
    environment = {**os.environ, "SLUICE_DATA": str(lake.folder)}
    command = [sys.executable, "-m", "infra.cli", "sparql"]
    done = subprocess.run([*command, QUERY], env=environment, capture_output=True, text=True, check=True)
    assert "https://sluice.dev/per#isAt" in done.stdout
    done = subprocess.run([*command, "SELECT * {"], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode
    assert "line 1, column 11" in done.stderr


def test_formats_are_negotiated(lake):
    assert ask(lake, QUERY, accept="*/*").headers["content-type"] == "application/sparql-results+json"
    weighted = "text/csv;q=0.3, application/sparql-results+xml;q=0.8, text/html"
    assert ask(lake, QUERY, accept=weighted).headers["content-type"] == "application/sparql-results+xml"
    construct = "CONSTRUCT WHERE { <http://e/anna> ?p ?o }"
    for media in ("text/turtle", "application/n-triples", "application/ld+json"):
        answer = ask(lake, construct, accept=media)
        assert answer.headers["content-type"].startswith(media)
        assert "calle1" in answer.text
    assert ask(lake, QUERY, accept="image/png").status_code == 406
    assert ask(lake, QUERY, accept="application/sparql-results+json;q=0").status_code == 406
    for weight in ("much", "", "nan", "7", "-1"):
        answer = ask(lake, QUERY, accept=f"text/csv;q={weight}, application/sparql-results+xml;q=0.1")
        assert answer.headers["content-type"] == "application/sparql-results+xml"
        assert ask(lake, QUERY, accept=f"text/csv;q={weight}").status_code == 406


def test_a_data_set_is_given(lake):
    url = f"{lake.endpoints['http']}/sparql"
    query = "SELECT ?s { ?s ?p <http://e/calle1> }"
    for graph, some in ((STATE, True), ("http://g/none", False)):
        answer = httpx.get(url, params={"query": query, "default-graph-uri": graph}, trust_env=False)
        assert bool(answer.json()["results"]["bindings"]) is some


@pytest.mark.parametrize(
    ("query", "status", "told"),
    [
        ("SELECT * {", 400, "line 1, column 11"),
        ("INSERT DATA { <a:a> <a:b> 1 }", 400, "only answers queries"),
        ("SELECT * { SERVICE <http://127.0.0.1:9/> { ?a ?b ?c } }", 400, "SERVICE"),
        ("SELECT * { GRAPH ?g { ?a ?b ?c . ?d ?e ?f } }", 413, "LIMIT"),
        ("SELECT (COUNT(*) AS ?n) { ?a ?b ?c . ?d ?e ?f . ?g ?h ?i . ?j ?k ?l }", 503, "longer than 2 s"),
    ],
)  # fmt: skip
def test_what_cannot_be_answered_is_told_and_the_rest_goes_on(lake, query, status, told):
    answer = ask(lake, query)
    assert answer.status_code == status, answer.text
    assert told in answer.json()["error"]
    assert ask(lake, QUERY).json()["results"]["bindings"]


def test_what_the_lake_tells_has_the_shapes_of_the_ontology(lake):
    url = lake.endpoints["http"]
    told = {
        "position.recorded": {**ANNA, "person": "http://e/carla", "longitude": 12.33, "latitude": 45.43, "accuracy": 5},
        "hazard.raised": {"hazard": "http://e/tide", "kind": "per:AcquaAlta", "affects": ["http://e/calle9"], "severity": 3},
    }
    for type_, data in told.items():
        event = {
            "specversion": "1.0", "id": type_, "source": "/phones", "type": f"dev.sluice.{type_}.v1", "time": NOW, "data": data,
        }  # fmt: skip
        headers = {"content-type": "application/cloudevents+json"}
        httpx.post(f"{url}/events", content=json.dumps(event), headers=headers, trust_env=False).raise_for_status()
    known = "ASK { ?h <https://sluice.dev/per#affects> <http://e/calle9> . ?p <https://sluice.dev/per#longitude> ?l }"
    eventually(lambda: ask(lake, known).json()["boolean"], 30, "the position and the hazard")
    everything = f"CONSTRUCT {{ ?s ?p ?o }} {{ GRAPH ?g {{ ?s ?p ?o }} FILTER(!STRSTARTS(STR(?g), '{TBOX}')) }}"
    graph = rdflib.Graph().parse(data=ask(lake, everything, accept="text/turtle").text, format="turtle")
    assert len(set(graph.subjects(rdflib.RDF.type, SOSA.Observation))) >= 3
    conforms, _, text = pyshacl.validate(graph, shacl_graph=rdflib.Graph().parse(HERE / "per-shapes.ttl"))
    assert conforms, text


def test_nobody_changes_the_graph(lake):
    url = f"{lake.endpoints['http']}/sparql"
    update = "INSERT DATA { GRAPH <http://g/x> { <a:a> <a:b> 1 } }"
    by_form = httpx.post(url, data={"update": update}, trust_env=False)
    direct = httpx.post(url, content=update, headers={"content-type": "application/sparql-update"}, trust_env=False)
    assert (by_form.status_code, direct.status_code) == (403, 403)
    assert ask(lake, "ASK { GRAPH <http://g/x> { ?s ?p ?o } }").json()["boolean"] is False
    assert httpx.post(url, content=update, trust_env=False).status_code == 415
    assert httpx.get(url, trust_env=False).status_code == 400


def test_a_remembered_answer_is_forgotten_when_its_graph_changes(lake):
    query = "SELECT ?where { <http://e/ben> <https://sluice.dev/per#isAt> ?where }"
    assert ask(lake, query).json()["results"]["bindings"] == []
    event = {
        "specversion": "1.0", "id": "2", "source": "/phones", "type": "dev.sluice.position.recorded.v1", "time": NOW,
        "data": {"person": "http://e/ben", "place": "http://e/calle2"},
    }  # fmt: skip
    headers = {"content-type": "application/cloudevents+json"}
    httpx.post(f"{lake.endpoints['http']}/events", content=json.dumps(event), headers=headers, trust_env=False)
    eventually(lambda: ask(lake, query).json()["results"]["bindings"], 30, "Ben's place")
