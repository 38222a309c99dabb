"""The command line: ``sluice COMMAND``. Each command is in the file of its noun below ``console``."""

from __future__ import annotations

import typer

from infra.console import (
    catalog,
    dead_letters,
    events,
    maps,
    notifications,
    objects,
    plan,
    reconcile,
    subscriptions,
    up,
    worker,
)

app = typer.Typer(
    name="sluice",
    help="An event-driven serverless function suite for a data lake.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for name, function in {
    "up": up.up,
    "worker": worker.worker,
    "status": up.status,
    "env": up.env,
    "put": objects.put,
    "ls": catalog.ls,
    "find": catalog.find,
    "show": catalog.show,
    "events": events.events,
    "plan": plan.plan,
    "map": maps.map_,
    "models": catalog.models,
    "subscribe": subscriptions.subscribe,
    "subscriptions": subscriptions.subscriptions,
    "unsubscribe": subscriptions.unsubscribe,
    "notifications": notifications.notifications,
    "reconcile": reconcile.reconcile,
    "dead-letters": dead_letters.dead_letters,
    "replay": dead_letters.replay,
}.items():
    app.command(name)(function)


def main() -> None:
    """Run the command line; ends the process with 0, 1 (it did not work) or 2 (it was called wrongly)."""
    app()


if __name__ == "__main__":
    main()
