"""The reasoner: facts come and go, and what follows from them stays exactly what an evaluation from scratch would give.

Every derived fact keeps one *support*: the rule and the premises by which it was first found, so the supports never form a
circle. New facts fire the rules semi-naively. When a fact goes, only those that rest on it are doubted, and each is first
offered another proof from facts whose own supports do not lead back to anything doubted; only without one it goes too. What
might still follow in a circle-free way is proved again at the end (DRed, Gupta et al. 1993, with the goal-directed checks of
Backward/Forward, Motik et al. 2015). New facts are added before old ones go, so what both give is never touched; only
equalities wait, for a functional property has two values in between.
"""

from __future__ import annotations

import gc
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from sys import intern

from functions.reasoning.explain import clashes, explain
from functions.reasoning.generate import program
from functions.reasoning.proof import Clash, Proof
from functions.reasoning.rule import Rules
from functions.reasoning.slot import ASSERTED, SAID, SUBJECT, VALUE, Fact, Slot, Support
from functions.reasoning.terms import DIFFERENT, NOTHING, SAME, THING, TYPE, FactError, Triple, is_vocabulary, kind, rdfs

#: Other proofs that are looked at before a fact goes for now, and steps up its supports before a proof counts as doubtful.
PROOFS, STEPS = 8, 500
#: Facts added at once: what they give is kept in memory until all is drawn.
BATCH = 10_000
#: Words of OWL and RDF Schema that facts may use.
_TOLD = (THING, NOTHING, SAME, DIFFERENT, rdfs("label"), rdfs("comment"), rdfs("seeAlso"), rdfs("isDefinedBy"))


@dataclass(frozen=True)
class Delta:
    """What a change did, net, in order of the triples.

    Args:
        gained: triples that are true now, were not, and are not asserted.
        lost: triples that were true without being asserted, and are no more.
        kept: triples that are not asserted any more but still follow: derived from now on.
        covered: derived triples that are asserted from now on.
        clashes: what the ontology does not allow, as far as it is new.

    """

    gained: tuple[Triple, ...] = ()
    lost: tuple[Triple, ...] = ()
    kept: tuple[Triple, ...] = ()
    covered: tuple[Triple, ...] = ()
    clashes: tuple[Clash, ...] = ()


