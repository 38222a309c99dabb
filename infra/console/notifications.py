"""``sluice notifications``: have an object store tell this lake of a bucket's changes, see whether it does, and end it."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from infra.console.address import parse
from infra.console.client import Complaint
from infra.console.session import Session, command

ANYWHERE = ("://0.0.0.0", "://[::]")


class Action(StrEnum):
    """What to do."""

    ENABLE = "enable"
    STATUS = "status"
    DISABLE = "disable"


@command
def notifications(
    session: Session,
    action: Annotated[Action, typer.Argument(help="What to do.")],
    address: Annotated[str, typer.Argument(metavar="s3://BUCKET", help="The bucket.")],
    prefix: Annotated[str, typer.Option(help="Only keys that begin so.", show_default=False)] = "",
    suffix: Annotated[str, typer.Option(help="Only keys that end so.", show_default=False)] = "",
    persistent: Annotated[bool, typer.Option("--persistent", help="Ceph: queue and retry.", show_default=False)] = False,
    events: Annotated[list[str] | None, typer.Option(help="An event such as s3:ObjectCreated:*; may repeat.")] = None,
    topic: Annotated[str, typer.Option(help="Ceph: the topic's name. Others: the target's ARN.", show_default=False)] = "",
) -> None:
    """Have a store tell this lake of a bucket's changes (enable), show what it tells (status), or end it (disable)."""
    from infra.objects.s3 import S3Store
    from infra.sources import notifications as wanted
    from infra.sources.dialect import dialect_of

    bucket, key = parse(address)
    if key:
        raise Complaint(f"notifications are a bucket's: write s3://{bucket}, and the rest as --prefix {key}")
    store = S3Store(*_store(session))
    try:
        dialect = dialect_of(store, bucket)
        if action is Action.ENABLE:
            wish = wanted.Wish(
                bucket=bucket, push=_push(session), prefix=prefix, suffix=suffix, persistent=persistent,
                events=tuple(events or wanted.EVENTS), topic=topic,
            )  # fmt: skip
            wanted.enable(store, dialect, wish)
        elif action is Action.DISABLE:
            gone = wanted.disable(store, dialect, bucket)
            session.answer({"removed": gone}) if session.json else typer.echo(f"{len(gone)} configurations removed")
            return
        _show(session, wanted.status(store, dialect, bucket))
    finally:
        store.close()


def _store(session: Session) -> tuple[str, str, str, str]:
    """The object store's address and keys; a configured one is known without a running lake."""
    settings = session.config.objects
    if settings.endpoint:
        return settings.endpoint, settings.access_key, settings.secret_key, settings.region
    return session.store()


def _push(session: Session) -> str:
    """The address that stores post to, with its token."""
    from infra.sources.token import push_token

    base = (session.url or session.config.sources.url or session.endpoints.http).rstrip("/")
    if any(each in base for each in ANYWHERE):
        raise Complaint(f"{base} is no address that a store can reach: give the lake's with --url http://HOST:PORT")
    return f"{base}/events/{push_token(session.config)}"


def _show(session: Session, found: dict[str, Any]) -> None:
    if session.json:
        session.answer(found)
        return
    table = Table("id", "target", "events", "filter", box=None, pad_edge=False)
    for kind, name in (("TopicConfigurations", "TopicArn"), ("QueueConfigurations", "QueueArn")):
        for each in found["configurations"].get(kind, ()):
            rules = each.get("Filter", {}).get("Key", {}).get("FilterRules", [])
            told = ", ".join(f"{rule['Name']} {rule['Value']}" for rule in rules)
            table.add_row(*(Text(value) for value in (each["Id"], each[name], " ".join(each["Events"]), told)))
    if not table.row_count:
        typer.echo(f"s3://{found['bucket']} tells nobody; begin with: sluice notifications enable s3://{found['bucket']}")
        return
    session.out.print(table)
    for each in found["topics"]:
        kind = (
            "persistent: queued, and retried until taken" if each["persistent"] else "ephemeral: told once; sweep what is lost"
        )
        session.out.print(Text(f"{each['name']} pushes to {each['push']} ({kind})"))
