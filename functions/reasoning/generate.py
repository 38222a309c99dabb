"""The program of a set of rules: Python written for exactly these joins, an order of magnitude faster than a loop over rules.

For each class and property that a rule mentions there is a slot with up to three functions: ``fire(x, y)`` pushes what follows
from a new fact, ``drop(x, y)`` tells which facts rest on a fact that goes, and ``prove(x, y)`` yields the ways in which a fact
follows from what holds now. A way (a *support*) is a rule's number and the values of its witnesses. Names and literals of the
ontology reach the program as objects, never as source text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from functions.reasoning.rule import Atom, Rule
from functions.reasoning.slot import Fact, Slot, Support
from functions.reasoning.terms import TYPE

Premises = Callable[[str, str | None, Support], tuple[Fact, ...]]


def program(
    rules: tuple[Rule, ...],
    slot: Callable[[str, str], Slot],
    push: Callable[[tuple[Slot, str, str | None, Support]], None],
    lose: Callable[[Fact], None],
) -> list[Premises]:
    """Write and load the program; gives, for each rule, the function from a use of it to the facts that it needed.

    ``slot`` finds or makes the slot of a predicate and class; ``push`` takes what follows, ``lose`` what loses its support.
    """
    return _Writer(rules, slot, push, lose).load()


class _Writer:
    def __init__(self, rules: tuple[Rule, ...], slot: Callable[[str, str], Slot], push: object, lose: object) -> None:
        self.rules = rules
        self.slot = slot
        self.names: dict[Slot, int] = {}
        self.constants: dict[str, str] = {}
        self.space: dict[str, Any] = {"push": push, "lose": lose, "E": {}}

    def load(self) -> list[Premises]:
        parts: dict[tuple[str, int], list[str]] = {}
        lines: list[str] = []
        for number, rule in enumerate(self.rules):
            self.space[f"S{number}"] = (number,)
            for place, atom in enumerate(rule.body):
                key = self._index(atom)
                parts.setdefault(("fire", key), []).extend(_Block(self, number, rule).fire(place))
                parts.setdefault(("drop", key), []).extend(_Block(self, number, rule).drop(place))
            parts.setdefault(("prove", self._index(rule.head)), []).extend(_Block(self, number, rule).prove())
            lines += [f"def premises{number}(x, y, s):", f"    return ({_Block(self, number, rule).premises()})"]
        for (kind, key), body in parts.items():
            lines += [f"def {kind}{key}(x, y):", *body]
        exec(compile("\n".join(lines), "<rules>", "exec"), self.space)  # noqa: S102 - the source is made above, of numbers only
        for slot, key in self.names.items():
            for kind in ("fire", "drop", "prove"):
                setattr(slot, kind, self.space.get(f"{kind}{key}"))
        return [self.space[f"premises{number}"] for number in range(len(self.rules))]

    def _index(self, atom: Atom) -> int:
        slot = self.slot(*atom.slot)
        key = self.names.setdefault(slot, len(self.names))
        self.space |= {f"K{key}": slot, f"F{key}": slot.facts, f"B{key}": slot.back}
        return key

    def constant(self, term: str) -> str:
        name = self.constants.setdefault(term, f"C{len(self.constants)}")
        self.space[name] = term
        return name


class _Block:
    """The lines for one rule in one function."""

    def __init__(self, writer: _Writer, number: int, rule: Rule) -> None:
        self.writer, self.number, self.rule = writer, number, rule
        self.bound: dict[str, str] = {}
        self.lines: list[str] = []
        self.depth = 1
        self.conditions: list[str] = []
        self.guards: list[tuple[tuple[str, ...], str]] = [
            *((pair, "{} != {}") for pair in rule.different),
            *(((each,), "{}[0] != '\"'") for each in rule.individuals),
            *(((each,), "{}[0] == '\"'") for each in rule.literals),
        ]

    def fire(self, place: int) -> list[str]:
        """Join the other atoms with a new fact of the atom at ``place``; push the head unless it holds."""
        self._match(self.rule.body[place])
        rest = [atom for other, atom in enumerate(self.rule.body) if other != place]
        head, checked = self.rule.head, -1
        for _ in self._join(rest):
            if checked < 0 and self._known(head):
                self.conditions.append(self._absent(head))
                checked = self.depth
        push = f"push(({self._fact(head)}, {self._support()}))"
        inner = self._line(push)
        if inner > checked + 1 and self.lines[-2].lstrip().startswith("for "):
            self.lines.append(f"{'    ' * inner}break")
        return self.lines

    def drop(self, place: int) -> list[str]:
        """Find the heads that rest on the atom at ``place``: only as many atoms are joined as it takes to know the head."""
        self._match(self.rule.body[place])
        rest = [atom for other, atom in enumerate(self.rule.body) if other != place]
        head = self.rule.head
        steps = self._join(rest)
        while not self._known(head):
            next(steps)
        key, x, y = self._parts(head)
        found = f"F{key}.get({x})" if y is None else f"F{key}.get({x}, E).get({y})"
        if not self.rule.witnesses:
            self.conditions.append(f"{found} is S{self.number}")
        else:
            self._line(f"s = {found}")
            self.conditions.append(f"s is not None and s[0] == {self.number}")
            for spot, name in enumerate(self.rule.witnesses, 1):
                if name in self.bound:
                    self.conditions.append(f"s[{spot}] == {self.bound[name]}")
        self._line(f"lose(({self._fact(head)}))")
        return self.lines

    def prove(self) -> list[str]:
        """Join the whole body, the head being given."""
        self._match(self.rule.head)
        for _ in self._join(list(self.rule.body)):
            pass
        self._line(f"yield {self._support()}")
        return self.lines

    def premises(self) -> str:
        """The facts of the body, the head and the witnesses being given."""
        head = self.rule.head
        self.bound = {name: f"s[{spot}]" for spot, name in enumerate(self.rule.witnesses, 1)}
        if head.predicate != TYPE and head.object.startswith("?"):
            self.bound[head.object] = "y"
        if head.subject.startswith("?"):
            self.bound[head.subject] = "x"
        return "".join(f"({self._fact(atom)}), " for atom in self.rule.body)

    def _match(self, atom: Atom) -> None:
        """Bind the variables of an atom to the function's arguments."""
        for term, name in ((atom.subject, "x"), (atom.object, "y")):
            if name == "y" and atom.predicate == TYPE:
                continue
            if not term.startswith("?"):
                self.conditions.append(f"{name} == {self.writer.constant(term)}")
            elif term in self.bound:
                self.conditions.append(f"{name} == {self.bound[term]}")
            else:
                self.bound[term] = name
        self._guard()

    def _join(self, rest: list[Atom]) -> Iterator[None]:
        """Write one atom after the other, what is known best first; stops before each, and once at the end."""
        yield
        while rest:
            atom = min(rest, key=self._cost)
            rest.remove(atom)
            key, x, y = self._parts(atom)
            if self._known(atom):
                self.conditions.append(f"{x} in F{key}" if y is None else f"{y} in F{key}.get({x}, E)")
            elif y is not None and not self._has(atom.subject) and not self._has(atom.object):
                self._loop(atom.subject, [f"F{key}"])
                rest.insert(0, atom)
            else:
                unknown = next(name for name in atom.variables if name not in self.bound)
                alike = [each for each in rest if {name for name in each.variables if name not in self.bound} == {unknown}]
                alike = [each for each in alike if each.predicate == TYPE or each.subject != each.object]
                rest[:] = [each for each in rest if each not in alike]
                self._loop(unknown, list(map(self._source, [atom, *alike])))
            yield

    def _source(self, atom: Atom) -> str:
        """The index of what an atom's one unknown variable can be."""
        key, x, y = self._parts(atom)
        return f"F{key}" if y is None else f"F{key}.get({x}, E)" if x else f"B{key}.get({y}, E)"

    def _cost(self, atom: Atom) -> int:
        if self._known(atom):
            return 0
        if atom.predicate == TYPE:
            return 2
        return 1 if self._has(atom.subject) or self._has(atom.object) else 3

    def _loop(self, variable: str, sources: list[str]) -> None:
        """Run through what all the sources have, the smallest of them first."""
        name, parts = f"v{len(self.bound)}", sources
        if len(sources) > 1:
            parts = [f"d{len(self.bound)}_{place}" for place in range(len(sources))]
            for part, source in zip(parts, sources, strict=True):
                self._line(f"{part} = {source}")
        smallest = parts[0]
        if len(parts) == 2:
            smallest = "({0} if len({0}) < len({1}) else {1})".format(*parts)
        elif len(parts) > 2:
            smallest = f"min({', '.join(parts)}, key=len)"
        self._line(f"for {name} in {smallest}:")
        self.depth += 1
        self.bound[variable] = name
        self.conditions += [f"{name} in {part}" for part in parts if len(parts) > 1]
        self._guard()

    def _guard(self) -> None:
        for names, text in list(self.guards):
            if all(self._has(name) for name in names):
                self.guards.remove((names, text))
                self.conditions.append(text.format(*map(self._value, names)))

    def _line(self, text: str) -> int:
        if self.conditions:
            self.lines.append(f"{'    ' * self.depth}if {' and '.join(self.conditions)}:")
            self.conditions = []
            self.depth += 1
        self.lines.append(f"{'    ' * self.depth}{text}")
        return self.depth

    def _has(self, term: str) -> bool:
        return not term.startswith("?") or term in self.bound

    def _known(self, atom: Atom) -> bool:
        return all(name in self.bound for name in atom.variables)

    def _value(self, term: str) -> str:
        return self.bound[term] if term.startswith("?") else self.writer.constant(term)

    def _parts(self, atom: Atom) -> tuple[int, str, str | None]:
        x = self._value(atom.subject) if self._has(atom.subject) else ""
        y = None if atom.predicate == TYPE else self._value(atom.object) if self._has(atom.object) else ""
        return self.writer._index(atom), x, y

    def _absent(self, atom: Atom) -> str:
        key, x, y = self._parts(atom)
        return f"{x} not in F{key}" if y is None else f"{y} not in F{key}.get({x}, E)"

    def _fact(self, atom: Atom) -> str:
        key, x, y = self._parts(atom)
        return f"K{key}, {x}, {y}"

    def _support(self) -> str:
        values = "".join(f"{self.bound[name]}, " for name in self.rule.witnesses)
        return f"({self.number}, {values})" if values else f"S{self.number}"
