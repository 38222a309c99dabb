"""``sluice catalog export``: the catalogue in DCAT."""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import Annotated

import typer

from infra.console.imports import app
from infra.console.session import Session, command


class Form(StrEnum):
    """How RDF is written."""

    turtle = "turtle"
    jsonld = "jsonld"


@app.command()
@command
def export(
    session: Session,
    form: Annotated[Form, typer.Option("--form", help="How it is written.")] = Form.turtle,
) -> None:
    """Write the catalogue to standard output in DCAT, for other catalogues to read."""
    with session.api() as api:
        for part in api.download("/catalog.ttl" if form == Form.turtle else "/catalog.jsonld"):
            sys.stdout.buffer.write(part)
    sys.stdout.buffer.flush()
