"""The shapes of data: what they take, and what they refuse, with the message that says why."""

from __future__ import annotations

import pyshacl
import pytest
import rdflib

from functions.ontologies.reading import HERE

PREFIXES = """
@prefix e: <http://e/> .
@prefix per: <https://sluice.dev/per#> .
@prefix sosa: <http://www.w3.org/ns/sosa/> .
@prefix xsd: <http://www.w3.org/2001/XMLSchema#> .
"""
POSITION = 'e:here a per:Position ; per:longitude "12.33"^^xsd:double ; per:latitude "45.43"^^xsd:double'
HAZARD = "e:tide a per:AcquaAlta ; per:affects e:calle1"
OBSERVATION = (
    "e:seen a sosa:Observation, per:PositionObservation ; sosa:hasFeatureOfInterest e:anna ;"
    ' sosa:observedProperty per:Location ; per:observedAt "2026-11-01T10:00:00Z"^^xsd:dateTime'
)
RESULT = '; sosa:resultTime "2026-11-01T10:00:01Z"^^xsd:dateTime ; per:reportsPlace e:calle1'


@pytest.fixture(scope="module")
def shapes() -> rdflib.Graph:
    return rdflib.Graph().parse(HERE / "per-shapes.ttl")


def judged(shapes: rdflib.Graph, data: str) -> tuple[bool, str]:
    conforms, _, text = pyshacl.validate(rdflib.Graph().parse(data=PREFIXES + data, format="turtle"), shacl_graph=shapes)
    return conforms, text


def test_the_shapes_are_shapes(shapes):
    assert pyshacl.validate(rdflib.Graph(), shacl_graph=shapes, meta_shacl=True)[0]


@pytest.mark.parametrize(
    "data",
    [
        f"{POSITION} .",
        f'{POSITION} ; per:accuracy "0"^^xsd:double .',
        'e:pole a per:Position ; per:longitude "-180"^^xsd:double ; per:latitude "90"^^xsd:double .',
        f"{HAZARD} , e:calle2 ; per:status per:Active ; per:severity 5 .",
        f'{HAZARD} ; per:status per:Cleared ; per:ended "2026-11-01T10:00:00Z"^^xsd:dateTime .',
        f"{OBSERVATION} {RESULT} .",
    ],
)
def test_what_is_well_formed_is_taken(shapes, data):
    conforms, text = judged(shapes, data)
    assert conforms, text


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (f'{POSITION} ; per:longitude "13"^^xsd:double .', "a position has one per:longitude"),
        ('e:here a per:Position ; per:longitude "12"^^xsd:double .', "a position has one per:latitude"),
        (POSITION.replace("12.33", "180.5") + " .", "a position has one per:longitude"),
        (POSITION.replace("45.43", "-91") + " .", "a position has one per:latitude"),
        (POSITION.replace('"45.43"^^xsd:double', "45.43") + " .", "a position has one per:latitude"),
        (f'{POSITION} ; per:accuracy "-1"^^xsd:double .', "in metres, not negative"),
        ("e:tide a per:AcquaAlta ; per:status per:Active .", "a hazard affects at least one place"),
        ('e:tide a per:Flood ; per:affects "calle 1" ; per:status per:Active .', "a hazard affects at least one place"),
        (f"{HAZARD} .", "a hazard has one per:status"),
        (f"{HAZARD} ; per:status per:Open .", "a hazard has one per:status"),
        (f"{HAZARD} ; per:status per:Active, per:Cleared .", "a hazard has one per:status"),
        (f"{HAZARD} ; per:status per:Active ; per:severity 6 .", "from 1 to 5"),
        (f"{HAZARD} ; per:status per:Active ; per:severity 2.5 .", "from 1 to 5"),
        (f'{HAZARD} ; per:status per:Active ; per:began "yesterday" .', "per:began is one xsd:dateTime"),
        (f"{OBSERVATION} .", "one sosa:resultTime"),
        (f"{OBSERVATION} {RESULT} .".replace("e:anna", '"Anna"'), "exactly one thing"),
        (f"{OBSERVATION} {RESULT} ; sosa:hasFeatureOfInterest e:ben .", "exactly one thing"),
        (f"{OBSERVATION} {RESULT.replace('per:reportsPlace', 'per:liesIn')} .", "exactly one place"),
    ],
)  # fmt: skip
def test_what_is_malformed_is_refused_and_told_why(shapes, data, message):
    conforms, text = judged(shapes, data)
    assert not conforms
    assert message in text
