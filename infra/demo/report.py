"""The report: one HTML file that needs nothing else."""

from __future__ import annotations

import platform
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any

from infra.config import cores
from infra.console import text
from infra.console.plan import basis_of, interval
from infra.demo.pareto import pareto
from infra.demo.timeline import timeline
from infra.demo.ways import ways

if TYPE_CHECKING:
    from infra.demo.acts import Show

TEMPLATE = Path(__file__).with_name("report.html")

#: What the catalogue table tells of each format: a word, and where it is in the metadata.
FACTS = {
    "csv": (("rows", "rows"), ("columns", "columns")),
    "parquet": (("rows", "rows"), ("row groups", "row_groups")),
    "fits": (("object", "hdus.0.cards.OBJECT"), ("pixels", "hdus.0.shape"), ("observed", "hdus.0.cards.DATE-OBS")),
    "onnx": (("parameters", "parameters"), ("accuracy", "properties.accuracy"), ("estimator", "properties.estimator")),
    "measurementset": (
        ("telescope", "telescope"), ("rows", "rows"), ("times", "times"), ("channels", "channels"), ("from", "start"),
    ),
}  # fmt: skip


def write(path: Path, show: Show, seconds: float) -> None:
    """Write the report of what was shown, whether it went well or not."""
    held = sum(check.held for check in show.checks.all)
    cluster = show.plans.get("cluster", {})
    page = Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        when=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        machine=escape(f"{platform.system()} {platform.machine()}, {cores()} cores, Python {platform.python_version()}"),
        verdict="held" if show.checks.passed else "broken",
        headline=f"{held} of {len(show.checks.all)} checks held",
        seconds=f"{seconds:.0f}",
        events=len(show.events),
        objects=sum(entry["state"] == "ready" for entry in show.entries),
        letters=len(show.letters),
        checks="".join(map(_check, show.checks.all)),
        timeline=timeline(show.events),
        ways="".join(f"<li><b>{escape(way.name)}</b> {escape(way.told)}</li>" for way in ways(show.events)),
        catalog=_rows(_entry(entry) for entry in show.entries),
        dead=_rows((letter["function"], letter["cause"], str(letter["attempts"])) for letter in show.letters),
        received=_rows(_received(event) for event in show.received),
        plans=_rows(_plan(name, plan) for name, plan in _plans(show)),
        runs=_rows(_run(run) for run in show.runs),
        pareto=pareto(cluster),
        pareto_text=escape(cluster.get("explanation", "")),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page, encoding="utf-8")


def _rows(rows: Any) -> str:
    """Table rows of plain text."""
    return "\n".join(
        "<tr>" + "".join(f"<td>{escape(text.printable(str(cell)))}</td>" for cell in row) + "</tr>" for row in rows
    )


def _check(check: Any) -> str:
    kind, mark = ("held", "✓") if check.held else ("broken", "✗")
    return f'<li class="{kind}"><span>{mark}</span>{escape(check.promise)}<small>{escape(check.shown)}</small></li>'


def _entry(entry: dict[str, Any]) -> tuple[str, ...]:
    known = (f"{label} {found}" for label, path in FACTS.get(entry["format"], ()) if (found := _at(entry["metadata"], path)))
    where = f"s3://{entry['bucket']}/{entry['key']}"
    return where, text.size(entry["size"]), entry["format"], entry["state"], entry["cause"] or ", ".join(known)


def _at(metadata: Any, path: str) -> str:
    """What lies at a dotted path, in words; empty if nothing does. A collection of things with names is only counted."""
    for step in path.split("."):
        try:
            metadata = metadata[int(step) if isinstance(metadata, list) else step]
        except (LookupError, ValueError, TypeError):
            return ""
    if isinstance(metadata, dict):
        return str(len(metadata))
    if isinstance(metadata, list):
        return " x ".join(f"{each:g}" if isinstance(each, float) else str(each) for each in metadata)
    return str(metadata)


def _received(event: Any) -> tuple[str, ...]:
    data = event.data
    accuracy = data["metadata"].get("properties", {}).get("accuracy", "")
    return text.short(event.type), event.subject, f"version {data['version']}", text.size(data["size"]), accuracy


def _plans(show: Show) -> list[tuple[str, dict[str, Any]]]:
    names = {"before": "column_sums, before any run", "after": "column_sums, after one run"}
    return [(names[when], plan) for when, plan in show.plans.items() if when in names]


def _plan(name: str, plan: dict[str, Any]) -> tuple[str, ...]:
    return (
        name, basis_of(plan), str(plan["workers"]), f"{plan['memory_mb']} MB", str(plan["slices"]),
        interval(plan.get("time_s"), text.seconds),
    )  # fmt: skip


def _run(run: Any) -> tuple[str, ...]:
    return (
        run.name, str(run.slices), str(run.plan["workers"]), basis_of(run.plan),
        interval(run.plan.get("time_s"), text.seconds), text.seconds(run.executed["seconds"]),
        text.size(sum(wave.get("bytes_read", 0) for wave in run.executed["waves"])), "exactly" if run.exact else "NO",
    )  # fmt: skip
