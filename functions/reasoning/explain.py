"""Proofs from supports: what a fact rests on, step by step, down to what was asserted or stated."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from functions.reasoning.proof import Clash, Proof
from functions.reasoning.rule import Rules
from functions.reasoning.slot import ASSERTED, SAID, Fact, Support

Needs = Callable[..., tuple[Fact, ...]]


def explain(fact: Fact, rules: Rules, needs: Needs) -> Proof:
    """The proof of a fact that holds. ``needs`` gives the premises of a fact with a support."""
    return _proofs([fact], rules, needs)[fact]


def clashes(facts: Iterable[Fact], rules: Rules, needs: Needs) -> list[Clash]:
    """The clashes among these facts, each once, in order."""
    found: dict[tuple[str, frozenset[str]], Clash] = {}
    for fact in facts:
        slot, x, y = fact
        support = _support(fact)
        about = tuple(dict.fromkeys(each for each in (x, y) if each is not None))
        rule = rules.rules[support[0]]
        if (rule.axiom, frozenset(about)) not in found:
            premises = list(_visible(needs(slot, x, y, support), needs))
            proofs = _proofs(premises, rules, needs)
            found[rule.axiom, frozenset(about)] = Clash(rule.axiom, about, tuple(proofs[each] for each in premises))
    return [found[key] for key in sorted(found, key=lambda key: (key[0], sorted(key[1])))]


def _proofs(facts: Iterable[Fact], rules: Rules, needs: Needs) -> dict[Fact, Proof]:
    """The proofs of facts and of all that they rest on."""
    made: dict[Fact, Proof] = {}
    stack = list(facts)
    while stack:
        fact = stack[-1]
        slot, x, y = fact
        support = _support(fact)
        premises = list(_visible(needs(slot, x, y, support), needs))
        missing = [each for each in premises if each not in made]
        if fact in made or not missing:
            made.setdefault(fact, Proof(slot.triple(x, y), *_step(support, rules), tuple(made[each] for each in premises)))
            stack.pop()
        else:
            stack.extend(missing)
    return made


def _step(support: Support, rules: Rules) -> tuple[str, tuple[str, ...]]:
    if support is ASSERTED:
        return "asserted", ()
    if support[0] < 0:
        return ("spoken of" if support[0] == SAID else "same individual"), ()
    rule = rules.rules[support[0]]
    return rule.name, (rule.axiom,)


def _visible(facts: Iterable[Fact], needs: Needs) -> Iterable[Fact]:
    """The facts, with what only rules use replaced by what it rests on."""
    stack = list(reversed(list(facts)))
    seen: set[Fact] = set()
    while stack:
        fact = stack.pop()
        if fact in seen:
            continue
        seen.add(fact)
        if fact[0].hidden:
            stack.extend(reversed(needs(*fact, _support(fact))))
        else:
            yield fact


def _support(fact: Fact) -> Support:
    support = fact[0].support(*fact[1:])
    assert support is not None  # noqa: S101 - only facts that hold are explained
    return support
