"""Subscriptions: an HTTP sink or a Redis stream receives the events that match, as CloudEvents, in order per key, retried.

Source: CloudEvents Subscriptions API 0.1-wip. How an event is sent, and what answers mean, is ``infra/delivery/webhook.py``.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import httpx
import msgspec
from sqlalchemy import Column, MetaData, Table, Text, bindparam, delete, select, update

from events.attributes import check
from events.errors import Reject
from events.event import Event, now
from events.filter import Filter, compile_filters
from infra.catalog.acl import ADMIN, Caller
from infra.catalog.database import Database, Upsert
from infra.delivery import stream_sink
from infra.delivery.credential import Credential
from infra.delivery.stream_sink import StreamSink
from infra.delivery.webhook import Gone, Webhook, address_of, settings_of

logger = logging.getLogger("sluice.subscriptions")
PREFIX = "subscription/"
#: The protocol of a subscription whose sink is a Redis stream.
STREAM = "REDIS"
SCHEMA = "CREATE TABLE subscription (id TEXT PRIMARY KEY, body TEXT NOT NULL) WITHOUT ROWID"
_table = Table("subscription", MetaData(), Column("id", Text, primary_key=True), Column("body", Text))
_c = _table.c
_ALL = select(_c.id, _c.body).order_by(_c.id)
_GET = select(_c.body).where(_c.id == bindparam("name"))


def _put(insert: Any) -> Any:
    made = insert(_table).values(id=bindparam("id"), body=bindparam("body"))
    return made.on_conflict_do_update(index_elements=[_c.id], set_={"body": made.excluded.body})


_PUT = Upsert(_put)
_MOVE = Upsert(lambda insert: insert(_table).values(id=bindparam("id"), body=bindparam("body")).on_conflict_do_nothing())
_CHANGE = update(_table).where(_c.id == bindparam("name")).values(body=bindparam("told"))
_DROP = delete(_table).where(_c.id == bindparam("name"))


class Subscription(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who wants which events: of this ``source``, of any of ``types`` (``*`` matches any text), and every one of ``filters``.

    ``protocolsettings`` are those of ``HttpSettings``, or for a stream of ``StreamSettings``. ``config`` is kept for the
    subscriber; nothing here reads it. ``maker`` are the principals it acts as; nobody can say or see them.
    """

    sink: str
    id: str = ""
    source: str = ""
    types: list[str] = []
    config: dict[str, Any] = {}
    filters: list[dict[str, Any]] = []
    sinkcredential: Credential | None = None
    protocol: str = "HTTP"
    protocolsettings: dict[str, Any] = {}
    created: str = ""
    #: The rate that the sink agreed to by callback (0: any); ``None`` if it has not. Ours to set, and not shown.
    granted: int | None = None
    maker: list[str] = msgspec.field(default_factory=lambda: [ADMIN])

    def shown(self) -> dict[str, Any]:
        """The subscription as JSON may show it: without secrets, and without an empty source."""
        document: dict[str, Any] = msgspec.to_builtins(self)
        del document["granted"], document["maker"]
        if not self.source:
            del document["source"]
        if self.sinkcredential is None:
            del document["sinkcredential"]
        else:
            document["sinkcredential"] = self.sinkcredential.shown()
        return document


class _Compiled(NamedTuple):
    body: str
    subscription: Subscription
    wants: Filter
    sink: Webhook | StreamSink


class Subscriptions:
    """All subscriptions, compiled. They are kept in the catalogue's database; ``load`` refreshes the compiled form.

    ``reload`` is called for a delivery to one that is not known: another process may have made it just now. ``ended`` is called
    with the id of a subscription whose sink is gone; it is to ``retire`` it. ``callback`` gives the URL by which the sink of a
    subscription may agree to its events later, if there is one. ``visible`` says whether a subscription's maker may see an
    event; it is asked when the event is sent, because rights change. ``completed`` adds what only then can be told, such as a
    URL that will not be good for long.
    """

    def __init__(self, callback: Callable[[str], str] = lambda _: "") -> None:
        self._callback = callback
        self._found: dict[str, _Compiled] = {}
        self.reload: Callable[[], object] = lambda: None
        self.ended: Callable[[str], object] = lambda _: None
        self.visible: Callable[[Event, Caller], bool] = lambda _event, _caller: True
        self.completed: Callable[[Event], Event] = lambda event: event

    def load(self, database: Database) -> None:
        """Read and compile what the database holds. Who has not changed keeps what is known of its sink."""
        rows = database.rows(_ALL)
        known = self._found
        self._found = {
            row["id"]: known[row["id"]]
            if row["id"] in known and known[row["id"]].body == row["body"]
            else _compile(row["body"], self._callback)
            for row in rows
        }

    def all(self) -> list[Subscription]:
        return [found.subscription for found in self._found.values()]

    def get(self, target: str) -> Subscription | None:
        """The subscription of this id or delivery target, if it still exists."""
        found = self._found.get(target.removeprefix(PREFIX))
        return found.subscription if found else None

    def match(self, event: Event) -> Iterable[str]:
        """The delivery targets of the subscriptions that want this event."""
        return [PREFIX + found.subscription.id for found in self._found.values() if found.wants(event)]

    def post(self, client: httpx.Client, target: str, event: Event) -> None:
        """Send one event to a delivery target; nothing happens if that no longer exists. Raises as ``Webhook.post`` does."""
        name = target.removeprefix(PREFIX)
        if name not in self._found:
            self.reload()
        found = self._found.get(name)
        if found is None or not self.visible(event, Caller(frozenset(found.subscription.maker))):
            return
        try:
            found.sink.post(client, self.completed(event))
        except Gone as error:
            logger.warning("the subscription %s ends: %s", found.subscription.id, error)
            self.ended(found.subscription.id)
            raise


