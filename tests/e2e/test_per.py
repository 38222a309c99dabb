"""The PER use case, small, and what a lake knows of the world after it was killed."""

from __future__ import annotations

import signal
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from rich.console import Console
from typer.testing import CliRunner

from infra import cli
from infra.demo.per import AT_RISK, RISK, perform
from infra.demo.per_page import write
from infra.demo.venice import Venice
from tests.conftest import Sluice, eventually

pytestmark = pytest.mark.timeout(300)


def post(sluice: Sluice, events: list[dict[str, Any]]) -> None:
    answer = httpx.post(
        f"{sluice.endpoints['http']}/events",
        content=msgspec.json.encode(events),
        headers={"content-type": "application/cloudevents-batch+json"},
        timeout=30,
    )
    assert answer.status_code == 202, answer.text


def told(type: str, time: str, /, **data: object) -> dict[str, Any]:
    return {
        "specversion": "1.0", "id": f"{type}-{time}", "source": "https://example.org/test", "type": f"dev.sluice.{type}.v1",
        "time": time, "datacontenttype": "application/json", "data": data,
    }  # fmt: skip


def announced(sluice: Sluice) -> list[tuple[str, str, str]]:
    found = []
    for kind in ("inferred", "retracted"):
        for item in sluice.get("/events", type=f"dev.sluice.fact.{kind}.v1", limit=10_000)["events"]:
            data = item["event"]["data"]
            if data["object"] == RISK:
                found.append((data["subject"][1:-1], kind, data["order"]))
    return found


def sparql(sluice: Sluice, query: str) -> set[str]:
    rows = sluice.get("/sparql", query=query)["results"]["bindings"]
    return {next(iter(row.values()))["value"] for row in rows}


def test_the_use_case(tmp_path: Path) -> None:
    show = perform(tmp_path, 200, 4, 3, 2, Console(quiet=True))
    assert [(check.promise, check.shown) for check in show.checks.all if not check.held] == []
    assert len(show.checks.all) == 7
    assert show.announced
    write(tmp_path / "per.html", show)
    page = (tmp_path / "per.html").read_text()
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert "<script src" not in page
    assert "$" not in page.partition("<script>")[0]


def test_killed_in_the_middle_everything_is_announced_once(tmp_path: Path) -> None:
    city = Venice(200, 3, 2)
    sluice = Sluice(tmp_path / "data").start()
    try:
        post(sluice, list(city.map()))
        post(sluice, city.first().positions)
        expected = set()
        for number in range(1, 4):
            step = city.step(number)
            expected |= step.told
            for events in (step.hazards, step.positions):
                if events:
                    post(sluice, events)
                    if number != 2:
                        sluice.stop(signal.SIGKILL)  # somewhere in the middle of it
                        sluice.start()
                        post(sluice, events)  # the sender does not know what came of it
                    eventually(sluice.settled, 60, "the lake to settle")
        found = announced(sluice)
        assert sorted(found) == sorted(expected)
        eventually(lambda: sluice.get("/status")["semantics"]["to_tell"] == 0, 30)
        assert sparql(sluice, AT_RISK) == city.at_risk
        assert sluice.get("/status")["log"]["dead"] == 0
    finally:
        sluice.close()


def test_late_unknown_and_why(sluice: Sluice) -> None:
    anna, calle, campo = (f"https://example.org/{name}" for name in ("anna", "calle", "campo"))
    at = "2026-11-12T06:0{}:00Z".format
    post(
        sluice,
        [
            told("position.recorded", at(5), person=anna, place=calle, longitude=12.33, latitude=45.43),
            told("position.recorded", at(1), person=anna, place=campo),  # late: history only
            told("hazard.raised", at(2), hazard="https://example.org/water", kind="per:Flood", affects=[calle]),
            told("hazard.raised", at(3), hazard="https://example.org/fog", kind="per:Fog", affects=[calle]),
            told("fact.recorded", at(4), subject=anna, facts=[["per:likes", campo]]),
            told("position.recorded", at(6), person="anna", place=calle),
        ],
    )
    eventually(sluice.settled, 60, "the lake to settle")
    eventually(lambda: sluice.get("/status")["semantics"]["to_tell"] == 0, 30)
    causes = " ".join(letter["cause"] for letter in sluice.get("/dead-letters")["dead_letters"])
    assert "per:Fog is no class" in causes
    assert "per:likes is no property" in causes
    assert "'anna' is no IRI" in causes
    assert sparql(sluice, f"SELECT ?p {{ <{anna}> <https://sluice.dev/per#isAt> ?p }}") == {calle}
    observed = "PREFIX per: <https://sluice.dev/per#> SELECT ?g { GRAPH ?g { ?o per:reportsPlace ?p } }"
    assert {graph[-16:] for graph in sparql(sluice, observed)} == {"2026-11-12T06:05", "2026-11-12T06:01"}
    times = sluice.get(
        "/sparql",
        query="PREFIX per: <https://sluice.dev/per#> PREFIX sosa: <http://www.w3.org/ns/sosa/> "
        "PREFIX prov: <http://www.w3.org/ns/prov#> SELECT * { GRAPH ?g { ?o per:observedAt ?a; sosa:resultTime ?b; "
        f"prov:generatedAtTime ?c; prov:wasDerivedFrom ?d; sosa:hasFeatureOfInterest <{anna}> }} }}",
    )["results"]["bindings"]
    assert len(times) == 2
    assert all(row["a"]["value"] <= row["c"]["value"] for row in times)
    run = partial(CliRunner().invoke, cli.application(), env={"SLUICE_DATA": str(sluice.folder)})
    plain = run(["why", anna, "per:PersonAtRisk"])
    assert plain.exit_code == 0, plain.output
    assert f"{anna} is a per:PersonAtRisk" in plain.output
    assert "per:affects" in plain.output
    assert "2026-11-12 06:05" in plain.output
    document = msgspec.json.decode(run(["why", anna, "--json"]).output)
    assert document["proofs"][0]["fact"].endswith("per:PersonAtRisk")
    assert run(["why", "https://example.org/nobody"]).exit_code == 1
    assert run(["why", "anna"]).exit_code == 1


def test_objects_are_described_and_forgotten(sluice: Sluice) -> None:
    store = sluice.store()
    store.ensure("raw")
    store.write("raw", "a b.csv", b"a,b\n1,2\n")
    query = "PREFIX dcterms: <http://purl.org/dc/terms/> SELECT ?f { <s3://raw/a%20b.csv> dcterms:format ?f }"
    eventually(lambda: sparql(sluice, query) == {"csv"}, 30, "the object to be described")
    store.delete("raw", "a b.csv")
    eventually(lambda: sparql(sluice, query) == set(), 30, "the object to be forgotten")
