"""``sluice up`` and ``sluice status``: the running lake."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import msgspec
import typer
from rich.table import Table

from infra.console import text
from infra.console.session import Session, command
from infra.runtime.endpoints import Endpoints

Port = Annotated[int | None, typer.Option(min=0, max=65535, metavar="PORT", help="0 takes a free one.", show_default=False)]


@command
def up(
    session: Session,
    http_port: Port = None,
    s3_port: Port = None,
    fd: Annotated[
        int | None, typer.Option(min=0, metavar="N", help="A listening socket for HTTP, already open.", show_default=False)
    ] = None,
    log_format: Annotated[
        str | None, typer.Option(metavar="FORMAT", help="The log on standard error: text or json.", show_default=False)
    ] = None,
) -> None:
    """Start a lake: the S3 endpoint, the HTTP endpoint and the worker. It runs until Ctrl-C."""
    from infra.runtime.embedded import serve
    from infra.runtime.logs import FORMATS
    from infra.runtime.logs import configure as configure_logs

    if log_format and log_format not in FORMATS:
        raise typer.BadParameter(f"{log_format!r} is neither of {', '.join(FORMATS)}", param_hint="--log-format")
    config = session.config
    replace = msgspec.structs.replace
    if http_port is not None:
        config = replace(config, http=replace(config.http, port=http_port))
    if s3_port is not None:
        config = replace(config, door=replace(config.door, port=s3_port))

    def started(endpoints: Endpoints) -> None:
        own_keys = not (config.door.access_key and config.door.secret_key) and config.door.enabled
        keys = str(config.folder / "credentials") if own_keys else ""
        known = {**msgspec.to_builtins(endpoints), "data": str(config.folder), "credentials": keys}
        if session.json:
            session.line(known)
            return
        out = session.out
        out.print(f"S3    {endpoints.s3}")
        out.print(f"HTTP  {endpoints.http}")
        out.print(f"data  {config.folder}")
        out.print(f"keys  {keys or 'as configured in lithops_config.yaml'}", soft_wrap=True)
        if keys:
            out.print('For boto3 and aws: eval "$(sluice env)". ', end="")
        out.print("Ctrl-C stops the lake.")

    configure_logs(log_format or config.runtime.log_format)
    session.share_file()
    asyncio.run(serve(config, started, fd))


@command
def status(session: Session) -> None:
    """Show the lake in numbers: its log, catalogue, models, profiles and subscriptions."""
    endpoints = session.endpoints
    with session.api() as api:
        found = api.get("/status")
    if session.json:
        session.answer({**found, "endpoints": msgspec.to_builtins(endpoints)})
        return
    table = Table(show_header=False, box=None, pad_edge=False)
    for name, value in _rows(found):
        table.add_row(name, value)
    table.add_row("HTTP", endpoints.http)
    table.add_row("S3", endpoints.s3)
    session.out.print(table)


def _rows(found: dict[str, Any]) -> list[tuple[str, str]]:
    log = found["log"]
    waiting = f"{log['waiting']} waiting, {_marked(log['retrying'], 'yellow')} of them retrying"
    if log["waiting"]:
        waiting += f", the oldest for {text.seconds(log['oldest_s'])}"
    behind = log.get("behind_s", 0.0)
    lag = "[green]none[/]" if behind < 1 else f"[{'red' if behind > 60 else 'yellow'}]{text.seconds(behind)}[/] behind"
    pace = found["pace"]
    speed = f"{pace['accepted_per_s']:.1f} accepted/s, {pace['settled_per_s']:.1f} settled/s over the last minute"
    latency = "none yet"
    if pace["latency_p50_s"] is not None:
        latency = f"half within {text.seconds(pace['latency_p50_s'])}, 95 % within {text.seconds(pace['latency_p95_s'])}"
    objects = [
        f"{told['objects']} {state} ({text.size(told['bytes'] or 0)})" for state, told in sorted(found["catalog"].items())
    ]
    return [
        ("events", f"{log['events']} accepted"),
        ("deliveries", waiting),
        ("lag", lag),
        ("pace", speed),
        ("latency", latency),
        ("dead letters", _marked(log["dead"], "red")),
        ("objects", ", ".join(objects) or "none"),
        ("model versions", str(found["models"])),
        ("task profiles", str(found["profiles"])),
        ("subscriptions", str(found["subscriptions"])),
        ("functions", ", ".join(found["functions"])),
    ]


def _marked(count: int, colour: str) -> str:
    """A number that should be 0, coloured when it is not (colour is only shown on a terminal)."""
    return f"[{colour}]{count}[/]" if count else "0"


@command
def env(session: Session) -> None:
    """Print what makes boto3 and aws speak to this lake: eval "$(sluice env)"."""
    from shlex import quote

    endpoints = session.endpoints
    names = {"AWS_ENDPOINT_URL_S3": endpoints.s3, "AWS_DEFAULT_REGION": session.config.door.region}
    if session.config.door.enabled:
        names["AWS_SHARED_CREDENTIALS_FILE"] = str(session.config.folder / "credentials")
    else:
        names["AWS_DEFAULT_REGION"] = session.config.objects.region
    if session.json:
        session.answer(names)
        return
    for name, value in names.items():
        typer.echo(f"export {name}={quote(value)}")
