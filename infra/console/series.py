"""``sluice series``: the time series, and what they say."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any

import typer
from rich.table import Table

from infra.console.client import Complaint
from infra.console.session import Session, command


class Action(StrEnum):
    """What to do."""

    LS = "ls"
    QUERY = "query"


@command
def series(
    session: Session,
    action: Annotated[Action, typer.Argument(help="What to do.")],
    metric: Annotated[str, typer.Argument(metavar="METRIC", help="Of this metric only; query needs one.")] = "",
    tag: Annotated[list[str] | None, typer.Option(metavar="NAME=VALUE", help="With this tag; may repeat.")] = None,
    fn: Annotated[str, typer.Option(help="last, raw, avg, min, max, sum, count, moving_average or rate.")] = "last",
    start: Annotated[str, typer.Option(help="From when on: RFC 3339, or like -2h.")] = "",
    end: Annotated[str, typer.Option(help="Until when.")] = "",
    interval: Annotated[str, typer.Option(help="One value for each, like 5m.")] = "",
    window: Annotated[str, typer.Option(help="Of a moving average, like 15m.")] = "",
    by: Annotated[str, typer.Option(metavar="TAG[,TAG]", help="One result for each value of these tags.")] = "",
) -> None:
    """List the time series (ls), or ask for their values (query)."""
    if action is Action.QUERY and not metric:
        raise Complaint("which metric? sluice series query METRIC; see which there are with: sluice series ls")
    asked = {"metric": metric, "tag": tag}
    with session.api() as api:
        if action is Action.LS:
            found = api.get("/series", **asked, limit=100_000)
        else:
            found = api.get("/series/query", **asked, fn=fn, start=start, end=end, interval=interval, window=window, by=by)
    if session.json:
        session.answer(found)
        return
    session.out.print(_listed(found["series"]) if action is Action.LS else _values(found["series"]))


def _listed(found: list[dict[str, Any]]) -> Table:
    table = Table("metric", "tags", box=None, pad_edge=False)
    for each in found:
        table.add_row(each["metric"], _tags(each["tags"]))
    return table


def _values(found: list[dict[str, Any]]) -> Table:
    table = Table("metric", "tags", "time", "value", box=None, pad_edge=False)
    for each in found:
        for time, value in each["points"]:
            moment = datetime.fromtimestamp(time / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
            table.add_row(each["metric"], _tags(each["tags"]), moment, f"{value:g}")
    return table


def _tags(tags: dict[str, str]) -> str:
    return ",".join(f"{name}={value}" for name, value in tags.items())
