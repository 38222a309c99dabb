"""Which shelters people can reach: over places that are connected, and none of them blocked.

A property path of SPARQL follows one property; it cannot leave out the places in between that are blocked. So the places one
can walk between are put together once, and everybody's shelters are those of the part that he is in. Who is in a place that is
blocked may leave it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Mapping


class City:
    """Places by their connections (both ways), without those that are ``blocked``."""

    def __init__(self, connections: Iterable[tuple[str, str]], blocked: Collection[str]) -> None:
        self._next: dict[str, list[str]] = {}
        self._blocked = frozenset(blocked)
        for one, other in dict.fromkeys(connections):
            self._next.setdefault(one, []).append(other)
            self._next.setdefault(other, []).append(one)

    def reachable(self, goals: Collection[str]) -> Mapping[str, tuple[str, ...]]:
        """For every place, the goals one can walk to from it, sorted; a place without any is left out."""
        parts = self._parts()
        there: dict[int, list[str]] = {}
        for goal in sorted(goals):
            if goal in parts:
                there.setdefault(parts[goal], []).append(goal)
        found = {place: tuple(there[part]) for place, part in parts.items() if part in there}
        for place in self._blocked:
            around = {parts[other] for other in self._next.get(place, ()) if other in parts}
            if goals_there := sorted({goal for part in around for goal in there.get(part, ())}):
                found[place] = tuple(goals_there)
        return found

    def way(self, start: str, goals: Collection[str]) -> list[str]:
        """The way from a place to the nearest of these goals, with as few places as possible; empty if none can be reached."""
        came: dict[str, str] = {start: ""}
        waiting = deque([start])
        while waiting:
            place = waiting.popleft()
            if place in goals:
                way = [place]
                while place := came[place]:
                    way.append(place)
                return way[::-1]
            for other in self._next.get(place, ()):
                if other not in came and other not in self._blocked:
                    came[other] = place
                    waiting.append(other)
        return []

    def _parts(self) -> dict[str, int]:
        """The number of the part that each open place is in."""
        parts: dict[str, int] = {}
        for number, start in enumerate(self._next):
            if start in parts or start in self._blocked:
                continue
            parts[start] = number
            waiting = [start]
            while waiting:
                for other in self._next[waiting.pop()]:
                    if other not in parts and other not in self._blocked:
                        parts[other] = number
                        waiting.append(other)
        return parts