def _compile(body: str, callback: Callable[[str], str]) -> _Compiled:
    found = msgspec.json.decode(body, type=Subscription)
    wants = compile_filters(found.types, found.filters, found.source)
    if found.protocol == STREAM:
        stream = StreamSink(found.sink, stream_sink.settings_of(found.protocolsettings), found.sinkcredential)
        return _Compiled(body, found, wants, stream)
    settings = settings_of(found.protocolsettings)
    webhook = Webhook(
        found.sink, settings, found.sinkcredential, callback(found.id) if settings.handshake else "", found.granted
    )
    return _Compiled(body, found, wants, webhook)


def parse(document: Any) -> Subscription:
    """The subscription that a JSON object proposes. Raises ``Reject`` with the path of the first misfit.

    ``sinkCredential`` and the names in it may be written in any case, as the drafts of the specification do. A member that is
    ``null`` is as good as none.
    """
    if not isinstance(document, dict):
        raise Reject("a subscription is a JSON object")
    if "maker" in document:
        raise Reject("the subscription does not fit: Object contains unknown field `maker`")
    told = {name: value for name, value in document.items() if value is not None}
    wanted = {"sinkcredential" if name.lower() == "sinkcredential" else name: value for name, value in told.items()}
    if isinstance(credential := wanted.get("sinkcredential"), dict):
        wanted["sinkcredential"] = {str(name).lower(): value for name, value in credential.items() if value is not None}
    try:
        made = msgspec.convert(wanted, Subscription)
    except msgspec.ValidationError as error:
        raise Reject(f"the subscription does not fit: {error}") from error
    if made.granted is not None:
        raise Reject("granted: only the sink itself can agree, by its callback")
    if "source" in wanted and not made.source:
        raise Reject("source: it must not be empty; leave it out to have the events of every source")
    return made


def add(database: Database, wanted: Subscription) -> Subscription:
    """Check and store a subscription, in place of the one of its id; returns it with its id. Raises ``Reject``.

    A credential without its secret, as ``shown`` gives it, keeps the secret that is known.
    """
    if wanted.protocol not in ("HTTP", STREAM):
        raise Reject(f"the protocol {wanted.protocol!r} is not offered here; HTTP and {STREAM} are")
    stream = wanted.protocol == STREAM
    (stream_sink.address_of if stream else address_of)(wanted.sink)
    if "/" in wanted.id or "\0" in wanted.id or wanted.id in (".", "..") or len(wanted.id) > 128:
        raise Reject(f"the id {wanted.id[:128]!r} cannot stand in a URL: use at most 128 characters without a slash or U+0000")
    if "" in wanted.config:
        raise Reject("config: a key must not be empty")
    if wanted.source:
        check("source", wanted.source)
    (stream_sink.settings_of if stream else settings_of)(wanted.protocolsettings)
    compile_filters(wanted.types, wanted.filters, wanted.source)
    row = database.row(_GET, {"name": wanted.id})
    known = msgspec.json.decode(row["body"], type=Subscription) if row else None
    credential = wanted.sinkcredential
    if credential is not None:
        credential = _completed(credential, known.sinkcredential if known else None)
        credential.check()
        if stream and credential.credentialtype != "PLAIN":
            raise Reject("sinkcredential: a Redis takes PLAIN, the name of its user (default) and the password")
    made = msgspec.structs.replace(
        wanted,
        id=wanted.id or str(uuid.uuid4()),
        created=known.created if known else now(),
        sinkcredential=credential,
        granted=known.granted if known and known.sink == wanted.sink else None,
    )
    database.run(_PUT, {"id": made.id, "body": msgspec.json.encode(made).decode()})
    return made


def _completed(wanted: Credential, known: Credential | None) -> Credential:
    if wanted.complete or known is None or known.credentialtype != wanted.credentialtype:
        return wanted
    return msgspec.structs.replace(
        wanted, identifier=wanted.identifier or known.identifier, secret=known.secret, accesstoken=known.accesstoken
    )


def grant(database: Database, name: str, rate: int) -> bool:
    """Note that a subscription's sink agreed to ``rate`` events a minute (0: any number); whether the subscription exists."""
    row = database.row(_GET, {"name": name})
    if row is None:
        return False
    made = msgspec.structs.replace(msgspec.json.decode(row["body"], type=Subscription), granted=rate)
    return database.run(_CHANGE, {"name": name, "told": msgspec.json.encode(made).decode()}) == 1


def remove(database: Database, name: str) -> bool:
    """Forget a subscription and what it still waits for; whether it existed."""
    if database.dialect == "sqlite":  # elsewhere the log is in Redis, and what waits there finds nobody
        database.connection.execute("DELETE FROM delivery WHERE target = ?", (PREFIX + name,))
    return retire(database, name)


def retire(database: Database, name: str) -> bool:
    """Forget a subscription, but not the delivery at hand, whose failure is still to be told; whether it existed."""
    return database.run(_DROP, {"name": name}) == 1


def move(old: Database, new: Database) -> None:
    """Take over those that an earlier version kept in ``lake.db`` beside a catalogue elsewhere; ``old`` forgets them later."""
    new.many(_MOVE, [{"id": row["id"], "body": row["body"]} for row in old.rows(_ALL)])
