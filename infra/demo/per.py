"""The PER use case: 10,000 people move through a small Venice, water comes and goes, and the lake knows who is in it.

``python -m infra.demo.per`` starts a lake of its own in a temporary folder, tells it positions and hazards as CloudEvents,
checks what it says against the simulator's truth, and draws the map of it.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console

from infra.console.progress import Progress
from infra.demo.checks import Checks
from infra.demo.per_page import write
from infra.demo.stage import Missing, Stage, wait_for
from infra.demo.subscriber import Subscriber
from infra.demo.venice import BASE, Step, Venice

BATCH, PATIENCE = 500, 300.0
RISK = "<https://sluice.dev/per#PersonAtRisk>"
AT_RISK = "PREFIX per: <https://sluice.dev/per#> SELECT ?person WHERE { ?person a per:PersonAtRisk }"


@dataclass
class Show:
    """The use case, and what it has shown so far."""

    venice: Venice
    console: Console
    checks: Checks = field(default_factory=Checks)
    steps: list[Step] = field(default_factory=list)
    #: What the lake announced: (person, inferred or retracted, since when), in the order of the log.
    announced: list[tuple[str, str, str]] = field(default_factory=list)
    #: The people's places after each step, and those at risk by what the lake announced.
    frames: list[dict[str, Any]] = field(default_factory=list)
    sent: int = 0
    seconds: float = 0.0
    why: str = ""

    def play(self, stage: Stage, steps: int) -> None:
        """Everything, on this stage. Raises ``Missing`` when something does not arrive."""
        endpoints = stage.ready()
        self.console.print(f"a lake at {endpoints.http}, {len(self.venice.people)} people, {len(self.venice.places)} places")
        with Subscriber() as rescuers:
            wanted = {"types": ["dev.sluice.fact.inferred.v1"], "filters": [{"prefix": {"subject": f"{BASE}vulnerable/"}}]}
            stage.api.post("/subscriptions", {"sink": rescuers.url, **wanted})
            self.tell(stage, steps)
            self.listen(stage)
            self.check(stage, [event.data for event in rescuers.events])

    def tell(self, stage: Stage, steps: int) -> None:
        """The map, where everybody is, and then a minute at a time."""
        planned = len(self.venice.places) + len(self.venice.people) * (1 + 0.6 * steps)
        quiet = self.console.quiet
        with Progress("the city", planned, Console(stderr=True), quiet=quiet, unit="events") as bar:
            self.send(stage, self.venice.map(), bar)
            self.settle(stage)
            first = self.venice.first()
            begun = time.monotonic()
            self.send(stage, first.positions, bar)
            self.settle(stage)
            told = len(first.positions)
            self.frame(first)
            for number in range(1, steps + 1):
                step = self.venice.step(number)
                for events in (step.hazards, step.positions):  # who moves meets the water that is there
                    self.send(stage, events, bar)
                    self.settle(stage)
                    told += len(events)
                self.steps.append(step)
                self.frame(step)
            self.seconds = time.monotonic() - begun
        self.sent = told
        pace = f"{told} events in {self.seconds:.1f} s: {told / self.seconds:.0f} events/s, told, reasoned about and answered"
        self.console.print(pace)

    def send(self, stage: Stage, events: Iterable[dict[str, object]], bar: Progress) -> None:
        """Post events in batches."""
        waiting = list(events)
        for start in range(0, len(waiting), BATCH):
            batch = waiting[start : start + BATCH]
            body = msgspec.json.encode(batch)
            for _ in stage.api.upload("/events", body, "application/cloudevents-batch+json"):
                pass
            bar.advance(len(batch))

    def settle(self, stage: Stage) -> None:
        """Wait until nothing is under way."""

        def look() -> bool | None:
            status = stage.api.get("/status")
            return True if status["log"]["waiting"] == 0 else None

        wait_for("the end of all deliveries", look, PATIENCE)

    def frame(self, step: Step) -> None:
        """Remember how it is now, for the map."""
        self.frames.append({"time": step.time, "at": dict(self.venice.people), "wet": sorted(step.wet)})

    def listen(self, stage: Stage) -> None:
        """What the lake has announced of people at risk."""
        for kind in ("inferred", "retracted"):
            after = 0
            while page := stage.api.get("/events", type=f"dev.sluice.fact.{kind}.v1", after=after, limit=5000)["events"]:
                told = [item["event"]["data"] for item in page]
                self.announced += [(each["subject"][1:-1], kind, each["order"]) for each in told if each["object"] == RISK]
                after = page[-1]["seq"]

    def check(self, stage: Stage, rescues: list[Any]) -> None:
        """Hold what the lake says against the truth."""
        hold, truth = self.checks.hold, self.venice
        expected = Counter(told for step in self.steps for told in step.told)
        missing, more = expected - Counter(self.announced), Counter(self.announced) - expected
        shown = f"{len(self.announced)} transitions, {missing.total()} missing, {more.total()} too many"
        hold("every transition is announced exactly once", bool(expected) and not missing and not more, shown)

        def present() -> bool | None:
            return True if stage.api.get("/status")["semantics"]["to_tell"] == 0 else None

        wait_for("the graph store to be told everything", present, PATIENCE)
        found = self.sparql(stage, AT_RISK)
        hold("SPARQL finds exactly the people at risk", found == truth.at_risk, f"{len(found)} of {len(truth.at_risk)}")
        hold("nothing was refused", stage.api.get("/status")["log"]["dead"] == 0, "no dead letters")
        reachable = dict(self.shelters(stage))
        hold(
            "everybody's reachable shelters are those that can be reached",
            reachable == truth.reachable(),
            f"{len(reachable)} people; {sum(not each for each in reachable.values())} have none",
        )
        rescued = {each["subject"][1:-1] for each in rescues if each["object"].endswith("PersonToRescue>")}
        wanted = {person for person, kind, _ in expected if kind == "inferred" and "/vulnerable/" in person}
        hold("the rescuers are told of every vulnerable person at risk", rescued == wanted, f"{len(rescued)} people")
        if person := min(truth.at_risk, default=""):
            proof = stage.api.get("/facts/why", subject=person, **{"class": "per:PersonAtRisk"})["proofs"][0]
            self.why = "\n".join(_lines(proof, 0))
            self.console.print(self.why, soft_wrap=True, markup=False)
            there = self.venice.people[person] in self.why and any(flood.iri in self.why for flood in truth.floods)
            hold("sluice why leads from the risk to the place and the water", there, person)

    def sparql(self, stage: Stage, query: str) -> frozenset[str]:
        """The only variable of a query."""
        bindings = stage.api.get("/sparql", query=query)["results"]["bindings"]
        return frozenset(next(iter(row.values()))["value"] for row in bindings)

    def shelters(self, stage: Stage) -> Iterable[tuple[str, tuple[str, ...]]]:
        """Each person's reachable shelters, as the lake says."""
        after = ""
        while True:
            page = stage.api.get("/facts/shelters", limit=5000, after=after)
            yield from ((each["person"], tuple(each["shelters"])) for each in page["people"])
            after = page["after"]
            if not after:
                return


