"""Each person's reachable shelters, of what the graph store holds now."""

from __future__ import annotations

from typing import Any

from events.ports import GraphStore, NotFound
from functions.semantics.reachable import City
from functions.semantics.terms import iri, short

_PER = "PREFIX per: <https://sluice.dev/per#> "
_CONNECTED = _PER + "SELECT ?a ?b WHERE { ?a per:connectedTo ?b FILTER(STR(?a) < STR(?b)) }"
_BLOCKED = _PER + "SELECT DISTINCT ?place WHERE { { ?place a per:BlockedPassage } UNION { ?place a per:ThreatenedShelter } }"
_SHELTERS = _PER + "SELECT DISTINCT ?shelter WHERE { ?shelter a per:OpenShelter }"
_PEOPLE = (
    _PER + "SELECT ?person ?place WHERE { ?person per:isAt ?place FILTER(STR(?person) > %s) } ORDER BY STR(?person) LIMIT %d"
)
_PERSON = _PER + "SELECT ?place WHERE { %s per:isAt ?place }"


def shelters(store: GraphStore, person: str = "", limit: int = 1000, after: str = "") -> dict[str, Any]:
    """For one person: place, shelters, and the ``way`` to the nearest. Else for the next ``limit`` people behind ``after``.

    Raises ``Reject`` for what is no IRI, ``NotFound`` for a person of whom no place is known.
    """
    city = City(_rows(store, _CONNECTED), [row[0] for row in _rows(store, _BLOCKED)])
    there = city.reachable([row[0] for row in _rows(store, _SHELTERS)])
    if person:
        term = iri(person)
        found = _rows(store, _PERSON % term)
        if not found:
            raise NotFound(f"nobody knows where {short(term)} is")
        place = found[0][0]
        goals = there.get(place, ())
        way = city.way(place, goals) if goals else []
        return {"person": _bare(term), "place": _bare(place), "shelters": sorted(_all(goals)), "way": _all(way)}
    people = _rows(store, _PEOPLE % (_text(after), limit))
    listed = [
        {"person": _bare(who), "place": _bare(place), "shelters": sorted(_all(there.get(place, ())))} for who, place in people
    ]
    return {"people": listed, "after": listed[-1]["person"] if len(listed) == limit and listed else ""}


def _rows(store: GraphStore, sparql: str) -> list[Any]:
    found: Any = store.query(sparql)
    return [tuple(row) for row in found.rows]


def _bare(term: str) -> str:
    return term.strip("<>")


def _all(terms: Any) -> list[str]:
    return [_bare(term) for term in terms]


def _text(value: str) -> str:
    escaped = "".join(f"\\u{ord(each):04X}" if each in '"\\\n\r' else each for each in value)
    return f'"{escaped}"'
