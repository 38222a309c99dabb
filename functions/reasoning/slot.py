"""Where facts are kept: one slot for each class and each property, with what each fact rests on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from functions.reasoning.rule import CLASH
from functions.reasoning.terms import THING, TYPE, Triple

#: What a fact rests on: a rule's number and its witnesses, or ``ASSERTED``.
Support = tuple[Any, ...]
ASSERTED: Support = ("asserted",)
#: Kinds of support that no rule of the ontology gives: an equal subject, an equal value, anything said of an individual.
SUBJECT, VALUE, SAID = -1, -2, -3


class Slot:
    """The facts of a class (``x`` is in it) or a property (``x`` has the value ``y``).

    ``facts`` of a class are supports by member, those of a property supports by subject and value; ``back`` has the subjects
    of a property by value. ``leads`` says whether a property leads to ``individuals`` or ``literals``, if that is known;
    ``known`` whether the ontology has it. ``fire``, ``drop`` and ``prove`` are the program for it.
    """

    __slots__ = ("back", "clash", "drop", "facts", "fire", "hidden", "known", "leads", "name", "prove", "unary")

    def __init__(self, predicate: str, name: str, leads: str) -> None:
        self.unary = predicate == TYPE
        self.name = name if self.unary else predicate
        self.leads = leads
        self.hidden = self.name.startswith("~")
        self.known = not self.hidden and (bool(leads) or (self.unary and name != THING))
        self.clash = self.name.startswith(CLASH)
        self.facts: dict[str, Any] = {}
        self.back: dict[str, dict[str, None]] = {}
        self.fire: Callable[[str, str | None], None] | None = None
        self.drop: Callable[[str, str | None], None] | None = None
        self.prove: Callable[[str, str | None], Iterator[Support]] | None = None

    def support(self, x: str, y: str | None) -> Support | None:
        """What the fact rests on; ``None`` if it does not hold."""
        found = self.facts.get(x)
        return found if y is None or found is None else found.get(y)

    def put(self, x: str, y: str | None, support: Support) -> None:
        """Keep the fact, or change what it rests on."""
        if y is None:
            self.facts[x] = support
        else:
            self.facts.setdefault(x, {})[y] = support
            self.back.setdefault(y, {})[x] = None

    def cut(self, x: str, y: str | None) -> None:
        """Forget the fact."""
        if y is None:
            del self.facts[x]
            return
        for index, one, two in ((self.facts, x, y), (self.back, y, x)):
            del index[one][two]
            if not index[one]:
                del index[one]

    def __iter__(self) -> Iterator[Fact]:
        """All facts in it."""
        if self.unary:
            return ((self, x, None) for x in self.facts)
        return ((self, x, y) for x, values in self.facts.items() for y in values)

    def triple(self, x: str, y: str | None) -> Triple:
        """The fact as a triple."""
        return (x, TYPE, self.name) if y is None else (x, self.name, y)


Fact = tuple[Slot, str, str | None]
