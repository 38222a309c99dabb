"""``sluice dead-letters`` and ``sluice replay``: what failed for good, and another chance for it."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from infra.console import text
from infra.console.client import Complaint
from infra.console.session import Session, command

#: The most that the API hands out at once.
MOST = 10_000


@command
def dead_letters(
    session: Session, limit: Annotated[int, typer.Option(min=1, max=MOST, help="The newest so many.")] = 100
) -> None:
    """List the events that a function or sink refused for good, with the cause."""
    with session.api() as api:
        found = api.get("/dead-letters", limit=limit)
    if session.json:
        session.answer(found)
        return
    table = Table("id", "when", "function", "attempts", "about", "cause", box=None, pad_edge=False)
    for letter in found["dead_letters"]:
        about = about_of(letter)
        table.add_row(
            str(letter["id"]), text.instant(letter["at"]), letter["function"], str(letter["attempts"]), Text(about),
            Text(text.printable(letter["cause"])),
        )  # fmt: skip
    session.out.print(table)


@command
def replay(
    session: Session,
    ids: Annotated[list[int] | None, typer.Argument(metavar="ID...", help="As `sluice dead-letters` shows them.")] = None,
    all: Annotated[bool, typer.Option("--all", help="All dead letters that hold an event.", show_default=False)] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show which events and changes it would bring.", show_default=False)
    ] = False,
    function: Annotated[str, typer.Option(help="With --dry-run: try this function with the log's events instead.")] = "",
    type: Annotated[str, typer.Option(help="Only events of these types; * is any text.")] = "*",
    after: Annotated[int, typer.Option(min=0, help="Only events behind this number of the log.")] = 0,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most so many events.")] = 100,
) -> None:
    """Deliver dead letters again, once their cause is mended. Repeating one is harmless: effects happen once."""
    if function:
        if not dry_run or ids or all:
            raise Complaint("history is only tried, never delivered again: give --function with --dry-run, and no dead letters")
        with session.api() as api:
            _show(session, api.post("/trials", {"function": function, "type": type, "after": after, "limit": limit}))
        return
    if bool(ids) == all:
        raise Complaint("say which dead letters to replay: their ids, or --all")
    with session.api() as api:
        if all:
            letters = api.get("/dead-letters", limit=MOST)["dead_letters"]
            ids = [letter["id"] for letter in letters if letter["event"]]
        if dry_run:
            _show(session, api.post("/dead-letters/replay", {"ids": ids, "dry_run": True}))
            return
        done = api.post("/dead-letters/replay", {"ids": ids})
    session.answer(done) if session.json else typer.echo(f"{len(done['replayed'])} dead letters are delivered again")


def _show(session: Session, found: dict[str, Any]) -> None:
    """What a replay would do, for people: a line a dead letter, and below it one for each event and each changed row."""
    if session.json:
        session.answer(found)
        return
    for trial in found["trials"]:
        failed = f"would fail again: {trial['error']}" if trial["error"] else ""
        ends = failed or trial["note"] or f"would yield {len(trial['events'])} events and make {len(trial['changes'])} changes"
        typer.echo(f"{trial['id']}  {trial['function']}: {text.printable(ends)}")
        for event in trial["events"]:
            typer.echo(f"    event   {text.short(event['type'])} {text.printable(event.get('subject') or '')}".rstrip())
        for change in trial["changes"]:
            before, after = change["before"] or {}, change["after"] or {}
            fields = sorted(name for name in {*before, *after} if before.get(name) != after.get(name))
            changed = f"changes {', '.join(fields)} of" if change["before"] else "adds"
            kind = changed if change["after"] else "removes"
            typer.echo(f"    {change['store']:7} {kind} {text.printable(change['key'])}")


def about_of(letter: dict[str, Any]) -> str:
    """What a dead letter is about: its event's type and subject, or the beginning of what never was an event."""
    event = letter["event"]
    if event is None:
        return text.printable(letter["body"][:60])
    return f"{text.short(event['type'])} {text.printable(event.get('subject') or '')}".rstrip()
