"""``sluice profile``: what maps taught about a task."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from functions.planner.history import History, read_history
from infra.console import text
from infra.console.client import Complaint
from infra.console.picture import Picture, Points
from infra.console.session import Session, command

#: Runs shown, newest first.
SHOWN = 10


@command
def profile(
    session: Session,
    task: Annotated[str, typer.Argument(help="The function's name; without it, every task there is.", show_default=False)] = "",
    plot: Annotated[Path | None, typer.Option(metavar="FILE.svg", help="Draw it into this file.", show_default=False)] = None,
) -> None:
    """Show what maps taught about a task: the fitted curve, its error, and the runs it rests on."""
    from infra.console.curve import describe  # numpy and scipy: no other command waits for them

    with session.api() as api:
        found = [read_history(document) for document in api.get("/profiles", prefix=task)["profiles"].values()]
    found = [history for history in found if not task or history.task == task]
    if task and not found:
        raise Complaint(f"there is no profile of {task!r}: it has not been mapped over anything yet")
    told = [describe(history) for history in found]
    if session.json:
        session.answer({"profiles": told})
        return
    if not task:
        session.out.print(_listed(found))
        return
    latest = max(range(len(found)), key=lambda at: found[at].runs[-1].order)
    for history, one in zip(found, told, strict=True):
        session.out.print(f"{_name(history)}: {_summary(one)}", markup=False)
        drawn = picture(history, one)
        session.out.print(drawn.text(), markup=False, highlight=False)
        session.out.print(_runs(history))
    if plot is not None:
        plot.write_text(picture(found[latest], told[latest]).svg())
        session.err.print(f"drawn into {plot}", markup=False)


def picture(history: History, told: dict[str, Any]) -> Picture:
    """Time over workers: the curve, and what was measured, as if of the same volume."""
    curve: list[tuple[float, float]] = [(point["workers"], point["time_s"]) for point in told["curve"]]
    measured: list[tuple[float, float]] = [(point["workers"], point["time_s"]) for point in told["measured"]]
    about = f"{history.task} over {text.size(told.get('bytes', 0))} of {history.format or 'data'}"
    return Picture(about, "workers", "seconds", [Points("fitted", ".", curve, line=True), Points("measured", "o", measured)])


def _name(history: History) -> str:
    return " ".join(filter(None, (history.task, history.code[:8], history.format, history.backend, history.image)))


def _summary(told: dict[str, Any]) -> str:
    error = told["median_error"]
    known = f"{text.count(len(told['runs']), 'run')}, {told['learnt_from']} of them to learn from"
    memory = told["memory_mb"]
    line = f"; a worker needs {memory['base']:.0f} MB and {memory['per_mb']:.2g} MB a MB of slice" if memory else ""
    return f"{known}; median error {f'{100 * error:.0f} %' if error is not None else 'not known yet'}{line}"


def _listed(found: list[History]) -> Table:
    table = Table("task", "code", "format", "back end", "runs", "median error", "last", box=None, pad_edge=False)
    for history in sorted(found, key=_name):
        error = history.median_error
        table.add_row(
            history.task, history.code[:8], history.format, " ".join(filter(None, (history.backend, history.image))),
            str(len(history.runs)), f"{100 * error:.0f} %" if error is not None else "-",
            text.moment(history.runs[-1].finished) if history.runs else "-",
        )  # fmt: skip
    return table


def _runs(history: History) -> Table:
    table = Table("finished", "bytes", "workers", "slices", "took", "predicted", "error", box=None, pad_edge=False)
    for run in list(reversed(history.runs))[:SHOWN]:
        off = run.misjudged
        table.add_row(
            text.moment(run.finished), text.size(sum(wave.bytes for wave in run.waves)),
            str(max((wave.workers for wave in run.waves), default=0)), str(sum(wave.slices for wave in run.waves)),
            text.seconds(run.seconds), text.seconds(run.predicted_s) if run.predicted_s else "-",
            run.error or (f"{100 * off:+.0f} %" if off is not None else "-"),
        )  # fmt: skip
    return table
