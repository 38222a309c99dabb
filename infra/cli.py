"""The command line: ``sluice COMMAND``. Each command is in the file of its noun below ``console``."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

import typer

#: Commands, by where they are below ``console``.
COMMANDS = {
    "up": "up:up",
    "worker": "worker:worker",
    "status": "up:status",
    "env": "up:env",
    "put": "objects:put",
    "ls": "catalog:ls",
    "find": "catalog:find",
    "show": "catalog:show",
    "events": "events:events",
    "plan": "plan:plan",
    "profile": "profile:profile",
    "map": "maps:map_",
    "lineage": "lineage:lineage",
    "bind": "bindings:bind",
    "bindings": "bindings:bindings",
    "unbind": "bindings:unbind",
    "train": "train:train",
    "models": "models:models",
    "model": "models:model",
    "infer": "infer:infer",
    "series": "series:series",
    "sparql": "sparql:sparql",
    "why": "why:why",
    "serve": "serve:serve",
    "deploy": "deploy:deploy",
    "subscribe": "subscriptions:subscribe",
    "subscriptions": "subscriptions:subscriptions",
    "unsubscribe": "subscriptions:unsubscribe",
    "notifications": "notifications:notifications",
    "reconcile": "reconcile:reconcile",
    "dead-letters": "dead_letters:dead_letters",
    "replay": "dead_letters:replay",
}
#: Commands that have commands of their own, by where the last of these is added.
GROUPS = {
    "object": "data_objects:app",
    "record": "resources:record",
    "set": "members:set_",
    "provider": "resources:provider",
    "catalog": "export:app",
    "key": "keys:app",
    "stage": "stage:app",
}


def application(only: str = "") -> typer.Typer:
    """All commands, or one: nobody waits for the others to be imported."""
    app = typer.Typer(
        name="sluice",
        help="An event-driven serverless function suite for a data lake.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_nothing)  # else one command alone would have no name
    for name, place in COMMANDS.items():
        if only in ("", name):
            app.command(name)(_found(place))
    for name, place in GROUPS.items():
        if only in ("", name):
            app.add_typer(_found(place), name=name)
    return app


def _nothing() -> None:
    pass


def _found(place: str) -> Any:
    module, _, name = place.partition(":")
    return getattr(import_module(f"infra.console.{module}"), name)


def main() -> None:
    """Run the command line; ends the process with 0, 1 (it did not work) or 2 (it was called wrongly)."""
    first = sys.argv[1] if len(sys.argv) > 1 else ""
    application(first if first in COMMANDS or first in GROUPS else "")()


if __name__ == "__main__":
    main()
