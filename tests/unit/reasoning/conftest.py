"""Ontologies in Turtle and facts in a few words."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import rdflib

from functions.reasoning.compile import compile_ontology
from functions.reasoning.engine import Reasoner
from functions.reasoning.terms import TYPE, Triple, owl

PREFIXES = """@prefix : <http://example.org/w#> . @prefix owl: <http://www.w3.org/2002/07/owl#> .
@prefix rdfs: <http://www.w3.org/2000/01/rdf-schema#> . @prefix xsd: <http://www.w3.org/2001/XMLSchema#> .
@prefix rdf: <http://www.w3.org/1999/02/22-rdf-syntax-ns#> .
"""


def turtle(text: str) -> list[Triple]:
    """The triples of an ontology."""
    graph = rdflib.Graph().parse(data=PREFIXES + text, format="turtle")
    return [(one.n3(), two.n3(), three.n3()) for one, two, three in graph]


def facts(text: str) -> list[Triple]:
    """Facts such as ``anna a Person; anna knows bob``."""

    def term(word: str) -> str:
        known = {"a": TYPE, "sameAs": owl("sameAs"), "differentFrom": owl("differentFrom")}
        return word if word[0] in '"<' else known.get(word, f"<http://example.org/w#{word}>")

    found = [tuple(map(term, line.split())) for line in text.split(";") if line.strip()]
    return [(one, two, three) for one, two, three in found]


@pytest.fixture
def reasoner() -> Callable[[str], Reasoner]:
    """Makes the reasoner of an ontology in Turtle."""
    return lambda text: Reasoner(compile_ontology(turtle(text)))
