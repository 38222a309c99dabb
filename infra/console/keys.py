"""``sluice key``: API keys, for those who administer a lake."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote

import typer
from rich.table import Table
from rich.text import Text

from infra.console.session import Session, command

app = typer.Typer(help="API keys: who may call this lake, and for what.", no_args_is_help=True)


@command
def create(
    session: Session,
    name: Annotated[str, typer.Argument(help="What it is called; it acts as user/NAME.")],
    scope: Annotated[list[str] | None, typer.Option(help="read, write, events or admin; may repeat.")] = None,
    principal: Annotated[
        list[str] | None, typer.Option(metavar="user/NAME|group/NAME", help="Whom it acts as instead; may repeat.")
    ] = None,
    expires: Annotated[str, typer.Option(help="When it ends, such as 2030-01-31.", show_default=False)] = "",
) -> None:
    """Make an API key. Its token is shown this once."""
    wanted = {"name": name, "scopes": scope or ["read"], "principals": principal or [], "expires": expires}
    with session.api() as api:
        made = api.post("/api-keys", wanted)
    session.answer(made) if session.json else typer.echo(made["token"])


@command
def list_(session: Session) -> None:
    """List the API keys."""
    with session.api() as api:
        found = api.get("/api-keys")
    if session.json:
        session.answer(found)
        return
    table = Table("id", "name", "acts as", "scopes", "expires", "", box=None, pad_edge=False)
    for each in found["keys"]:
        told = each["id"], each["name"], ", ".join(each["principals"]), ", ".join(each["scopes"]), each["expires"] or "never"
        table.add_row(*map(Text, told), "revoked" if each["revoked"] else "")
    session.out.print(table)


@command
def revoke(session: Session, id: Annotated[str, typer.Argument(help="As `sluice key list` shows it.")]) -> None:
    """Make an API key worthless."""
    with session.api() as api:
        api.delete(f"/api-keys/{quote(id, safe='')}")
    session.answer({"revoked": id}) if session.json else typer.echo(f"API key {id} revoked")


for name, function in {"create": create, "list": list_, "revoke": revoke}.items():
    app.command(name)(function)
