"""The map of the PER use case: one page of its own, with everything in it, that plays the minutes as the lake told them."""

from __future__ import annotations

from html import escape
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from infra.demo.per import Show

TEMPLATE = Path(__file__).with_name("per.html")
KINDS = ("per:Street", "per:Square", "per:Bridge", "per:Canal")


def write(path: Path, show: Show) -> None:
    """Write the page of what was shown, whether it went well or not."""
    held = sum(check.held for check in show.checks.all)
    page = Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        verdict="held" if show.checks.passed else "broken",
        headline=f"{held} of {len(show.checks.all)} checks held",
        people=f"{len(show.venice.people):,}",
        events=f"{show.sent:,}",
        pace=f"{show.sent / show.seconds:,.0f}" if show.seconds else "-",
        transitions=f"{len(show.announced):,}",
        checks="".join(_check(check) for check in show.checks.all),
        why=escape(show.why),
        data=msgspec.json.encode(_data(show)).decode().replace("</", "<\\/"),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page, encoding="utf-8")


def _check(check: Any) -> str:
    kind, mark = ("held", "✓") if check.held else ("broken", "✗")
    return f'<li class="{kind}"><span>{mark}</span>{escape(check.promise)}<small>{escape(check.shown)}</small></li>'


def _data(show: Show) -> dict[str, Any]:
    """What the page draws: places and people by number, and each minute with those at risk, as the lake announced them."""
    city = show.venice
    cells = [place for place in city.places.values() if place.kind in KINDS]
    number = {place.iri: index for index, place in enumerate(cells)}
    number |= {place.iri: number[city.next[place.iri][0]] for place in city.places.values() if place.iri in city.shelters}
    people = list(city.people)
    frames = []
    for frame in show.frames:
        risk = _at_risk(show, frame["time"])
        frames.append(
            {
                "time": frame["time"][11:16],
                "at": [number[frame["at"][person]] for person in people],
                "risk": [index for index, person in enumerate(people) if person in risk],
                "wet": [number[place] for place in frame["wet"]],
                **_moved(show, frame["time"]),
            }
        )
    return {
        "width": city.width, "height": city.height, "frames": frames,
        "cells": [[place.x, place.y, KINDS.index(place.kind)] for place in cells],
        "shelters": sorted([city.places[each].x, city.places[each].y] for each in city.shelters),
    }  # fmt: skip


def _at_risk(show: Show, until: str) -> set[str]:
    """Those who were at risk at a time, by all that was announced until then; of equal times, water before people."""
    last: dict[str, tuple[str, str]] = {}
    for person, kind, order in show.announced:
        if order <= until and (person not in last or order > last[person][0]):
            last[person] = order, kind
    return {person for person, (_, kind) in last.items() if kind == "inferred"}


def _moved(show: Show, time: str) -> dict[str, int]:
    """How many became at risk, and safe, in the minute of a frame."""
    told = [kind for _, kind, order in show.announced if order[:16] == time[:16]]
    return {"gained": told.count("inferred"), "lost": told.count("retracted")}
