"""Class expressions as atoms and rules: what stands left of an inclusion is asked for, what stands right of it follows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from functions.reasoning.expression import (
    BOTTOM,
    TOP,
    All,
    And,
    Data,
    Expression,
    Itself,
    Max,
    Min,
    Named,
    Not,
    OneOf,
    Or,
    Role,
    Some,
    Value,
    negation,
    normal,
)
from functions.reasoning.rule import CLASH, Atom, Rule
from functions.reasoning.terms import SAME, THING, TYPE, is_literal, owl, rdfs

#: Properties that hold always and never.
ALWAYS = (owl("topObjectProperty"), owl("topDataProperty"))
NEVER = (owl("bottomObjectProperty"), owl("bottomDataProperty"))


class Beyond(Exception):
    """The rules cannot draw this: it is outside of OWL 2 RL."""


class Never(Exception):
    """Nothing is ever in this."""


class Clauses:
    """Collects the rules of an ontology.

    Args:
        objects: its object properties.
        values: its data properties.
        functional: the roles that have at most one value.

    """

    def __init__(self, objects: Iterable[str], values: Iterable[str], functional: Iterable[Role]) -> None:
        self.objects, self.values, self.functional = frozenset(objects), frozenset(values), frozenset(functional)
        self.rules: dict[tuple[object, ...], Rule] = {}
        self.beyond: dict[str, None] = {}
        self._names: dict[Expression, str] = {}
        self._fresh = 0

    def variable(self) -> str:
        """A variable that nobody uses yet."""
        self._fresh += 1
        return f"?{self._fresh}"

    def include(self, left: Expression, right: Expression, name: str, axiom: str) -> None:
        """Everything in ``left`` is in ``right``."""
        left, right = normal(left), normal(right)
        if right == TOP or isinstance(left, Data):
            return
        for part in left.parts if isinstance(left, Or) else (left,):
            try:
                self.head(self.body(part, "?x"), "?x", right, name, axiom)
            except Never:
                continue
            except Beyond as reason:
                self.beyond[f"{axiom}: {reason}"] = None

    def body(self, part: Expression, variable: str) -> list[Atom]:
        """What must hold for ``variable`` to be in it. Raises ``Beyond``, or ``Never`` where nothing is in it."""
        match part:
            case Named(iri):
                if part == BOTTOM:
                    raise Never
                return [] if part == TOP else [Atom(variable, TYPE, iri)]
            case Data(iri):
                if iri == rdfs("Literal"):
                    return []
                raise Beyond(f"literals are opaque, so whether one is in {part} is not known")
            case And():
                joins = [each for each in part.parts if isinstance(each, Some)]
                simple = [each for each in part.parts if each not in joins[1:]]
                atoms = [atom for each in simple for atom in self.body(each, variable)]
                return [*atoms, *(self._auxiliary(each, variable) for each in joins[1:])]
            case Some():
                value, inner = self.variable(), part.filler
                parts = inner.parts if isinstance(inner, And) else (inner,)
                plain = all(isinstance(each, Named | Data) for each in parts)
                asked = self.body(inner, value) if plain else [self._auxiliary(inner, value)]
                return [*self.atom(part.role, variable, value), *asked]
            case Value():
                return self.atom(part.role, variable, part.value)
            case Itself():
                return self.atom(part.role, variable, variable)
            case Or() | OneOf():
                return [self._auxiliary(part, variable)]
            case Not(Data()):
                raise Beyond("literals are opaque")
        raise Beyond(f"nobody can be recognised as being in {part} by facts alone")

    def atom(self, role: Role, subject: str, value: str) -> list[Atom]:
        """The statement of a role. Raises ``Beyond`` for the property of everything, ``Never`` for that of nothing."""
        if role.iri in ALWAYS:
            raise Beyond(f"{role} holds between all individuals")
        if role.iri in NEVER:
            raise Never
        return [Atom(value, role.iri, subject) if role.inverse else Atom(subject, role.iri, value)]

    def head(self, body: Sequence[Atom], variable: str, part: Expression, name: str, axiom: str) -> None:
        """Where ``body`` holds, ``variable`` is in ``part``. Raises ``Never`` where that is never."""
        match part:
            case Named(iri):
                if part == BOTTOM:
                    self.clash(body, (variable, variable), axiom)
                elif part != TOP:
                    self.add(Atom(variable, TYPE, iri), body, name, axiom)
            case And():
                for each in part.parts:
                    self._apart(body, variable, each, name, axiom)
            case Not():
                self.clash([*body, *self.body(part.part, variable)], (variable, variable), axiom)
            case OneOf() if len(part.members) == 1:
                self.add(Atom(variable, SAME, part.members[0]), body, "one of", axiom, different=((variable, part.members[0]),))
            case Or():
                self._either(body, variable, part, name, axiom)
            case All():
                value = self.variable()
                self.head([*body, *self.atom(part.role, variable, value)], value, part.filler, "all values from", axiom)
            case Value():
                self.add_role(part.role, variable, part.value, body, "has value", axiom)
            case Itself():
                self.add_role(part.role, variable, variable, body, "has self", axiom)
            case Max(count=1):
                one, two = self.variable(), self.variable()
                both = [[*self.atom(part.role, variable, each), *self.body(part.filler, each)] for each in (one, two)]
                self.single([*body, *both[0], *both[1]], variable, one, two, part.role, "at most one value", axiom)
            case Some() | Min():
                if part.role in self.functional and not (isinstance(part, Min) and part.count > 1):
                    value = self.variable()
                    found = [*body, *self.atom(part.role, variable, value)]
                    self.head(found, value, part.filler, "the only value", axiom)
                self.beyond[f"{axiom}: who has that value is not named"] = None
            case Data():
                pass
            case _:
                self.beyond[f"{axiom}: {part} says nothing certain of one individual"] = None

    def _apart(self, body: Sequence[Atom], variable: str, part: Expression, name: str, axiom: str) -> None:
        try:
            self.head(body, variable, part, name, axiom)
        except Never:
            pass
        except Beyond as reason:
            self.beyond[f"{axiom}: {reason}"] = None

    def _either(self, body: Sequence[Atom], variable: str, part: Or, name: str, axiom: str) -> None:
        """``A or not B`` follows where ``B`` holds: all parts but one must be negations of what facts can show."""
        atoms = list(body)
        left: list[Expression] = []
        for each in part.parts:
            try:
                if isinstance(each, Named | Value | Itself | OneOf):
                    raise Beyond
                atoms += self.body(normal(negation(each)), variable)
            except Beyond:
                left.append(each)
            except Never:
                return
        if len(left) > 1:
            self.beyond[f"{axiom}: which of {Or(tuple(left))} is not certain"] = None
        else:
            self.head(atoms, variable, left[0] if left else BOTTOM, name, axiom)

    def _auxiliary(self, part: Expression, variable: str) -> Atom:
        """The statement that ``variable`` is in an expression, which gets a name of its own."""
        if part not in self._names:
            name = f"~{part}"
            while name in self._names.values():
                name += "'"
            self._names[part] = name
            alternatives: Sequence[Expression] = part.parts if isinstance(part, Or) else [part]
            made, reasons = False, []
            for each in alternatives:
                try:
                    if isinstance(each, OneOf):
                        for member in each.members:
                            self.add(Atom(member, TYPE, name), [], "one of", str(part))
                    else:
                        self.add(Atom("?x", TYPE, name), self.body(each, "?x"), "expression", str(part))
                    made = True
                except Never:
                    continue
                except Beyond as reason:
                    reasons.append(str(reason))
            if not made:
                del self._names[part]
                raise Beyond(reasons[0]) if reasons else Never
            self.beyond.update(dict.fromkeys(f"{part}: {reason}" for reason in reasons))
        return Atom(variable, TYPE, self._names[part])

    def add_role(self, role: Role, subject: str, value: str, body: Sequence[Atom], name: str, axiom: str) -> None:
        """Where ``body`` holds, ``role`` holds between the two."""
        if role.iri in NEVER:
            self.clash(body, (subject, value), axiom)
        elif role.iri not in ALWAYS:
            self.add(self.atom(role, subject, value)[0], body, name, axiom)

    def single(self, body: Sequence[Atom], owner: str, one: str, two: str, role: Role, name: str, axiom: str) -> None:
        """Where ``body`` holds, ``one`` and ``two`` are the same individual; two literals clash."""
        if role.iri not in self.values:
            self.add(Atom(one, SAME, two), body, name, axiom, different=((one, two),))
        if role.iri not in self.objects and not role.inverse:
            self.clash(body, (owner, owner), axiom, different=((one, two),), literals=(one, two))

    def clash(
        self,
        body: Sequence[Atom],
        about: tuple[str, str],
        axiom: str,
        different: tuple[tuple[str, str], ...] = (),
        literals: tuple[str, ...] = (),
    ) -> None:
        """``body`` must never hold."""
        self.add(Atom(about[0], f"{CLASH}{axiom}", about[1]), body, "clash", axiom, different, literals)

    def add(
        self,
        head: Atom,
        body: Sequence[Atom],
        name: str,
        axiom: str,
        different: tuple[tuple[str, str], ...] = (),
        literals: tuple[str, ...] = (),
    ) -> None:
        """Add a rule, once, unless it says nothing or speaks of what a literal has."""
        atoms = list(dict.fromkeys(body))
        if head in atoms or (is_literal(head.subject) and not head.predicate.startswith(CLASH)):
            return
        known = {each for atom in atoms for each in atom.variables}
        atoms += [Atom(each, TYPE, THING) for each in head.variables if each not in known]
        certain = {atom.subject for atom in atoms} | {atom.object for atom in atoms if atom.predicate in self.objects}
        wanted = [] if head.predicate.startswith(CLASH) else [head.subject]
        wanted += [head.object] if head.predicate == SAME else []
        wanted = [each for each in wanted if each.startswith("?") and each not in certain]
        if any(atom.object in wanted and atom.predicate in self.values for atom in atoms):
            return
        order = dict.fromkeys(each for atom in (*atoms, head) for each in atom.variables)
        names = {each: f"?{place}" for place, each in enumerate(order)}

        def renamed(atom: Atom) -> Atom:
            return Atom(names.get(atom.subject, atom.subject), atom.predicate, names.get(atom.object, atom.object))

        rule = Rule(
            renamed(head),
            tuple(map(renamed, atoms)),
            name,
            axiom,
            tuple((names.get(one, one), names.get(two, two)) for one, two in different),
            tuple(names[each] for each in dict.fromkeys(wanted)),
            tuple(names[each] for each in literals),
        )
        self.rules.setdefault((rule.head, rule.body, rule.different, rule.individuals, rule.literals), rule)
