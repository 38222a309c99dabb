"""``sluice record``, ``sluice set`` and the common part of ``sluice object``: resources of the catalogue, as JSON."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.table import Table
from rich.text import Text

from infra.console.client import Client, Complaint
from infra.console.session import Session, command

Document = Annotated[
    str, typer.Argument(metavar="JSON|@FILE|-", help="A JSON object, a file that has it, or - for standard input.")
]
Id = Annotated[str, typer.Argument(help="As `list` shows it.")]
Filter = Annotated[str, typer.Option(help="CQL2, such as \"rows > 5 AND name LIKE 'ngc%'\".", show_default=False)]
Lang = Annotated[str, typer.Option(help="cql2-text, cql2-json or cimi.")]
StoredLang = Annotated[
    str, typer.Option("--lang", help="The language of its filters: cql2-text, cql2-json or cimi.", show_default=False)
]


def group(noun: str, what: str, make: bool = True, filtered: bool = False) -> typer.Typer:
    """The commands of a noun (``data-records``); one that is ``filtered`` has filters of its own."""
    app = typer.Typer(help=what, no_args_is_help=True)

    @command
    def create(session: Session, document: Document) -> None:
        """Make one from a JSON object; prints its id."""
        with session.api() as api:
            _shown(session, api.post(f"/{noun}", read(document)))

    @command
    def list_(
        session: Session,
        filter: Filter = "",
        lang: Lang = "cql2-text",
        orderby: Annotated[str, typer.Option(help="Such as name,-created.", show_default=False)] = "",
        limit: Annotated[int, typer.Option(min=0, help="Show at most so many; 0 shows all.")] = 100,
    ) -> None:
        """List those that match."""
        with session.api() as api:
            found = list(every(api, noun, limit, filter=filter, lang=lang if filter else "", orderby=orderby))
        if session.json:
            session.answer({"resources": found})
            return
        table = Table("id", "name", "updated", "", box=None, pad_edge=False)
        for each in found:
            place = ", ".join(each.get("tags", []))
            if "bucket" in each:
                place = f"s3://{each['bucket']}/{each['key']} {each['state']}"
            elif "endpoint" in each:
                place = each["endpoint"]
            name = each["name"] or each.get("provider", "")
            table.add_row(*map(Text, (each["id"], name, each["updated"], place)))
        session.out.print(table)

    @command
    def show(session: Session, id: Id) -> None:
        """Show one in full."""
        with session.api() as api:
            found = api.get(path(noun, id))
        session.answer(found) if session.json else session.out.print_json(data=found)

    @command
    def edit(session: Session, id: Id, document: Document) -> None:
        """Change one by a JSON Merge Patch: null empties an attribute."""
        with session.api() as api:
            _shown(session, api.patch(path(noun, id), read(document)))

    @command
    def delete(session: Session, id: Id) -> None:
        """Delete one."""
        with session.api() as api:
            api.delete(path(noun, id))
        session.answer({"deleted": id}) if session.json else typer.echo(f"{id} deleted")

    @command
    def create_filtered(session: Session, document: Document, lang: StoredLang = "") -> None:
        """Make one from a JSON object; prints its id."""
        with session.api() as api:
            _shown(session, api.post(f"/{noun}", _in(read(document), lang)))

    @command
    def edit_filtered(session: Session, id: Id, document: Document, lang: StoredLang = "") -> None:
        """Change one by a JSON Merge Patch: null empties an attribute."""
        with session.api() as api:
            _shown(session, api.patch(path(noun, id), _in(read(document), lang)))

    if filtered:
        create, edit = create_filtered, edit_filtered
    commands = {"create": create, "list": list_, "show": show, "edit": edit, "delete": delete}
    for name, function in commands.items():
        if make or name not in ("create", "delete"):
            app.command(name)(function)
    return app


def every(api: Client, noun: str, limit: int, **query: str | list[str]) -> Any:
    """Every resource that matches, page by page; ``limit`` is the most of all pages, 0 for no limit."""
    left, after = limit or 2**62, ""
    asked = {name: value for name, value in query.items() if name != "lang"}
    if query.get("lang"):
        asked["filter-lang"] = query["lang"]
    while left > 0:
        page = api.get(f"/{noun}", **asked, after=after, limit=min(left, 1000))
        yield from page["resources"]
        left, after = left - len(page["resources"]), page["next"]
        if after is None:
            return


def path(noun: str, id: str) -> str:
    """The path of a resource; its id may be given with or without its kind."""
    return f"/{noun}/{id.rpartition('/')[2]}"


def read(document: str) -> dict[str, Any]:
    """A JSON object given on the command line, in a file or on standard input. Raises ``Complaint``."""
    try:
        text = sys.stdin.read() if document == "-" else Path(document[1:]).read_text() if document.startswith("@") else document
        found = msgspec.json.decode(text)
    except (OSError, UnicodeError, msgspec.DecodeError) as error:
        raise Complaint(f"{document[:60]!r} is no JSON object: {error}") from error
    if not isinstance(found, dict):
        raise Complaint(f"{document[:60]!r} is no JSON object")
    return found


def _in(document: dict[str, Any], lang: str) -> dict[str, Any]:
    """A document whose filters are in a language."""
    return {**document, "filter-lang": lang} if lang else document


def _shown(session: Session, found: dict[str, Any]) -> None:
    session.answer(found) if session.json else typer.echo(found["id"])


record = group("data-records", "Records: metadata of yours, about an object or on its own.")
provider = group("providers", "Object stores: whose buckets are written PROVIDER:BUCKET.")
set_ = group("data-sets", "Data sets: filters over objects and records, followed as streams.", filtered=True)
