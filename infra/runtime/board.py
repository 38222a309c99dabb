"""The slices of a map and what was answered of them. Nothing here takes longer for having many slices, but their order does."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

from functions.formats.format import Slice
from functions.planner.coverage import volume
from infra.runtime.journal import Outcome, Place


class Board:
    """Each slice by its place, and each outcome. A slice may be replaced by its pieces: they come in its place in the order.

    Attributes:
        parts: the slices.
        outcomes: of those that are answered, well or not.

    """

    def __init__(self, slices: Sequence[Slice]) -> None:
        self.parts: dict[Place, Slice] = {(number,): part for number, part in enumerate(slices)}
        self.outcomes: dict[Place, Outcome] = {}
        self._order: list[Place] = list(self.parts)
        self._bytes, self._answered = sum(map(volume, slices)), 0

    def __len__(self) -> int:
        return len(self.parts)

    @property
    def order(self) -> list[Place]:
        """The places in the order of the results."""
        if not self._order:
            self._order = sorted(self.parts)
        return self._order

    @property
    def complete(self) -> bool:
        """Whether all are answered."""
        return len(self.outcomes) == len(self.parts)

    @property
    def share(self) -> float:
        """How much is answered, by volume: 0 to 1."""
        return self._answered / self._bytes if self._bytes else 0.0

    def waits(self, place: Place) -> bool:
        """Whether there still is such a slice, and it is not answered."""
        return place in self.parts and place not in self.outcomes

    def answer(self, place: Place, outcome: Outcome) -> None:
        """It is answered."""
        self.outcomes[place] = outcome
        self._answered += volume(self.parts[place])

    def replace(self, place: Place, pieces: Sequence[Slice]) -> list[Place]:
        """Put the pieces of a slice in its place; their places."""
        self._bytes += sum(map(volume, pieces)) - volume(self.parts.pop(place))
        made = {(*place, number): piece for number, piece in enumerate(pieces)}
        self.parts |= made
        self._order = []
        return list(made)

    def merge(self, places: Sequence[Place], whole: Slice) -> Place:
        """Put one slice in the place of these neighbours that it holds together; its place is the first one's."""
        self._bytes += volume(whole) - sum(volume(self.parts.pop(place)) for place in places)
        self.parts[places[0]] = whole
        self._order = []
        return places[0]

    def after(self, place: Place) -> Place | None:
        """The next one in the order; ``()`` is before the first."""
        at = bisect_right(self.order, place)
        return self.order[at] if at < len(self.order) else None
