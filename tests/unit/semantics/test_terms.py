"""Terms as people write them, and as N-Triples do."""

from __future__ import annotations

import pytest

from events.errors import Reject
from functions.semantics.terms import iri, literal, short, value


@pytest.mark.parametrize(
    ("text", "term"),
    [
        ("per:Flood", "<https://sluice.dev/per#Flood>"),
        ("https://example.org/p17", "<https://example.org/p17>"),
        ("<per:Flood>", "<per:Flood>"),  # in brackets it is no prefix
        ("urn:a:b", "<urn:a:b>"),
    ],
)
def test_iris(text: str, term: str) -> None:
    assert iri(text) == term


@pytest.mark.parametrize("text", ["", "p17", "per", "https://a b", "https://a>b", "_:b1", '"x"', "https://a\nb", "<<a:b>>"])
def test_what_is_no_iri_is_refused(text: str) -> None:
    with pytest.raises(Reject, match="no IRI"):
        iri(text)


def test_literals() -> None:
    assert value('"12.5"^^xsd:double') == '"12.5"^^<http://www.w3.org/2001/XMLSchema#double>'
    assert value('"ponte"@it') == '"ponte"@it'
    assert value('"a\\"b"') == '"a\\"b"'
    assert literal('a "b"\n\\', "") == '"a \\"b\\"\\n\\\\"'
    assert value(literal("x\ty")) == '"x\\ty"'
    for broken in ('"open', '"a"b', '"a"^^', '"a\nb"', '"a"^^nothing', '"\\x"'):
        with pytest.raises(Reject):
            value(broken)


def test_terms_for_people() -> None:
    assert short(iri("per:Flood")) == "per:Flood"
    assert short(iri("https://example.org/p17")) == "https://example.org/p17"
    assert short('"5"^^<http://www.w3.org/2001/XMLSchema#integer>') == '"5"'