def _lines(proof: dict[str, Any], depth: int) -> Iterable[str]:
    how = "told" if "told" in proof else proof["rule"]
    yield f"{'  ' * depth}{proof['fact']}  ({how})"
    for premise in proof.get("premises", ()):
        yield from _lines(premise, depth + 1)


def perform(folder: Path, people: int, steps: int, columns: int, rows: int, console: Console) -> Show:
    """Run it in a folder."""
    show = Show(Venice(people, columns, rows), console)
    stage = Stage(folder / "lake")
    try:
        show.play(stage, steps)
    except Missing as error:
        show.checks.hold("everything arrives in time", False, error)
    finally:
        code = stage.stop()
    show.checks.hold("the lake stops cleanly", code == 0, f"exit code {code}")
    return show


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it. Returns 0 if every check held, 1 otherwise."""
    options = _options(arguments)
    console = Console(highlight=False, quiet=options.quiet, width=None if sys.stdout.isatty() else 140)
    folder = Path(tempfile.mkdtemp(prefix="sluice-per-"))
    try:
        show = perform(folder, options.people, options.steps, options.columns, options.rows, console)
        write(options.report, show)
    finally:
        if options.keep:
            console.print(f"the data stay in {folder}", soft_wrap=True)
        else:
            shutil.rmtree(folder, ignore_errors=True)
    console.quiet = False
    console.print(show.checks.table())
    held = sum(check.held for check in show.checks.all)
    console.print(f"{held} of {len(show.checks.all)} checks held. The map: {options.report}", soft_wrap=True)
    return 0 if show.checks.passed else 1


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/demo per", description="People, emergencies, routes: a small Venice.")
    parser.add_argument("--people", type=int, default=10_000, metavar="N", help="how many people move (10000)")
    parser.add_argument("--steps", type=int, default=6, metavar="N", help="how many minutes pass (6)")
    parser.add_argument("--columns", type=int, default=7, metavar="N", help="how many islands side by side (7)")
    parser.add_argument("--rows", type=int, default=5, metavar="N", help="how many rows of islands (5)")
    parser.add_argument("--report", type=Path, default=Path("per.html"), metavar="PATH", help="where the map goes (per.html)")
    parser.add_argument("--keep", action="store_true", help="keep the lake's folder and say where it is")
    parser.add_argument("--quiet", action="store_true", help="show the summary only")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
