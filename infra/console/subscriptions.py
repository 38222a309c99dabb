"""``sluice subscribe``, ``subscriptions`` and ``unsubscribe``: who hears of what."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import quote

import typer
from rich.table import Table
from rich.text import Text

from infra.console.client import Complaint
from infra.console.session import Session, command

Attribute = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME=TEXT", help="An attribute and what it must be; may repeat.", show_default=False),
]


@command
def subscribe(
    session: Session,
    sink: Annotated[str, typer.Argument(metavar="URL", help="Where matching events are posted, as CloudEvents.")],
    type: Annotated[list[str] | None, typer.Option(help="An event type, * matches any text; any of several.")] = None,
    exact: Attribute = None,
    prefix: Attribute = None,
    suffix: Attribute = None,
    id: Annotated[str, typer.Option(help="A name for it; one of the same name is replaced.", show_default=False)] = "",
) -> None:
    """Have an HTTP sink receive the events that match, such as --type 'dev.sluice.model.*' --prefix subject=models/."""
    filters = [
        {kind: dict([_pair(each)])}
        for kind, given in (("exact", exact), ("prefix", prefix), ("suffix", suffix))
        for each in given or ()
    ]
    with session.api() as api:
        wanted = {"sink": sink, "types": type or [], "filters": filters}
        made = api.put(f"/subscriptions/{quote(id, safe='')}", wanted) if id else api.post("/subscriptions", wanted)
    session.answer(made) if session.json else typer.echo(f"subscription {made['id']}: {sink}")


@command
def subscriptions(session: Session) -> None:
    """List the subscriptions."""
    with session.api() as api:
        found = api.get("/subscriptions")
    if session.json:
        session.answer(found)
        return
    table = Table("id", "sink", "types", "filters", box=None, pad_edge=False)
    for each in found["subscriptions"]:
        filters = "; ".join(map(_told, each["filters"]))
        table.add_row(*(Text(value) for value in (each["id"], each["sink"], ", ".join(each["types"]) or "*", filters)))
    session.out.print(table)


@command
def unsubscribe(session: Session, id: Annotated[str, typer.Argument(help="As `sluice subscriptions` shows it.")]) -> None:
    """End a subscription; what it still waits for is dropped."""
    with session.api() as api:
        api.delete(f"/subscriptions/{quote(id, safe='')}")
    session.answer({"removed": id}) if session.json else typer.echo(f"subscription {id} ended")


def _pair(given: str) -> tuple[str, str]:
    name, found, value = given.partition("=")
    if not found or not name:
        raise Complaint(f"{given!r} names no attribute and text: write NAME=TEXT, such as subject=models/")
    return name, value


def _told(rule: dict[str, Any]) -> str:
    """A filter in words, as far as it is one of the three simple ones."""
    ((kind, what),) = rule.items()
    return f"{kind} {', '.join(f'{name}={value}' for name, value in what.items())}" if isinstance(what, dict) else str(rule)
