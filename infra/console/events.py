"""``sluice events``: the lake's log as it grows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import typer
from rich.text import Text

from infra.console import text
from infra.console.client import Client
from infra.console.session import Session, command

#: Colours of what happened to an object, by the type's noun.
COLOURS = {
    "s3": "blue", "object": "cyan", "metadata": "cyan", "catalog": "green", "model": "magenta", "plan": "yellow",
    "task": "yellow", "profile": "yellow", "delivery": "red",
}  # fmt: skip


@command
def events(
    session: Session,
    type: Annotated[str, typer.Option(help="Only events of these types, such as 'dev.sluice.model.*'; * is any text.")] = "*",
    after: Annotated[int, typer.Option(min=0, help="Only events behind this number; 0 begins with the first.")] = 0,
    limit: Annotated[int, typer.Option(min=0, help="End after so many; 0 never does.")] = 0,
    follow: Annotated[bool, typer.Option("--follow/--no-follow", help="Wait for more.")] = True,
) -> None:
    """Show accepted events, oldest first, and go on with new ones until Ctrl-C. With --json: one line each."""
    with session.api() as api:
        shown = api.follow(after, type) if follow else accepted(api, after, type)
        try:
            for number, each in enumerate(shown, 1):
                if session.json:
                    session.line(each)
                else:
                    session.out.print(line_of(each), soft_wrap=True)
                if number == limit:
                    break
        except KeyboardInterrupt:
            return  # that is how following ends


def accepted(api: Client, after: int = 0, pattern: str = "*") -> Iterator[dict[str, Any]]:
    """The events accepted so far, page by page."""
    while page := api.get("/events", after=after, type=pattern, limit=1000)["events"]:
        yield from page
        after = page[-1]["seq"]


def line_of(accepted: dict[str, Any]) -> Text:
    """One event in one line: number, time of day, type, and what it is about."""
    event = accepted["event"]
    short = text.short(event["type"])
    colour = COLOURS.get(short.partition(".")[0], "default")
    return Text.assemble(
        (f"{accepted['seq']:>6} {text.clock(accepted['recorded'])}  ", "dim"),
        (f"{short:<28}", colour),
        f" {text.printable(subject_of(event))}",
    )


def subject_of(event: dict[str, Any]) -> str:
    """What an event is about: its subject, or for a failure its cause too."""
    subject = str(event.get("subject") or event["source"])
    data = event.get("data")
    if event["type"] == "dev.sluice.delivery.failed.v1" and isinstance(data, dict):
        return f"{subject}: {data.get('cause', '')}"
    return subject
