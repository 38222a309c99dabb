"""``sluice sparql``: ask the graph."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

from infra.console.session import Session, command


@command
def sparql(
    session: Session,
    query: Annotated[str, typer.Argument(metavar="QUERY", help="In SPARQL 1.1: SELECT, ASK, CONSTRUCT or DESCRIBE.")],
    graph: Annotated[list[str] | None, typer.Option(metavar="IRI", help="About this graph; may repeat.")] = None,
) -> None:
    """Ask what is known, and what follows from it."""
    accept = "application/sparql-results+json, application/n-triples;q=0.9"
    with session.api() as api:
        answer = api.query("/sparql", {"query": query, "default-graph-uri": graph or []}, accept)
    if session.json:
        session.answer({"triples": answer.splitlines()} if isinstance(answer, str) else answer)
    elif isinstance(answer, str):
        session.out.print(answer, highlight=False, markup=False, end="", soft_wrap=True)
    elif "boolean" in answer:
        session.out.print("yes" if answer["boolean"] else "no")
    else:
        names = answer["head"]["vars"]
        table = Table(*names, box=None, pad_edge=False)
        for row in answer["results"]["bindings"]:
            table.add_row(*(row[name]["value"] if name in row else "" for name in names))
        session.out.print(table)
