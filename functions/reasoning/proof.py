"""Why something holds, and what must not hold together."""

from __future__ import annotations

from dataclasses import dataclass

from functions.reasoning.terms import Triple, sentence


@dataclass(frozen=True, eq=False)
class Proof:
    """A fact, the rule it follows by, and the proofs of what the rule needed; finite, and nothing rests on itself.

    ``rule`` is ``asserted`` for what was told and ``stated in the ontology`` for what the ontology says of an individual;
    ``axioms`` are those of the ontology that this step used, in words. Proofs of the same fact are shared.
    """

    triple: Triple
    rule: str
    axioms: tuple[str, ...] = ()
    premises: tuple[Proof, ...] = ()

    def lines(self) -> list[str]:
        """The proof for people, conclusion first, premises indented; what was explained before is only named again."""
        told: set[Triple] = set()
        lines: list[str] = []
        stack = [(self, 0)]
        while stack:
            proof, depth = stack.pop()
            again = proof.triple in told and bool(proof.premises)
            reason = "see above" if again else ": ".join((proof.rule, *proof.axioms))
            lines.append(f"{'  ' * depth}{sentence(proof.triple)}  ({reason})")
            if not again:
                told.add(proof.triple)
                stack.extend((premise, depth + 1) for premise in reversed(proof.premises))
        return lines


@dataclass(frozen=True, eq=False)
class Clash:
    """Facts that the ontology does not allow together: the axiom, in words, and the proofs of the facts."""

    axiom: str
    about: tuple[str, ...]
    premises: tuple[Proof, ...]

    def lines(self) -> list[str]:
        """The clash for people."""
        return [self.axiom, *(f"  {line}" for premise in self.premises for line in premise.lines())]