class Reasoner:
    """Facts and what follows from them by the rules of one ontology."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self._classes: dict[str, Slot] = {}
        self._properties: dict[str, Slot] = {}
        self._queue: list[tuple[Slot, str, str | None, Support]] = []
        self._work: list[Fact] = []
        self._broken: set[Fact] = set()
        self._sound: set[Fact] = set()
        self._before: dict[Fact, int] = {}
        self._premises = program(rules.rules, self._slot, self._queue.append, self._work.append)
        self._same, self._thing = self._slot(SAME, ""), self._slot(TYPE, THING)
        for number, rule in enumerate(rules.rules):
            if not rule.body:
                value = None if rule.head.predicate == TYPE else rule.head.object
                self._queue.append((self._slot(*rule.head.slot), rule.head.subject, value, (number,)))
        self._draw(None)
        self._before = {}

    # What it is asked

    def holds(self, triple: Triple) -> bool:
        """Whether the triple is asserted or follows. Everybody who is spoken of is a thing, and the same as himself."""
        subject, predicate, value = triple
        if (predicate, value) == (TYPE, THING) or (predicate == SAME and subject == value):
            return any(True for _ in self._mentions(subject))
        fact = self._find(triple)
        return fact is not None and fact[0].support(*fact[1:]) is not None

    def asserted(self) -> Iterator[Triple]:
        """The triples that were added and not removed."""
        return (slot.triple(x, y) for slot, x, y in self._facts() if slot.support(x, y) is ASSERTED)

    def derived(self) -> Iterator[Triple]:
        """The triples that follow and are not asserted."""
        return (slot.triple(x, y) for slot, x, y in self._facts() if slot.support(x, y) is not ASSERTED)

    def about(self, subject: str) -> list[Triple]:
        """All true triples with this subject."""
        found = [(subject, TYPE, slot.name) for slot in self._classes.values() if subject in slot.facts and not slot.hidden]
        found += [
            (subject, slot.name, value)
            for slot in self._properties.values()
            if not slot.hidden
            for value in slot.facts.get(subject, ())
        ]
        return sorted(found)

    def why(self, triple: Triple) -> Proof | None:
        """Why the triple holds; ``None`` if it does not."""
        fact = self._find(triple)
        return explain(fact, self.rules, self._needs) if fact is not None and fact[0].support(*fact[1:]) is not None else None

    def clashes(self) -> list[Clash]:
        """All that the ontology does not allow. Reasoning goes on beside it."""
        return clashes((fact for slot in self._properties.values() if slot.clash for fact in slot), self.rules, self._needs)

    # How it changes

    def change(self, add: Iterable[Triple] = (), remove: Iterable[Triple] = ()) -> Delta:
        """Assert and retract triples, all or none; a triple in both stays. Unknown retractions are ignored.

        Raises ``FactError`` for what is no fact about individuals, before anything is changed.
        """
        new = dict.fromkeys(self._fact(triple) for triple in add)
        old = [fact for triple in remove if (fact := self._find(triple)) is not None and fact not in new]
        pending: list[tuple[Slot, str, str | None, Support]] | None = [] if old else None
        self._assert(new, pending)
        if old:
            self._retract(old, pending or [])
        return self._delta()

    def restore(self, asserted: Iterable[Triple]) -> None:
        """Assert the triples of an earlier reasoner (see ``asserted``) in an empty one, without telling what follows."""
        collects = gc.isenabled()
        gc.disable()  # it would look through millions of facts again and again, and they hold no circles: half of the time
        try:
            self._assert(dict.fromkeys(self._fact(triple) for triple in asserted), None)
        finally:
            self._before = {}
            if collects:
                gc.enable()

    def _assert(self, facts: Iterable[Fact], pending: list[tuple[Slot, str, str | None, Support]] | None) -> None:
        queue, before = self._queue, self._before
        for fact in facts:
            slot, x, y = fact
            support = slot.support(x, y)
            if support is None:
                queue.append((slot, x, y, ASSERTED))
                if len(queue) >= BATCH:
                    self._draw(pending)
            elif support is not ASSERTED:
                before.setdefault(fact, 1)
                slot.put(x, y, ASSERTED)
        self._draw(pending)

    def _draw(self, pending: list[tuple[Slot, str, str | None, Support]] | None) -> None:
        """Keep what is in the queue, and all that follows; equalities go to ``pending`` if there is one."""
        queue, before, same, everything = self._queue, self._before, self._same, self.rules.everything
        for entry in queue:  # it grows meanwhile
            slot, x, y, support = entry
            if y is None:
                if x in slot.facts:
                    continue
                slot.facts[x] = support
            else:
                if pending is not None and slot is same and support is not ASSERTED:
                    pending.append(entry)
                    continue
                values = slot.facts.get(x)
                if values is None:
                    slot.facts[x] = {y: support}
                elif y in values:
                    continue
                else:
                    values[y] = support
                subjects = slot.back.get(y)
                if subjects is None:
                    slot.back[y] = {x: None}
                else:
                    subjects[x] = None
            before.setdefault((slot, x, y), 0)
            if slot.fire is not None:
                slot.fire(x, y)
            if same.facts and not slot.clash:
                queue.extend(self._equals(slot, x, y))
            if everything and slot.known:
                queue.extend((self._thing, each, None, (SAID, slot, x, y)) for each in self._individuals(slot, x, y))
        queue.clear()

    def _retract(self, facts: Iterable[Fact], pending: list[tuple[Slot, str, str | None, Support]]) -> None:
        work, broken, queue = self._work, self._broken, self._queue
        again: list[Fact] = []
        for fact in facts:
            if fact[0].support(*fact[1:]) is ASSERTED:
                self._before.setdefault(fact, 2)
                work.append(fact)
                broken.add(fact)
        for fact in work:  # it grows meanwhile
            slot, x, y = fact
            if fact not in broken or slot.support(x, y) is None:
                continue
            support, doubtful = self._other(fact)
            if support is not None:
                slot.put(x, y, support)
                broken.discard(fact)
                continue
            if doubtful:
                again.append(fact)
            known = len(work)
            if slot.drop is not None:
                slot.drop(x, y)
            if self._same.facts and not slot.clash:
                work.extend(head[:3] for head in self._equals(slot, x, y) if head[0].support(*head[1:3]) == head[3])
            if self.rules.everything and slot.known:
                said = (SAID, slot, x, y)
                work.extend((self._thing, each, None) for each in (x, y) if each and self._thing.facts.get(each) == said)
            broken.update(work[known:])
            slot.cut(x, y)
            self._before.setdefault(fact, 1)
        work.clear()
        broken.clear()
        self._sound.clear()
        for fact in again:
            if fact[0].support(*fact[1:]) is None:
                queue.extend((*fact, support) for support in self._ways(fact))
        self._draw(None)
        queue.extend(entry for entry in pending if all(each[0].support(*each[1:]) is not None for each in self._needs(*entry)))
        self._draw(None)

    def _equals(self, slot: Slot, x: str, y: str | None) -> Iterator[tuple[Slot, str, str | None, Support]]:
        """What follows from a fact because somebody is the same as somebody."""
        same = self._same.facts
        if slot is self._same:
            assert y is not None  # noqa: S101
            for other in self._classes.values():
                if x in other.facts:
                    yield other, y, None, (SUBJECT, x)
            for other in self._properties.values():
                if not other.clash and other is not slot:
                    for value in other.facts.get(x, ()):
                        yield other, y, value, (SUBJECT, x)
                    for subject in other.back.get(x, ()):
                        yield other, subject, y, (VALUE, x)
            return
        for twin in same.get(x, ()):
            yield slot, twin, y, (SUBJECT, x)
        if y is not None:
            for twin in same.get(y, ()):
                yield slot, x, twin, (VALUE, y)

    def _other(self, fact: Fact) -> tuple[Support | None, bool]:
        """Another support that leads to nothing doubted; else whether there is one that does."""
        tried = 0
        for support in self._ways(fact):
            if self._grounded(self._needs(*fact, support)):
                return support, False
            tried += 1
            if tried == PROOFS:
                break
        return None, tried > 0

    def _ways(self, fact: Fact) -> Iterator[Support]:
        """The ways in which a fact follows from what holds now."""
        slot, x, y = fact
        same = self._same.back
        if slot.prove is not None:
            yield from slot.prove(x, y)
        if same and slot is not self._same and not slot.clash:
            yield from ((SUBJECT, twin) for twin in same.get(x, ()) if slot.support(twin, y) is not None)
            if y is not None:
                yield from ((VALUE, twin) for twin in same.get(y, ()) if slot.support(x, twin) is not None)
        if slot is self._thing and self.rules.everything:
            yield from ((SAID, *said) for said in self._mentions(x))

    def _grounded(self, facts: Iterable[Fact]) -> bool:
        """Whether the supports of these facts lead to nothing doubted."""
        broken, sound = self._broken, self._sound
        seen: set[Fact] = set()
        stack = list(facts)
        while stack:
            fact = stack.pop()
            if fact in seen or fact in sound:
                continue
            if fact in broken or len(seen) == STEPS:
                return False
            seen.add(fact)
            support = fact[0].support(*fact[1:])
            if support is not ASSERTED and support is not None:
                stack.extend(self._needs(*fact, support))
        sound |= seen
        return True

    def _needs(self, slot: Slot, x: str, y: str | None, support: Support) -> tuple[Fact, ...]:
        """The premises of a fact with this support."""
        kind = support[0]
        if kind == "asserted":
            return ()
        if kind >= 0:
            return self._premises[kind](x, y, support)
        if kind == SAID:
            return (support[1:],)
        other = support[1]
        if kind == SUBJECT:
            return (slot, other, y), (self._same, other, x)
        return (slot, x, other), (self._same, other, y)

    # Between triples and facts

    def _slot(self, predicate: str, name: str) -> Slot:
        slots, key = (self._classes, name) if predicate == TYPE else (self._properties, predicate)
        if key not in slots:
            individuals = key in self.rules.objects or key in (SAME, DIFFERENT)
            slots[key] = Slot(predicate, name, "individuals" if individuals else "literals" if key in self.rules.values else "")
        return slots[key]

    def _find(self, triple: Triple) -> Fact | None:
        subject, predicate, value = triple
        slot = self._classes.get(value) if predicate == TYPE else self._properties.get(predicate)
        return None if slot is None else (slot, subject, None if predicate == TYPE else value)

    def _fact(self, triple: Triple) -> Fact:
        """The fact that a triple states; its slot is made if need be. Raises ``FactError``."""
        subject, predicate, value = triple
        slot = self._classes.get(value) if predicate == TYPE else self._properties.get(predicate)
        whose, what = kind(subject), kind(value)
        if slot is None or whose in ("", "literal") or not what or (what == "literal") is (slot.leads == "individuals"):
            slot = self._checked(triple)
        return slot, intern(subject), None if slot.unary else intern(value)

    def _checked(self, triple: Triple) -> Slot:
        """The slot of a triple. Raises ``FactError`` for what is no fact about an individual."""
        text, whose, which, what = " ".join(map(str, triple)), *map(kind, triple)
        _, predicate, value = triple
        if not (whose and what) or whose == "literal" or which != "iri":
            raise FactError(f"{text} is no triple: write IRIs as <...>, blank nodes as _:name, literals in quotes")
        word = value if predicate == TYPE else predicate
        if (is_vocabulary(word) and word not in _TOLD) or (predicate == TYPE and what == "literal"):
            raise FactError(f"{text} speaks of the ontology, not of an individual: publish a new version of the ontology")
        slot = self._slot(predicate, value if predicate == TYPE else "")
        if what == "literal" and slot.leads == "individuals":
            raise FactError(f"{text}: {predicate} leads to individuals, so its value is an IRI, not a literal")
        if what != "literal" and slot.leads == "literals":
            raise FactError(f"{text}: {predicate} is a data property, so its value is a literal in quotes")
        return slot

    def _facts(self) -> Iterator[Fact]:
        slots = (*self._classes.values(), *self._properties.values())
        return (fact for slot in slots if not slot.hidden for fact in slot)

    def _delta(self) -> Delta:
        """What became of the facts that the change touched: 0 stands for false, 1 for derived, 2 for asserted."""
        changes: dict[tuple[int, int], list[Triple]] = {}
        clashed: list[Fact] = []
        for fact, before in self._before.items():
            slot, x, y = fact
            support = slot.support(x, y)
            now = 0 if support is None else 2 if support is ASSERTED else 1
            if now != before:
                if not slot.hidden:
                    changes.setdefault((before, now), []).append(slot.triple(x, y))
                elif slot.clash and now:
                    clashed.append(fact)
        self._before = {}
        gained, lost, kept, covered = (tuple(sorted(changes.get(key, ()))) for key in ((0, 1), (1, 0), (2, 1), (1, 2)))
        return Delta(gained, lost, kept, covered, tuple(clashes(clashed, self.rules, self._needs)))

    def _individuals(self, slot: Slot, x: str, y: str | None) -> Iterator[str]:
        yield x
        if y is not None and slot.leads == "individuals":
            yield y

    def _mentions(self, x: str) -> Iterator[Fact]:
        """Facts that speak of an individual, at most one of each class and property."""
        for slot in self._classes.values():
            if x in slot.facts and slot.known:
                yield slot, x, None
        for slot in self._properties.values():
            if slot.known:
                for y in slot.facts.get(x, ()):
                    yield slot, x, y
                    break
                for subject in slot.back.get(x, ()) if slot.leads == "individuals" else ():
                    yield slot, subject, x
                    break
