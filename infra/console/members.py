"""``sluice set watch`` and ``sluice set members``: who is in a data set, and who comes and goes."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from infra.console import text
from infra.console.resources import Id, path, set_
from infra.console.session import Session, command

AsOf = Annotated[str, typer.Option("--as-of", help="A cursor, or a time such as 2026-03-01T12:00:00Z.", show_default=False)]


@set_.command()
@command
def watch(
    session: Session,
    id: Id,
    after: Annotated[int, typer.Option(min=0, help="Only changes behind this cursor; 0 begins with the first.")] = 0,
    limit: Annotated[int, typer.Option(min=0, help="End after so many; 0 never does.")] = 0,
) -> None:
    """Show who has come into a data set and gone, oldest first, and go on until Ctrl-C. With --json: one line each."""
    with session.api() as api:
        try:
            for number, each in enumerate(api.stream(f"{path('data-sets', id)}/members", after=after, follow=1), 1):
                session.line(each) if session.json else session.out.print(_line(each), soft_wrap=True)
                if number == limit:
                    break
        except KeyboardInterrupt:
            return  # that is how following ends


@set_.command()
@command
def members(
    session: Session,
    id: Id,
    as_of: AsOf = "",
    limit: Annotated[int, typer.Option(min=0, help="Show at most so many; 0 shows all.")] = 100,
) -> None:
    """List the members of a data set, now or at another time."""
    with session.api() as api:
        left, after, found = limit or 2**62, 0, list[dict[str, Any]]()
        while left > 0:
            page = api.get(f"{path('data-sets', id)}/members", **{"as-of": as_of}, after=after or None, limit=min(left, 1000))
            as_of = str(page["cursor"])  # what changes meanwhile does not matter
            found += page["members"]
            left, after = left - len(page["members"]), page["next"]
            if after is None:
                break
    if session.json:
        session.answer({"cursor": int(as_of), "members": found})
        return
    table = Table("cursor", "since", "member", "group", box=None, pad_edge=False)
    for each in found:
        table.add_row(*map(Text, (str(each["cursor"]), each["at"], text.printable(_name(each)), each.get("group", ""))))
    session.out.print(table)


def _line(change: dict[str, Any]) -> Text:
    added = change["change"] == "added"
    return Text.assemble(
        (f"{change['cursor']:>6} {change['at']}  ", "dim"),
        ("+ " if added else "- ", "green" if added else "red"),
        text.printable(_name(change)),
    )


def _name(change: dict[str, Any]) -> str:
    return f"s3://{change['bucket']}/{change['key']}" if "key" in change else str(change["resource"])
