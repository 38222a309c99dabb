"""``sluice reconcile``: compare buckets with the catalogue, and make up for what was not told."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from infra.console import text
from infra.console.address import parse
from infra.console.client import Client, Complaint
from infra.console.session import Session, command

COUNTS = ("missed", "changed", "removed", "new")


@command
def reconcile(
    session: Session,
    address: Annotated[
        str, typer.Argument(metavar="[s3://BUCKET/PREFIX]", help="What to compare; everything unless given.")
    ] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count the differences.", show_default=False)] = False,
    restart: Annotated[
        bool, typer.Option("--restart", help="Begin anew where a sweep was interrupted.", show_default=False)
    ] = False,
) -> None:
    """Compare buckets with the catalogue; what was missed, changed or removed becomes events. Repeating it is harmless."""
    with session.api() as api:
        wanted = [parse(address)] if address else _all(session)
        results = [
            _sweep(session, api, {"bucket": bucket, "prefix": prefix, "dry_run": dry_run, "restart": restart})
            for bucket, prefix in wanted
        ]
    if session.json:
        session.answer({"sweeps": results, "dry_run": dry_run})
        return
    for each in results:
        where = text.printable(f"s3://{each['bucket']}/{each['prefix']}")
        told = f"{each['listed']} objects, {each['missed']} missed, {each['changed']} changed, {each['removed']} removed"
        typer.echo(f"{where}: {told}" + (" (nothing was done)" if dry_run else f"; {each['new']} new events"))


def _all(session: Session) -> list[tuple[str, str]]:
    """The configured buckets, or all there are but the lake's own."""
    from infra.objects.s3 import S3Store

    if session.config.reconcile.buckets:
        return [parse(address) for address in session.config.reconcile.buckets]
    store = S3Store(*session.store())
    try:
        return [(bucket, "") for bucket in store.buckets() if bucket != session.config.bucket]
    finally:
        store.close()


class RateColumn(ProgressColumn):
    """Objects a second."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.finished_speed or task.speed or 0:,.0f}/s")


def _sweep(session: Session, api: Client, wanted: dict[str, Any]) -> dict[str, Any]:
    """One sweep; the bar ends at what the catalogue knows of, or further where the store has more."""
    columns = [
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), RateColumn(), TimeRemainingColumn(),
        TextColumn("{task.fields[told]}"),
    ]  # fmt: skip
    found: dict[str, Any] = {}
    quiet = session.json or not session.err.is_terminal
    with Progress(*columns, console=session.err, transient=True, disable=quiet) as bar:
        task = bar.add_task(text.printable(f"s3://{wanted['bucket']}/{wanted['prefix']}"), total=None, told="")
        for found in api.lines("/reconcile", wanted):
            if "error" in found:
                raise Complaint(found["error"])
            told = ", ".join(f"{found[name]} {name}" for name in COUNTS if found[name])
            total = max(found["expected"], found["listed"])
            bar.update(task, completed=found["listed"], total=total, told=text.printable(told))
    if not found.get("done"):
        raise Complaint(f"the sweep of s3://{wanted['bucket']} was interrupted; the same command goes on where it was")
    return found
