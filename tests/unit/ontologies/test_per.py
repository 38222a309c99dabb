"""The built-in ontology: documented, consistent, and classified as the reasoners do it."""

from __future__ import annotations

from pathlib import Path

import pytest
import rdflib
from rdflib import OWL, RDF, RDFS

from events.errors import Reject
from events.types import Triple
from functions.ontologies.reading import HERE, builtin, builtin_inferred, named, parse
from infra.reasoner.checker import ReasonerProcess

PAGE = Path(__file__).parents[3] / "docs" / "ontology.md"
PER = "https://sluice.dev/per#"
TYPE = "<http://www.w3.org/1999/02/22-rdf-syntax-ns#type>"
reasoners = pytest.mark.usefixtures("reasoners")


def terms() -> list[str]:
    """A row of the page for each term."""
    graph = rdflib.Graph().parse(HERE / "per.ttl")
    kinds = {
        OWL.Class: "class",
        OWL.ObjectProperty: "property",
        OWL.DatatypeProperty: "value",
        OWL.NamedIndividual: "individual",
    }
    rows = []
    for kind, word in kinds.items():
        for term in sorted(graph.subjects(RDF.type, kind), key=str):
            if str(term).startswith(PER):
                label, comment = graph.value(term, RDFS.label), graph.value(term, RDFS.comment)
                assert label is not None, term
                assert comment is not None, term
                rows.append(f"| `per:{str(term)[len(PER) :]}` | {word} | {comment} |")
    return rows


def test_the_page_has_every_term_and_no_other():
    assert [line for line in PAGE.read_text().splitlines() if line.startswith("| `per:")] == terms()


@reasoners
@pytest.mark.timeout(300)
def test_the_shipped_classification_is_that_of_the_reasoners():
    verdict = ReasonerProcess().check(builtin())
    assert not verdict.inconsistent
    assert verdict.unsatisfiable == []
    assert sorted(verdict.inferred) == sorted(builtin_inferred())
    assert any(s.endswith("#FloodedPlace>") and o.endswith("#HazardousPlace>") for s, _, o in verdict.inferred)


@reasoners
@pytest.mark.timeout(300)
def test_a_contradiction_is_explained():
    both: list[Triple] = [("<http://e/x>", TYPE, f"<{PER}{name}>") for name in ("Person", "Place")]
    verdict = ReasonerProcess().check([*builtin(), *both])
    assert "x type Place" in verdict.inconsistent


@reasoners
def test_reasoners_that_do_not_come_to_an_end_are_ended():
    with pytest.raises(Reject, match=r"within 0\.1 s"):
        ReasonerProcess(0.1).check(builtin())


@pytest.mark.parametrize(("data", "name"), [(b"@prefix", "x.ttl"), (b"<a", "x.owl"), (b"\xff", "x.nt"), (b"", "x.pdf")])
def test_what_is_no_ontology_is_refused(data, name):
    with pytest.raises(Reject, match=name):
        parse(data, name)


def test_what_has_no_name_is_given_one():
    found = named(parse(b"[] <a:p> [ <a:q> 'x\\n\"y' ] .", "x.ttl"), "x")
    assert not [term for triple in found for term in triple if term.startswith("_:")]
    assert '"x\\n\\"y"' in {o for _, _, o in found}
