"""The acts of the demonstration, in order. Each does one thing, shows it, and checks it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console

from events.event import Event
from infra.console import text
from infra.console.catalog import entries_table
from infra.console.events import line_of
from infra.console.plan import interval, plan_table
from infra.demo import inputs, tasks
from infra.demo.checks import Checks
from infra.demo.stage import Stage, plain, tail, wait_for
from infra.demo.subscriber import Subscriber
from infra.demo.ways import ways

LAKE, MODELS, MODEL = "observatory", "models", "digits/model.onnx"
#: What a lake on two busy cores surely manages.
PATIENCE = 40.0
#: Slices of the table, so that there are more than workers.
SLICES = 6
#: Broken object -> what its cause must say.
CAUSES = {"truncated.fits": "cut off", "empty.csv": "empty", "no-measurement-set.ms.zip": "table.dat"}


@dataclass
class Run:
    """One map: what was planned before it, what it took, and whether its parts add up to the whole."""

    name: str
    plan: dict[str, Any]
    executed: dict[str, Any]
    slices: int
    exact: bool
    total: dict[str, int]


@dataclass
class Made:
    """The files to upload."""

    good: list[Path]
    models: tuple[Path, Path]
    broken: tuple[Path, Path, Path]
    observation: Path


@dataclass
class Show:
    """The demonstration, and what it has shown so far."""

    folder: Path
    console: Console
    checks: Checks = field(default_factory=Checks)
    events: list[dict[str, Any]] = field(default_factory=list)
    entries: list[dict[str, Any]] = field(default_factory=list)
    letters: list[dict[str, Any]] = field(default_factory=list)
    received: list[Event] = field(default_factory=list)
    plans: dict[str, dict[str, Any]] = field(default_factory=dict)
    runs: list[Run] = field(default_factory=list)

    def play(self, stage: Stage) -> None:
        """Everything, on this stage. Raises ``Missing`` when something does not arrive."""
        self.act("The lake starts, the inputs are made")
        with ThreadPoolExecutor(1) as pool:
            making = pool.submit(self.make)
            endpoints = stage.ready()
            made = making.result()
        self.console.print(f"S3 {endpoints.s3}   HTTP {endpoints.http}")
        with Subscriber() as subscriber, tail(endpoints.http, self.tell) as self.events:
            self.received = subscriber.events
            wanted = {"types": ["dev.sluice.model.published.v1"], "filters": [{"prefix": {"subject": f"{MODELS}/"}}]}
            stage.api.post("/subscriptions", {"sink": subscriber.url, **wanted})
            self.upload(stage, made)
            self.catalogued(stage, made)
            self.dead_letters(stage)
            self.published(stage)
            self.planned(stage, made)

    def act(self, title: str) -> None:
        """Begin a part."""
        self.console.rule(f"[bold]{title}", align="left")

    def tell(self, accepted: dict[str, Any]) -> None:
        """Show one event, live."""
        self.console.print(line_of(accepted), soft_wrap=True)

    def make(self) -> Made:
        """The inputs, really of their formats."""
        folder = self.folder / "inputs"
        folder.mkdir()
        image = inputs.image(folder)
        good = [*inputs.digits(folder), inputs.observation(folder), image]
        return Made(good, inputs.models(folder), inputs.broken(folder, image), folder / "observation.ms")

    def upload(self, stage: Stage, made: Made) -> None:
        """Through boto3, as any program would. The second model follows once the first is published: both count."""
        self.act("Objects are uploaded with boto3; every event as it is accepted")
        for bucket in (LAKE, MODELS):
            stage.s3.create_bucket(Bucket=bucket)
        for file in (*made.good, *made.broken):
            stage.s3.upload_file(str(file), LAKE, file.name)
        for version, file in enumerate(made.models, 1):
            stage.s3.upload_file(str(file), MODELS, MODEL)

            def seen(version: int = version) -> bool | None:
                return True if len(stage.api.get("/models", repository=MODELS)["models"]) >= version else None

            wait_for(f"model.published of version {version} of {MODELS}/{MODEL}", seen, PATIENCE)

    def catalogued(self, stage: Stage, made: Made) -> None:
        """Every good object is ready in the catalogue, with what its own library says of it."""
        wanted = {file.name for file in made.good}

        def look() -> list[dict[str, Any]] | None:
            entries = list(stage.api.pages(limit=0))
            ready = {entry["key"] for entry in entries if entry["state"] == "ready" and entry["bucket"] == LAKE}
            failed = [entry for entry in entries if entry["state"] == "failed"]
            return entries if ready >= wanted and len(failed) >= len(CAUSES) else None

        self.entries = wait_for(
            f"the catalogue entries of {', '.join(sorted(wanted))} and {len(CAUSES)} failures", look, PATIENCE
        )
        self.settle(stage)
        self.act("The catalogue")
        self.console.print(entries_table(self.entries))
        for way in ways(self.events):
            self.console.print(f"{way.name}: {way.told}", soft_wrap=True, markup=False)
        mine = [entry for entry in self.entries if entry["bucket"] == LAKE or entry["key"] == MODEL]
        formats = {entry["key"]: entry["format"] for entry in mine if entry["state"] == "ready"}
        expected = {"digits.csv": "csv", "digits.parquet": "parquet", "observation.ms.zip": "measurementset"}
        expected |= {"image.fits": "fits", MODEL: "onnx"}
        self.checks.hold("every object is catalogued by its format", formats == expected, ", ".join(sorted(formats.values())))
        rows = {entry["metadata"].get("rows") for entry in self.entries if entry["key"].startswith("digits.")}
        self.checks.hold("CSV and Parquet tell the same 1797 rows", rows == {1797}, f"rows {sorted(rows)}")
        found = list(stage.api.pages(where=["rows>=1000"], format="measurementset", limit=0))
        self.checks.hold("a search by metadata finds the MeasurementSet", len(found) == 1, "rows>=1000, format measurementset")

    def dead_letters(self, stage: Stage) -> None:
        """Exactly the broken objects failed, and say why."""
        self.act("The dead letters")
        self.letters = stage.api.get("/dead-letters")["dead_letters"]
        for letter in self.letters:
            self.console.print(f"{letter['function']}: {letter['cause']}", soft_wrap=True, markup=False)
        causes = [letter["cause"] for letter in self.letters]
        clear = all(any(key in cause and word in cause for cause in causes) for key, word in CAUSES.items())
        self.checks.hold(
            "three broken objects are three dead letters with their causes",
            len(causes) == 3 and clear,
            f"{len(causes)} dead letters",
        )
        failed = {entry["key"] for entry in self.entries if entry["state"] == "failed" and entry["cause"]}
        self.checks.hold("the catalogue shows them as failed", failed == set(CAUSES), f"{len(failed)} entries")

    def published(self, stage: Stage) -> None:
        """The subscriber heard of both versions, in order."""
        self.act("What the subscriber received")

        def both() -> bool | None:
            return True if len(self.received) >= 2 else None

        wait_for("model.published of two versions at the subscriber", both, PATIENCE)
        told = [(event.type, event.subject, event.data["version"], event.data["metadata"]) for event in self.received]
        for kind, subject, version, _ in told:
            self.console.print(f"{kind}: {subject} version {version}")
        right = [(subject, version) for _, subject, version, _ in told] == [(f"{MODELS}/digits", 1), (f"{MODELS}/digits", 2)]
        self.checks.hold(
            "the subscriber received versions 1 and 2 of the model, once each, in order", right, f"{len(told)} events"
        )

    def planned(self, stage: Stage, made: Made) -> None:
        """A plan knows nothing before the first map and predicts after it; maps over slices equal the whole."""
        from pyarrow import csv

        from infra.runtime.lithops import SluiceExecutor

        table, observation = f"s3://{LAKE}/digits.csv", f"s3://{LAKE}/observation.ms.zip"
        whole = tasks.column_sums(csv.read_csv(made.good[0]))
        self.checks.hold(
            "before any run a plan says that nothing is known", self.ask(stage, "before", table)["basis"] == "none"
        )
        with SluiceExecutor(sluice=stage.config, config={}, api=stage.endpoints.http, progress=False) as executor:
            self.map(executor, "column_sums of the table, first run", tasks.column_sums, table, whole, SLICES)
            self.learned(stage, 1)
            after = self.ask(stage, "after", table)
            self.checks.hold(
                "after a run it predicts from the profile", after["basis"] == "profile" and bool(after.get("time_s"))
            )
            again = self.map(executor, "column_sums of the table, second run", tasks.column_sums, table, whole, SLICES)
            self.learned(stage, 2)
            predicted, seconds = again.plan["time_s"], again.executed["seconds"]
            shown = f"predicted {interval(predicted, text.seconds)}, measured {text.seconds(seconds)}"
            self.checks.hold(
                "the second run is predicted before it starts, and measured", again.plan["basis"] == "profile", shown
            )
            whole = tasks.visibilities(str(made.observation))
            self.map(executor, "visibilities of the MeasurementSet", tasks.visibilities, observation, whole)
        self.learned(stage, 1, "visibilities")
        self.settle(stage)
        sizes = [{"memory_mb": memory, "vcpus": memory / 1024, "max_workers": 32} for memory in (1024, 2048)]
        request = {"task": "visibilities", "objects": [observation], "sizes": sizes, "cores": 32, "objective": "balanced"}
        self.plans["cluster"] = stage.api.post("/plan", request)

    def settle(self, stage: Stage) -> None:
        """Wait until nothing is under way any more, and all of it has been shown."""

        def look() -> bool | None:
            looks = [stage.api.get("/status") for _ in range(2)]  # a notification may move from outbox to log within a look
            quiet = all(each["log"]["waiting"] == 0 and each["door"]["outbox"] == 0 for each in looks)
            counts = {each["log"]["events"] for each in looks}
            return True if quiet and len(counts) == 1 and len(self.events) >= counts.pop() else None

        wait_for("the end of all deliveries", look, PATIENCE)

    def ask(self, stage: Stage, when: str, table: str) -> dict[str, Any]:
        """The plan for the table, shown."""
        self.act(f"The plan {when} a run")
        found: dict[str, Any] = stage.api.post("/plan", {"task": "column_sums", "objects": [table], "slices": SLICES})
        self.plans[when] = found
        self.console.print(found["explanation"], markup=False)
        self.console.print(plan_table(found))
        return found

    def map(self, executor: Any, name: str, task: Any, data: str, whole: dict[str, int], slices: int = 0) -> Run:
        """Run a task over slices with Lithops and compare with the whole."""
        self.act(f"A Lithops map: {name}")
        run = executor.map(task, data, slices=slices)
        parts = run.result()
        plan, executed, total = plain(run.plan), plain(run.statistics), tasks.total(parts)
        done = Run(name, plan, executed, len(parts), total == whole, total)
        self.runs.append(done)
        self.console.print(
            f"{text.count(len(parts), 'slice')}, {text.count(plan['workers'], 'worker')}, {text.seconds(executed['seconds'])}, "
            f"predicted {interval(plan.get('time_s'), text.seconds)}; {total['rows']} rows, {len(total)} sums "
            + ("all equal to the whole file's" if done.exact else "NOT equal to the whole file's")
        )
        promise = f"{name}: the slices' result equals the whole file's exactly"
        self.checks.hold(
            promise, done.exact and len(parts) > 1, f"{len(parts)} slices, {total['rows']} rows, {len(total)} sums"
        )
        return done

    def learned(self, stage: Stage, runs: int, task: str = "column_sums") -> None:
        """Wait until the profile holds that many runs of the task."""

        def look() -> bool | None:
            profiles = stage.api.get("/profiles", prefix=f"{task}@")["profiles"].values()
            return True if sum(len(profile["runs"]) for profile in profiles) >= runs else None

        wait_for(f"the profile of {task} with {runs} runs", look, PATIENCE)
