"""The object stores that the catalogue knows: those of the configuration, and those that were added while the lake runs.

A row has the name of a credential, never a key: the keys stand in each machine's configuration (``sluice.credentials``).
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import bindparam, select

from events.errors import Reject
from infra import config
from infra.catalog import lists
from infra.catalog.acl import OPEN, Caller
from infra.catalog.database import Database, Upsert
from infra.catalog.resources import Provider, provider_id
from infra.catalog.schema import data_object
from infra.catalog.schema import provider as table

#: What the lake's own store is called where a name is needed.
DEFAULT = "default"
CONFIGURED = "the provider {} is configured: change it in sluice.providers"
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_c = table.c
_FOUND = select(_c.acl, _c.endpoint, _c.region, _c.credential, _c.source, _c.configured).where(
    _c.provider == bindparam("provider")
)
_SOURCES = select(_c.source, _c.provider).where(_c.source != "", _c.configured.is_(False)).order_by(_c.n)
_LEFT = (
    select(data_object.c.n)
    .where(
        data_object.c.bucket >= bindparam("least"), data_object.c.bucket < bindparam("beyond"), data_object.c.state != "REMOVED"
    )
    .limit(1)
)
_SAME = ("endpoint", "region", "source")


def _configured(insert: Any) -> Any:
    names = ("id", "acl", "created", "updated", "provider", *_SAME, "configured")
    made = insert(table).values({name: bindparam(name) for name in names})
    told = {name: made.excluded[name] for name in (*_SAME, "updated", "configured")}
    differs = _c.configured.is_(False)
    for name in _SAME:
        differs |= _c[name] != made.excluded[name]
    return made.on_conflict_do_update(index_elements=[_c.id], set_={**told, "revision": _c.revision + 1}, where=differs)


_CONFIGURE = Upsert(_configured)


def check(wanted: Provider) -> None:
    """Raises ``Reject`` for a name that no bucket's could begin with, or an endpoint that is none."""
    if not _NAME.fullmatch(wanted.provider):
        raise Reject(f"provider: {wanted.provider[:80]!r} is no name: give small letters, digits and '-', as in ceph")
    if wanted.configured:
        return
    parts = urlsplit(wanted.endpoint)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise Reject("endpoint: give the address of an S3 store, such as https://s3.example.org")
    if "@" in parts.netloc:  # it would be shown
        raise Reject("endpoint: it may hold no keys; put them into sluice.credentials and name them in credential")


def moved(before: Any, after: Provider) -> bool:
    """Whether requests would go elsewhere, or with other keys."""
    return (before.endpoint, before.credential) != (after.endpoint, after.credential)


def kept(database: Database, provider: Provider) -> str:
    """Why a provider cannot be deleted; ``""`` if it can."""
    if provider.configured:
        return CONFIGURED.format(provider.provider)
    bounds = {"least": f"{provider.provider}:", "beyond": f"{provider.provider};"}  # a colon is followed by a semicolon
    if database.row(_LEFT, bounds) is not None:
        return f"the provider {provider.provider} still has data-objects: delete those first"
    return ""


def configure(database: Database, own: config.Provider, others: Iterable[config.Provider]) -> None:
    """Make the rows of configured providers what the configuration says; everybody may view them."""
    present = time.time_ns() // 1_000_000
    acl = lists.number(database, OPEN)
    every = [own, *others]
    for each in every:
        row = {name: getattr(each, name) for name in _SAME}
        made = {"id": provider_id(each.name), "acl": acl, "created": present, "updated": present, "configured": True}
        database.run(_CONFIGURE, {**row, **made, "provider": each.name})
    names = {each.name for each in every}
    for row in database.rows(select(_c.id, _c.provider).where(_c.configured.is_(True))):
        if row["provider"] not in names:
            database.run(table.delete().where(_c.id == row["id"]))


def may_use(database: Database, name: str, caller: Caller) -> bool:
    """Whether a caller may make objects there: there is such a provider, and it may view it."""
    row = database.row(_FOUND, {"provider": name})
    return row is not None and caller.may("view", lists.read(database, row["acl"]))


class Registered:
    """The providers that were added while the lake runs, with the keys that this machine has."""

    def __init__(
        self, reading: Callable[[], AbstractContextManager[Database]], credentials: Sequence[config.Credential]
    ) -> None:
        self._reading = reading
        self._credentials = {each.name: each for each in credentials}

    def find(self, name: str) -> config.Provider | None:
        """One of them. Raises ``Reject`` if this machine has no keys to it."""
        with self._reading() as database:
            row = database.row(_FOUND, {"provider": name})
        if row is None or row["configured"]:
            return None
        keys = self._credentials.get(row["credential"])
        if keys is None:
            raise Reject(
                f"the provider {name} needs the credential {row['credential']!r}, which sluice.credentials has not here"
            )
        return config.Provider(
            name=name, endpoint=row["endpoint"], region=row["region"], access_key=keys.access_key,
            secret_key=keys.secret_key, source=row["source"],
        )  # fmt: skip

    def sources(self) -> list[tuple[str, str]]:
        """How the sources of their notifications read, and their names."""
        with self._reading() as database:
            return [(row["source"], row["provider"]) for row in database.rows(_SOURCES)]
