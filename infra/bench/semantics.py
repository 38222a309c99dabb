"""Reasoning: what a move costs with all that follows from it, how that grows with the city, and owlrl from scratch.

    python -m infra.bench.semantics [--moves 3000] [--owlrl 3]

The city of ``infra/bench/city.py``: 65 classes, transitive, inverse and symmetric properties, two property chains, five defined
classes. A move retracts a person's position, asserts the new one, and brings zones, hazards and risks up to date. Times are CPU
times. Before they count, the state after all moves is compared with one made from scratch. ``growth_100k`` is the median of a
move among 100,000 individuals over that among 10,000; ``vs_owlrl_1k`` owlrl's CPU over ours from scratch, 1,000 individuals.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time

import owlrl
import rdflib

from functions.reasoning.compile import compile_ontology
from functions.reasoning.engine import Reasoner
from functions.reasoning.rule import Rules
from functions.reasoning.terms import TYPE, Triple
from infra.bench.city import City, ontology, term
from infra.bench.load import Unmeasured
from infra.bench.table import report


def moves(rules: Rules, individuals: int, count: int) -> tuple[float, list[float]]:
    """CPU seconds to reason from scratch, and the CPU ms of each move, in order. Raises ``Unmeasured`` for a wrong state."""
    city = City(individuals)
    reasoner = Reasoner(rules)
    begun = time.process_time()
    reasoner.restore(city.triples)
    start = time.process_time() - begun
    times = []
    for _, (new, old) in zip(range(count), city.moves(), strict=False):
        begun_ns = time.process_time_ns()
        reasoner.change((new,), (old,))
        times.append((time.process_time_ns() - begun_ns) / 1e6)
    fresh = Reasoner(rules)
    fresh.restore(reasoner.asserted())
    if set(fresh.derived()) != set(reasoner.derived()):
        raise Unmeasured(f"after {count} moves among {individuals} individuals the state is not what one from scratch is")
    return start, sorted(times)


def against_owlrl(triples: list[Triple], rounds: int) -> tuple[float, float]:
    """CPU seconds of owlrl and of ours for the same triples, the best of some rounds. Raises ``Unmeasured`` if they differ."""
    facts = City(1000).triples
    text = "".join(f"{one} {two} {three} .\n" for one, two, three in [*triples, *facts])
    theirs, ours = [], []
    for _ in range(rounds):
        begun = time.process_time()
        reasoner = Reasoner(compile_ontology(triples))
        reasoner.restore(facts)
        ours.append(time.process_time() - begun)
        graph = rdflib.Graph().parse(data=text, format="nt")
        begun = time.process_time()
        owlrl.DeductiveClosure(owlrl.OWLRL_Semantics).expand(graph)
        theirs.append(time.process_time() - begun)
    known = {(one.n3(), two.n3(), three.n3()) for one, two, three in graph}
    missing = [triple for triple in reasoner.derived() if triple not in known]
    persons = [triple for triple in known if triple[1:] == (TYPE, term("PersonAtRisk"))]
    if missing or not persons or not all(map(reasoner.holds, persons)):
        raise Unmeasured(f"owlrl and ours do not agree, for example on {(missing or persons)[:1]}")
    return min(theirs), min(ours)


def main() -> int:
    """Measure, print the table and the JSON line; 1 when it cannot be measured."""
    parser = argparse.ArgumentParser(description="Reasoning about a city.")
    parser.add_argument("--moves", type=int, default=3000)
    parser.add_argument("--owlrl", type=int, default=2, help="rounds of owlrl, some ten CPU seconds each")
    options = parser.parse_args()
    triples = ontology()
    rules = compile_ontology(triples)
    rows: list[tuple[object, ...]] = []
    medians: dict[int, float] = {}
    try:
        for individuals in (1000, 10_000, 100_000):
            start, times = moves(rules, individuals, options.moves)
            medians[individuals] = statistics.median(times)
            last = times[len(times) * 95 // 100]
            rows.append((f"{individuals:,}", f"{start:.2f}", f"{medians[individuals]:.3f}", f"{last:.3f}"))
        theirs, ours = against_owlrl(triples, options.owlrl)
    except Unmeasured as error:
        print(f"not measured: {error}", file=sys.stderr)
        return 1
    rows.append(("owlrl, 1,000", f"{theirs:.2f}", "", ""))
    figures = {
        "move_p50_ms_10k": medians[10_000],
        "growth_100k": medians[100_000] / medians[10_000],
        "vs_owlrl_1k": theirs / ours,
    }
    report("reasoning, CPU", ("individuals", "from scratch, s", "a move, median ms", "95 in 100, ms"), rows, figures)
    return 0


if __name__ == "__main__":
    sys.exit(main())
