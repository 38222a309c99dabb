"""The demonstration's report: whole whatever was shown, and safe whatever a name says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from rich.console import Console

from infra.demo.acts import Run, Show
from infra.demo.pareto import pareto
from infra.demo.report import write
from infra.demo.timeline import timeline
from infra.demo.ways import ways

NASTY = '<script>alert("x")</script>&.csv'


def accepted(seq: int, kind: str, at: float, root: str, **more: Any) -> dict[str, Any]:
    event = {"id": f"{root}-{seq}", "source": "/here", "type": kind, "subject": NASTY, "correlationid": root, **more}
    return {"seq": seq, "recorded": at, "event": event}


EVENTS = [
    accepted(1, "com.amazonaws.s3.ObjectCreated:Put", 100.0, "a"),
    accepted(2, "com.amazonaws.s3.ObjectCreated:Put", 100.1, "b"),
    accepted(3, "dev.sluice.object.ingested.v1", 100.2, "a"),
    accepted(4, "dev.sluice.delivery.failed.v1", 100.3, "b"),
    accepted(5, "dev.sluice.task.executed.v1", 104.0, "c", data={"seconds": 2.0}),
]
PLAN: dict[str, Any] = {
    "basis": "profile", "runs": 2, "workers": 2, "memory_mb": 512, "slices": 4, "explanation": "because <so>",
    "time_s": {"value": 2.0, "low": 1.0, "high": 3.0}, "cost": {"value": 0.2, "low": 0.1, "high": 0.3},
    "front": [
        {"workers": 1, "memory_mb": 512, "slices": 4, "time_s": 4.0, "cost": 0.1},
        {"workers": 2, "memory_mb": 512, "slices": 4, "time_s": 2.0, "cost": 0.2},
    ],
}  # fmt: skip


def test_a_way_is_a_cause_and_what_followed() -> None:
    found = {way.steps[0].event["id"]: way.told for way in ways(EVENTS)}
    assert found == {"a-1": "uploaded → ingested 200 ms", "b-2": "uploaded → failed 200 ms", "c-5": "map ran"}


def test_the_timeline_has_a_dot_for_each_event() -> None:
    picture = ElementTree.fromstring(timeline(EVENTS))
    assert len([dot for dot in picture.iter("circle") if dot.find("title") is not None]) == len(EVENTS)
    assert timeline([]) == ""


@pytest.mark.parametrize("front", [PLAN["front"], PLAN["front"][:1], []])
def test_the_front_shows_what_was_chosen(front: list[dict[str, Any]]) -> None:
    picture = ElementTree.fromstring(pareto({**PLAN, "front": front}))
    assert len([dot for dot in picture.iter("circle") if "chosen" in dot.attrib["class"]]) == 1
    assert pareto({**PLAN, "time_s": None}) == ""


def test_a_report_needs_nothing_else_and_runs_nothing(tmp_path: Path) -> None:
    show = Show(tmp_path, Console(quiet=True))
    show.checks.hold("it <works>", False, NASTY)
    show.events, show.plans = EVENTS, {"after": PLAN, "cluster": PLAN}
    show.entries = [
        {"bucket": "b", "key": NASTY, "size": 1, "format": "csv", "state": "ready", "cause": "", "metadata": {"rows": 7}}
    ]
    show.runs = [Run(NASTY, PLAN, {"seconds": 1.0, "waves": [{"bytes_read": 5}]}, 4, False, {"rows": 1})]
    write(tmp_path / "deep" / "report.html", show, 12.0)
    page = (tmp_path / "deep" / "report.html").read_text(encoding="utf-8")
    assert "<script" not in page
    assert not re.search(r"""(src|href)=|url\(|@import""", page)
    assert "0 of 1 checks held" in page
    assert "rows 7" in page


def test_a_report_of_nothing_is_written_too(tmp_path: Path) -> None:
    write(tmp_path / "report.html", Show(tmp_path, Console(quiet=True)), 0.0)
    assert "0 of 0 checks held" in (tmp_path / "report.html").read_text(encoding="utf-8")
