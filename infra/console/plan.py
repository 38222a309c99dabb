"""``sluice plan``: how a task would run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from infra.console import text
from infra.console.picture import Picture, Points
from infra.console.session import Session, command

Objective = Annotated[str, typer.Option(help="balanced, time, cost, or weights: time=3,cost=1.")]
Deadline = Annotated[float | None, typer.Option(metavar="SECONDS", help="To be done in so many seconds.", show_default=False)]
Slices = Annotated[int, typer.Option(min=0, help="So many slices over all objects; 0 leaves it to the planner.")]
Workers = Annotated[int, typer.Option(min=0, help="So many workers; 0 leaves it to the planner.")]
Memory = Annotated[int, typer.Option(min=0, metavar="MB", help="Memory of a worker; 0 leaves it to the planner.")]


@command
def plan(
    session: Session,
    task: Annotated[str, typer.Argument(help="The function's name.")],
    objects: Annotated[list[str], typer.Argument(metavar="s3://BUCKET/KEY...")],
    objective: Objective = "balanced",
    deadline: Deadline = None,
    slices: Slices = 0,
    workers: Workers = 0,
    memory: Memory = 0,
    plot: Annotated[bool, typer.Option("--plot", help="Draw time against cost: the front, and the choice.")] = False,
    svg: Annotated[Path | None, typer.Option(metavar="FILE", help="Draw that into this file.", show_default=False)] = None,
) -> None:
    """Ask how a map would run: workers, memory, slices, and what that takes. Nothing runs."""
    from functions.planner.choice import check_deadline

    check_deadline(deadline)
    request = {
        "task": task, "objects": objects, "objective": objective, "deadline_s": deadline, "slices": slices,
        "workers": workers, "memory_mb": memory,
    }  # fmt: skip
    with session.api() as api:
        found = api.post("/plan", request)
    if svg is not None:
        svg.write_text(picture(found).svg())
    if session.json:
        session.answer(found)
        return
    session.out.print(found["explanation"], markup=False)
    session.out.print(plan_table(found))
    if plot:
        session.out.print(picture(found).text() or "nothing to draw yet", markup=False, highlight=False)


def picture(found: dict[str, Any]) -> Picture:
    """Time against cost: what was discarded, the front, and the choice."""

    def at(choices: list[dict[str, Any]]) -> list[tuple[float, float]]:
        return [(choice["time_s"], choice["cost"]) for choice in choices]

    others = [one["nearest"] for one in found.get("discarded", [])]
    others += [found[end] for end in ("scale_out", "scale_up") if found.get(end)]
    chosen = [(found["time_s"]["value"], found["cost"]["value"])] if found.get("time_s") else []
    groups = [
        Points("not chosen", "x", at(others)),
        Points("front", "o", at(found.get("front", [])), line=True),
        Points("plan", "#", chosen),
    ]
    return Picture(f"{found['task']}: {found['objective']}", "seconds", "cost", groups)


def plan_table(found: dict[str, Any]) -> Table:
    """A plan, and what else could be chosen."""
    table = Table("", "workers", "memory", "slices", "time", "cost", box=None, pad_edge=False)
    for column in table.columns[1:]:
        column.justify = "right"
    chosen = (found["workers"], found["memory_mb"], found["slices"])
    time, cost = found.get("time_s"), found.get("cost")
    table.add_row(
        f"plan, from {basis_of(found)}", str(chosen[0]), f"{chosen[1]} MB", str(chosen[2]), interval(time, text.seconds),
        interval(cost, lambda value: f"{value:.2g}"), style="bold",
    )  # fmt: skip
    for choice in found.get("front", []):
        if (choice["workers"], choice["memory_mb"], choice["slices"]) != chosen:
            table.add_row(
                "or", str(choice["workers"]), f"{choice['memory_mb']} MB", str(choice["slices"]),
                text.seconds(choice["time_s"]), f"{choice['cost']:.2g}",
            )  # fmt: skip
    return table


def basis_of(found: dict[str, Any]) -> str:
    """What the prediction rests on, in words."""
    runs = found.get("runs", 0)
    return {"profile": f"a profile of {text.count(runs, 'run')}", "probe": "a probe"}.get(found["basis"], "nothing known yet")


def interval(found: dict[str, float] | None, show: Any) -> str:
    """A prediction with its bounds, or a dash without one."""
    return f"{show(found['value'])} ({show(found['low'])} - {show(found['high'])})" if found else "-"
