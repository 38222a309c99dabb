"""Reachable shelters, against a search from every place."""

from __future__ import annotations

import random
from collections import deque

from functions.semantics.reachable import City


def searched(connections: set[tuple[str, str]], blocked: set[str], goals: set[str], start: str) -> tuple[str, ...]:
    seen, waiting = {start}, deque([start])
    while waiting:
        place = waiting.popleft()
        for one, other in connections:
            for here, there in ((one, other), (other, one)):
                if here == place and there not in seen and there not in blocked:
                    seen.add(there)
                    waiting.append(there)
    return tuple(sorted(goal for goal in goals & seen if goal not in blocked))


def test_every_place_reaches_what_a_search_finds() -> None:
    chance = random.Random(3)
    for _ in range(40):
        places = [f"p{number}" for number in range(12)]
        connections = {(chance.choice(places), chance.choice(places)) for _ in range(14)}
        blocked, goals = set(chance.sample(places, 3)), set(chance.sample(places, 4))
        city = City(connections, blocked)
        reachable = city.reachable(goals)
        for place in {each for pair in connections for each in pair}:
            expected = searched(connections, blocked, goals, place)
            assert reachable.get(place, ()) == expected, (connections, blocked, goals, place)
            way = city.way(place, set(expected))
            assert bool(way) == bool(expected)
            assert not way or (way[0] == place and way[-1] in expected and not blocked & set(way[1:]))
