"""``sluice catalog import``: many records or objects at once, from a file of JSON lines or a table."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from infra.console.client import Complaint
from infra.console.session import Session, command
from infra.scalar import scalar

app = typer.Typer(help="The catalogue as a whole.", no_args_is_help=True)
#: Lines in one request: what is lost of the progress when the lake stops.
PORTION = 5_000
MOST_ERRORS = 20


@app.callback()
def catalog() -> None:
    """The catalogue as a whole."""


@command
def import_(
    session: Session,
    file: Annotated[Path, typer.Argument(metavar="FILE.jsonl|FILE.csv", help="A resource a line.")],
    kind: Annotated[str, typer.Option(help="data-record, or for administrators data-object.")] = "data-record",
) -> None:
    """Import resources in bulk. A CSV's columns are attributes, such as name or metadata.rows. Repeating it is harmless."""
    totals = {"read": 0, "stored": 0, "failed": 0}
    errors: list[dict[str, Any]] = []
    lines = _lines(file)
    with session.api() as api:
        while portion := list(islice(lines, PORTION)):
            done = None
            for told in api.upload(f"/{kind}s?bulk", b"\n".join(portion)):
                if "error" in told and len(errors) < MOST_ERRORS:
                    errors.append({"line": totals["read"] + told["line"], "error": told["error"]})
                done = told if told.get("done") else done
            if done is None:
                raise Complaint(f"the import stopped after line {totals['read']}; do it again: what is stored stays")
            totals = {name: value + done.get(name, 0) for name, value in totals.items()}
            if not session.json:
                session.err.print(f"{totals['read']} lines read, {totals['stored']} new, {totals['failed']} failed")
    if session.json:
        session.answer({**totals, "errors": errors})
    for each in errors if not session.json else ():
        session.err.print(f"line {each['line']}: {each['error']}", markup=False)
    if totals["failed"]:
        raise Complaint(f"{totals['failed']} of {totals['read']} lines were refused")


def _lines(file: Path) -> Iterator[bytes]:
    try:
        with file.open(newline="", encoding="utf-8") as source:
            if file.suffix.lower() == ".csv":
                yield from (msgspec.json.encode(_document(row)) for row in csv.DictReader(source))
            else:
                yield from (line.rstrip("\r\n").encode() for line in source)
    except (OSError, UnicodeError, csv.Error) as error:
        raise Complaint(f"cannot read {file}: {error}") from error


def _document(row: dict[str, str]) -> dict[str, Any]:
    """A row as a resource: empty cells say nothing, numbers and truth values in the metadata are what they look like."""
    made: dict[str, Any] = {}
    for name, text in row.items():
        if name is None or text in (None, ""):
            continue
        head, dot, rest = name.partition(".")
        if dot and head == "metadata":
            made.setdefault("metadata", {})[rest] = scalar(text)
        else:
            made[name] = text.split(";") if name == "tags" else int(text) if name == "bytes" and text.isdigit() else text
    return made


app.command("import")(import_)
