"""The command line: ``sluice COMMAND``. Each command is in the file of its noun below ``console``."""

from __future__ import annotations

import typer

from infra.console import (
    bindings,
    catalog,
    data_objects,
    dead_letters,
    deploy,
    events,
    export,
    imports,
    infer,
    keys,
    lineage,
    maps,
    members,
    models,
    notifications,
    objects,
    plan,
    profile,
    reconcile,
    resources,
    series,
    serve,
    sparql,
    stage,
    subscriptions,
    train,
    up,
    why,
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
    "profile": profile.profile,
    "map": maps.map_,
    "lineage": lineage.lineage,
    "bind": bindings.bind,
    "bindings": bindings.bindings,
    "unbind": bindings.unbind,
    "train": train.train,
    "models": models.models,
    "model": models.model,
    "infer": infer.infer,
    "series": series.series,
    "sparql": sparql.sparql,
    "why": why.why,
    "serve": serve.serve,
    "deploy": deploy.deploy,
    "subscribe": subscriptions.subscribe,
    "subscriptions": subscriptions.subscriptions,
    "unsubscribe": subscriptions.unsubscribe,
    "notifications": notifications.notifications,
    "reconcile": reconcile.reconcile,
    "dead-letters": dead_letters.dead_letters,
    "replay": dead_letters.replay,
}.items():
    app.command(name)(function)
for name, function in {"watch": members.watch, "members": members.members}.items():
    resources.set_.command(name)(function)
imports.app.command("export")(export.export)
for name, group in {
    "object": data_objects.app,
    "record": resources.record,
    "set": resources.set_,
    "provider": resources.provider,
    "catalog": imports.app,
    "key": keys.app,
    "stage": stage.app,
}.items():
    app.add_typer(group, name=name)


def main() -> None:
    """Run the command line; ends the process with 0, 1 (it did not work) or 2 (it was called wrongly)."""
    app()


if __name__ == "__main__":
    main()
