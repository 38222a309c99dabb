"""``sluice bind``, ``bindings`` and ``unbind``: functions that start by themselves for objects."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from infra.console import text
from infra.console.client import Complaint
from infra.console.resources import Lang, every, path, read
from infra.console.session import Session, command


@command
def bind(
    session: Session,
    name: Annotated[str, typer.Argument(help="What it is called; else as its task.", show_default=False)] = "",
    function: Annotated[str, typer.Option(help="The function to start, such as preprocess.", show_default=False)] = "",
    format: Annotated[list[str] | None, typer.Option(help="Objects of this format; may repeat.")] = None,
    content_type: Annotated[list[str] | None, typer.Option(help="Of this content type, such as text/*; may repeat.")] = None,
    prefix: Annotated[str, typer.Option(help="With this prefix of the key, or s3://BUCKET/PREFIX.", show_default=False)] = "",
    filter: Annotated[str, typer.Option(help="That match this filter.", show_default=False)] = "",
    lang: Lang = "cql2-text",
    rule: Annotated[str, typer.Option(metavar="JSON|@FILE|-", help="The function's parameters.", show_default=False)] = "",
    task: Annotated[str, typer.Option(help="Instead of a function: the task of sluice.tasks to run.", show_default=False)] = "",
    into: Annotated[
        str, typer.Option(metavar="s3://BUCKET/PREFIX/", help="Where the task's results go.", show_default=False)
    ] = "",
    form: Annotated[str, typer.Option(help="Of the tables among them: parquet, csv or jsonl.", show_default=False)] = "",
    args: Annotated[str, typer.Option(metavar="JSON|@FILE|-", help="The task's arguments.", show_default=False)] = "",
    deadline: Annotated[float, typer.Option(help="Seconds that it should take at most.", show_default=False)] = 0.0,
    objective: Annotated[str, typer.Option(help="time, cost or balanced.", show_default=False)] = "",
) -> None:
    """Have a function or a task start by itself for every object that matches. Prints the binding's id."""
    told = {"task": task, "into": into, "form": form, "deadline_s": deadline, "objective": objective}
    given = {key: value for key, value in told.items() if value}
    if given and not (task and into):
        raise Complaint("a task needs both: --task, one of sluice.tasks, and --into, where its results go")
    if not name and not task:
        raise Complaint("what shall the binding be called? sluice bind NAME --function FUNCTION, or --task TASK --into PLACE")
    parameters = {**(read(rule) if rule else {}), **given, **({"args": read(args)} if args else {})}
    if task:
        name, function = name or task, function or "run_task"
    wanted = {
        "name": name, "function": function, "formats": format or [], "content-types": content_type or [], "prefix": prefix,
        "filter": filter, "filter-lang": lang if filter else "", "parameters": parameters,
    }  # fmt: skip
    with session.api() as api:
        made = api.post("/bindings", wanted)
    session.answer(made) if session.json else typer.echo(made["id"])


@command
def bindings(session: Session) -> None:
    """List the bindings."""
    with session.api() as api:
        found = list(every(api, "bindings", 0))
    if session.json:
        session.answer({"bindings": found})
        return
    table = Table("id", "name", "function", "for", "rule", box=None, pad_edge=False)
    for each in found:
        wanted = [*each["formats"], *each["content-types"], each["prefix"], each["filter"]]
        rule = " ".join(f"{name}={value}" for name, value in each["parameters"].items())
        told = (each["id"], each["name"], each["function"], " ".join(one for one in wanted if one) or "everything", rule)
        table.add_row(*(Text(text.printable(one)) for one in told))
    session.out.print(table)


@command
def unbind(session: Session, name: Annotated[str, typer.Argument(help="Its name or id.")]) -> None:
    """End a binding. What its function has in hand is finished."""
    with session.api() as api:
        found = [each["id"] for each in every(api, "bindings", 0) if name in (each["name"], each["id"])]
        if len(found) != 1:
            raise Complaint(f"{len(found) or 'no'} bindings are called {name!r}: see `sluice bindings`, and give an id")
        api.delete(path("bindings", found[0]))
    session.answer({"deleted": found[0]}) if session.json else typer.echo(f"{found[0]} deleted")
