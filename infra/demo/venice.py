"""A small Venice for the demonstration: islands, streets, squares, canals, bridges, shelters, people, and the water that comes.

The simulator knows the truth - who is where, which places are under water - and tells it as events, nothing else. All of it
follows from the seed.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from functions.semantics.reachable import City

BASE = "https://sluice.dev/venice/"
#: A canal after so many streets, a bridge over it at every so many places.
WIDTH, HEIGHT, BRIDGES = 9, 7, 3
BEGIN = datetime(2026, 11, 12, 6, 0, tzinfo=UTC)
STEP = timedelta(minutes=1)
#: How likely somebody moves in one step; one of so many people is vulnerable.
MOVES, VULNERABLE = 0.6, 20
SOURCE = BASE + "phones"


@dataclass(frozen=True)
class Place:
    """A cell of the map: ``kind`` is its class, ``area`` the island it is part of."""

    iri: str
    kind: str
    x: int
    y: int
    area: str = ""


@dataclass
class Flood:
    """Water over some places, until it is cleared."""

    iri: str
    places: list[str]
    until: int


@dataclass
class Step:
    """What happens in a minute: first the water, then the people. ``at_risk`` is how it is after both."""

    time: str
    hazards: list[dict[str, object]]
    positions: list[dict[str, object]]
    told: set[tuple[str, str, str]] = field(default_factory=set)
    at_risk: frozenset[str] = frozenset()
    wet: frozenset[str] = frozenset()


class Venice:
    """The city and its people. ``columns`` and ``rows`` count islands."""

    def __init__(self, people: int, columns: int = 7, rows: int = 5, seed: int = 7) -> None:
        self._random = random.Random(seed)
        self.width, self.height = columns * (WIDTH + 1) - 1, rows * (HEIGHT + 1) - 1
        self.places = {place.iri: place for place in self._cells()}
        self._at = {(place.x, place.y): place.iri for place in self.places.values() if place.kind != "per:Shelter"}
        self.next = {place.iri: self._neighbours(place) for place in self.places.values() if place.kind != "per:Canal"}
        self.shelters = {place.iri for place in self.places.values() if place.kind == "per:Shelter"}
        streets = sorted(place for place in self.next if place not in self.shelters)
        self.people = {
            f"{BASE}{'vulnerable' if number % VULNERABLE == 0 else 'person'}/{number}": self._random.choice(streets)
            for number in range(people)
        }
        self.floods: list[Flood] = []
        self._raised = 0

    def _cells(self) -> Iterator[Place]:
        for y in range(self.height):
            for x in range(self.width):
                over_x, over_y = (x + 1) % (WIDTH + 1) == 0, (y + 1) % (HEIGHT + 1) == 0
                kind, area = "per:Street", f"{BASE}island/{x // (WIDTH + 1)}-{y // (HEIGHT + 1)}"
                if over_x or over_y:
                    bridged = (y % (HEIGHT + 1)) % BRIDGES == 1 if over_x else (x % (WIDTH + 1)) % BRIDGES == 1
                    kind, area = ("per:Bridge" if bridged and not (over_x and over_y) else "per:Canal"), ""
                elif x % (WIDTH + 1) in (4, 5) and y % (HEIGHT + 1) in (3, 4):
                    kind = "per:Square"
                yield Place(f"{BASE}place/{x}-{y}", kind, x, y, area)
        for number, (x, y) in enumerate(
            (4 + column * (WIDTH + 1), 3 + row * (HEIGHT + 1))
            for column in range(self.width // WIDTH)
            for row in range(self.height // HEIGHT)
            if (column + row) % 3 == 0
        ):
            yield Place(f"{BASE}shelter/{number}", "per:Shelter", x, y)

    def _neighbours(self, place: Place) -> list[str]:
        if place.kind == "per:Shelter":
            return [self._at[place.x, place.y]]
        around = [(place.x + 1, place.y), (place.x - 1, place.y), (place.x, place.y + 1), (place.x, place.y - 1)]
        found = [self._at[each] for each in around if each in self._at]
        found = [each for each in found if self.places[each].kind != "per:Canal"]
        here = [
            each.iri for each in self.places.values() if each.kind == "per:Shelter" and (each.x, each.y) == (place.x, place.y)
        ]
        return found + here

    def map(self) -> Iterator[dict[str, object]]:
        """The city as events: everything that does not move, each with what it is connected to."""
        time = _time(BEGIN - STEP)
        areas = sorted({place.area for place in self.places.values() if place.area})
        for area in areas:
            yield _event("fact.recorded", area, time, {"subject": area, "facts": [("a", "per:Island")]})
        for place in self.places.values():
            facts = [("a", place.kind)]
            if place.area:
                facts.append(("per:partOf", place.area))
            if place.kind == "per:Shelter":
                facts.append(("per:status", "per:Open"))
            facts += [("per:connectedTo", other) for other in self.next.get(place.iri, ())]
            yield _event("fact.recorded", place.iri, time, {"subject": place.iri, "facts": facts})

    def first(self) -> Step:
        """Where everybody is at the beginning."""
        time = _time(BEGIN)
        return Step(time, [], [_position(person, place, time) for person, place in self.people.items()])

    def step(self, number: int) -> Step:
        """The next minute: water comes and goes, then people walk, those in the water the shortest way to a shelter."""
        early, late = _time(BEGIN + number * STEP), _time(BEGIN + number * STEP + STEP / 2)
        made = Step(late, [], [])
        before = self.at_risk
        for flood in [flood for flood in self.floods if flood.until <= number]:
            self.floods.remove(flood)
            made.hazards.append(_event("hazard.cleared", flood.iri, early, {"hazard": flood.iri}))
        for _ in range(2 if number % 3 else 0):
            flood = self._rise(number)
            self.floods.append(flood)
            data = {"hazard": flood.iri, "kind": "per:AcquaAlta", "affects": flood.places, "severity": 2}
            made.hazards.append(_event("hazard.raised", flood.iri, early, data))
        made.wet = self.wet
        made.told |= self._transitions(before, early)
        before, city = self.at_risk, self._city()
        for person, place in self.people.items():
            if person in before:
                way = city.way(place, self.shelters)
                goal = way[1] if len(way) > 1 else place
            elif self._random.random() < MOVES and place not in self.shelters:
                goal = self._random.choice(self.next[place])
            else:
                continue
            if goal != place:
                self.people[person] = goal
                made.positions.append(_position(person, goal, late))
        made.told |= self._transitions(before, late)
        made.at_risk = self.at_risk
        return made

    @property
    def wet(self) -> frozenset[str]:
        """The places under water."""
        return frozenset(place for flood in self.floods for place in flood.places)

    @property
    def at_risk(self) -> frozenset[str]:
        """The people in the water."""
        wet = self.wet
        return frozenset(person for person, place in self.people.items() if place in wet)

    def reachable(self) -> dict[str, tuple[str, ...]]:
        """Each person's shelters that can be reached on dry places."""
        there = self._city().reachable(self.shelters - self.wet)
        return {person: there.get(place, ()) for person, place in self.people.items()}

    def _city(self) -> City:
        connections = ((place, other) for place, around in self.next.items() for other in around)
        return City(connections, self.wet)

    def _rise(self, number: int) -> Flood:
        x, y = self._random.randrange(self.width), self._random.randrange(self.height)
        reach = self._random.randint(2, 4)
        around = [
            each.iri
            for each in self.places.values()
            if each.kind not in ("per:Canal", "per:Shelter") and (each.x - x) ** 2 + (each.y - y) ** 2 <= reach * reach
        ]
        self._raised += 1
        some = around or [next(iter(self.next))]
        return Flood(f"{BASE}flood/{self._raised}", some, number + self._random.randint(2, 4))

    def _transitions(self, before: frozenset[str], time: str) -> set[tuple[str, str, str]]:
        now = self.at_risk
        return {(person, "inferred", time) for person in now - before} | {
            (person, "retracted", time) for person in before - now
        }


def _position(person: str, place: str, time: str) -> dict[str, object]:
    kind = "per:VulnerablePerson" if "/vulnerable/" in person else "per:Person"
    return _event("position.recorded", person, time, {"person": person, "place": place, "kind": kind})


def _event(kind: str, about: str, time: str, data: dict[str, object]) -> dict[str, object]:
    return {
        "specversion": "1.0", "id": f"{kind}/{time}", "source": SOURCE, "type": f"dev.sluice.{kind}.v1", "subject": about,
        "time": time, "datacontenttype": "application/json", "data": data,
    }  # fmt: skip


def _time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
