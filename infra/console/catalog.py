"""``sluice ls``, ``find`` and ``show``: what the catalogue knows."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import quote

import msgspec
import typer
from rich.table import Table
from rich.text import Text

from infra.console import address, text
from infra.console.client import Complaint
from infra.console.resources import Filter, Lang, every
from infra.console.session import Session, command

Limit = Annotated[int, typer.Option(min=0, help="Show at most so many; 0 shows all.")]


@command
def ls(
    session: Session,
    where: Annotated[str, typer.Argument(metavar="[s3://BUCKET/PREFIX]", show_default=False)] = "",
    limit: Limit = 0,
    filter: Filter = "",
    lang: Lang = "cql2-text",
) -> None:
    """List what the catalogue knows of a bucket or prefix, or of the whole lake; failed objects with their cause."""
    bucket, prefix = address.parse(where) if where else ("", "")
    if filter:
        _filtered(session, filter, lang, limit, bucket=bucket, prefix=prefix)
    else:
        _list(session, bucket=bucket, prefix=prefix, limit=limit)


@command
def find(
    session: Session,
    bucket: Annotated[str, typer.Option(help="In this bucket only.")] = "",
    prefix: Annotated[str, typer.Option(help="The beginning of the key.")] = "",
    name: Annotated[str, typer.Option(help="A pattern for the key, such as '*.parquet'.")] = "",
    format: Annotated[str, typer.Option(help="A format's name, e.g. csv, fits or measurementset.")] = "",
    state: Annotated[str, typer.Option(help="ready, failed or removed.")] = "",
    since: Annotated[
        str, typer.Option(help="Modified at this time or later, such as 2025-01-31 or 2025-01-31T12:00:00Z.")
    ] = "",
    until: Annotated[str, typer.Option(help="Modified before this time.")] = "",
    where: Annotated[list[str] | None, typer.Option(help="A comparison of metadata, such as 'rows>=100'; may repeat.")] = None,
    limit: Limit = 100,
    filter: Filter = "",
    lang: Lang = "cql2-text",
) -> None:
    """Search the catalogue by format, name, time and metadata, or by a filter. Everything given must match."""
    told = {"bucket": bucket, "prefix": prefix, "name": name, "format": format, "state": state, "since": since, "until": until}
    if filter:
        if name or state or since or until or where:
            raise Complaint("with --filter, only --bucket, --prefix, --format and --limit can be given: write the rest into it")
        _filtered(session, filter, lang, limit, bucket=bucket, prefix=prefix, format=format)
        return
    _list(session, **told, where=where or [], limit=limit)


@command
def show(session: Session, object: Annotated[str, typer.Argument(metavar="s3://BUCKET/KEY")]) -> None:
    """Show everything the catalogue knows of one object."""
    bucket, key = address.full(object)
    with session.api() as api:
        entry = api.get(f"/catalog/{quote(bucket, safe='')}/{quote(key, safe='/')}")
    if session.json:
        session.answer(entry)
    else:
        session.out.print_json(data=entry)


def _list(session: Session, **query: Any) -> None:
    with session.api() as api:
        entries = list(api.pages(**query))
    if session.json:
        session.answer({"entries": entries})
        return
    session.out.print(entries_table(entries))


def _filtered(session: Session, filter: str, lang: str, limit: int, *, bucket: str, prefix: str, format: str = "") -> None:
    """The objects that a filter finds, shown as the other entries are."""
    tests = [_test("=", name, value) for name, value in (("bucket", bucket), ("format", format)) if value]
    if prefix:
        escaped = prefix.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        tests.append(_test("like", "key", f"{escaped}%"))
    filters = [filter, *(msgspec.json.encode(test).decode() for test in tests)]
    with session.api() as api:
        found = every(
            api, "data-objects", limit, filter=filters, lang=[lang, *["cql2-json"] * len(tests)], orderby="bucket,key"
        )
        entries = [{**each, "size": each["bytes"], "state": each["state"].lower()} for each in found]
    session.answer({"entries": entries}) if session.json else session.out.print(entries_table(entries))


def _test(op: str, name: str, value: str) -> dict[str, Any]:
    return {"op": op, "args": [{"property": name}, value]}


def entries_table(entries: list[dict[str, Any]]) -> Table:
    """Catalogue entries as a table, one line each."""
    table = Table("object", "size", "format", "state", "modified", "", box=None, pad_edge=False)
    table.columns[1].justify = "right"
    for entry in entries:
        state = entry["state"]
        colour = {"ready": "green", "failed": "red"}.get(state, "yellow")
        where = f"s3://{entry['bucket']}/{text.printable(entry['key'])}"
        table.add_row(  # Text: what comes from outside is no markup
            Text(where),
            text.size(entry["size"]),
            entry["format"],
            Text(state, colour),
            text.moment(entry["modified"]),
            Text(text.printable(entry["cause"])),
        )
    return table
