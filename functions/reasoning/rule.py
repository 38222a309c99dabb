"""Rules: what follows from what. Variables start with ``?``, names that only rules use with ``~``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from functions.reasoning.terms import TYPE, Triple


class Atom(NamedTuple):
    """A statement with variables. Of ``rdf:type`` the object is always a class."""

    subject: str
    predicate: str
    object: str

    @property
    def slot(self) -> tuple[str, str]:
        """What the statement is filed under: a class (with ``rdf:type``) or a property."""
        return (TYPE, self.object) if self.predicate == TYPE else (self.predicate, "")

    @property
    def variables(self) -> tuple[str, ...]:
        """The variables in it, each once, in order."""
        names = (self.subject,) if self.predicate == TYPE else (self.subject, self.object)
        return tuple(dict.fromkeys(name for name in names if name.startswith("?")))


@dataclass(frozen=True)
class Rule:
    """``head`` holds if every atom of the ``body`` does.

    Args:
        head: what follows; all its variables are in the body.
        body: what it needs; empty for what the ontology states of an individual.
        name: the kind of rule, in words.
        axiom: the axiom it comes from, in words.
        different: pairs of variables that must not be bound to the same term.
        individuals: variables that must not be bound to a literal.
        literals: variables that must be bound to a literal.

    """

    head: Atom
    body: tuple[Atom, ...]
    name: str
    axiom: str
    different: tuple[tuple[str, str], ...] = ()
    individuals: tuple[str, ...] = ()
    literals: tuple[str, ...] = ()

    @property
    def witnesses(self) -> tuple[str, ...]:
        """The variables of the body that the head lacks, in order: with the head they name one use of the rule."""
        inner = dict.fromkeys(name for atom in self.body for name in atom.variables)
        return tuple(name for name in inner if name not in self.head.variables)


@dataclass(frozen=True)
class Rules:
    """An ontology as rules.

    ``classes``, ``objects`` and ``values`` are its classes, object properties and data properties; ``beyond`` says, an axiom an
    entry, what OWL 2 RL cannot draw from it; ``everything`` whether a rule asks which individuals there are at all.
    """

    rules: tuple[Rule, ...]
    classes: frozenset[str] = frozenset()
    objects: frozenset[str] = frozenset()
    values: frozenset[str] = frozenset()
    beyond: tuple[str, ...] = ()
    everything: bool = False


#: How the names of what must never hold begin.
CLASH = "~clash "


def hidden(triple: Triple) -> bool:
    """Whether only rules use this: a name for a class expression, or a clash."""
    return triple[1].startswith("~") or triple[2].startswith("~")
