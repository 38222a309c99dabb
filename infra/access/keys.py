"""API keys: ``sluice_ID_SECRET``. The secret is shown once, when the key is made; only its hash is kept.

A secret has 256 random bits. Nobody can guess that, however quick the hash: a slow one, made for passwords that people think
up, would guard nothing here and would cost every request a tenth of a second.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import msgspec
from sqlalchemy import bindparam, insert, select, update

from events.errors import Reject
from events.event import now
from events.ports import NotFound
from infra.access.errors import Unauthorized
from infra.access.scopes import SCOPES, caller
from infra.catalog import times
from infra.catalog.acl import Caller, is_principal
from infra.catalog.database import Database
from infra.catalog.schema import api_key

PREFIX = "sluice_"
#: For how long another process may still take a key that was revoked here, seconds.
KNOWN_SECONDS = 5.0


class ApiKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key as it may be shown. ``expires`` and ``revoked`` are RFC 3339 times, or empty; ``principals`` are its rights."""

    id: str
    name: str
    principals: list[str]
    scopes: list[str]
    created: str
    expires: str = ""
    revoked: str = ""


class NewKey(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A key to be made. It acts as ``user/NAME`` unless ``principals`` (``user/...``, ``group/...``) are given."""

    name: str
    principals: list[str] = []
    scopes: list[str] = msgspec.field(default_factory=lambda: ["read"])
    expires: str = ""


class MadeKey(ApiKey, frozen=True, kw_only=True):
    """A key that was just made, with what its bearer is to send: shown this once."""

    token: str


def digest(secret: str) -> str:
    """What is kept of a secret."""
    return hashlib.blake2b(secret.encode(), digest_size=32, person=b"sluice api key").hexdigest()


def create(database: Database, wanted: NewKey, guarded: bool = False) -> MadeKey:
    """Make a key. Raises ``Reject`` for a name, principal, scope or time that makes no sense.

    The first key of a lake that is not ``guarded`` otherwise must have the scope ``admin``: from then on it asks who calls.
    """
    if not wanted.name.strip() or not wanted.name.isprintable() or len(wanted.name) > 100:
        raise Reject("name: a key needs a name of at most 100 printable characters")
    principals = wanted.principals or [f"user/{wanted.name}"]
    for principal in principals:
        if not is_principal(principal):
            raise Reject(f"principals: {principal[:100]!r} is neither user/NAME nor group/NAME")
    if unknown := set(wanted.scopes) - SCOPES.keys():
        raise Reject(f"scopes: {sorted(unknown)[0]!r} is none of {', '.join(SCOPES)}")
    if not wanted.scopes:
        raise Reject(f"scopes: a key needs at least one of {', '.join(SCOPES)}")
    if wanted.expires and (times.ms(wanted.expires) or 0) <= time.time() * 1000:
        raise Reject(f"expires: {wanted.expires[:40]!r} is no time to come: write it like 2030-01-31T12:00:00Z")
    if not guarded and "admin" not in wanted.scopes and database.row(_ANY) is None:
        raise Reject("the first key must have the scope admin: with it, this lake begins to ask who calls")
    identity, secret = secrets.token_hex(8), secrets.token_urlsafe(32)
    made = ApiKey(
        id=identity,
        name=wanted.name,
        principals=principals,
        scopes=wanted.scopes,
        created=now(),
        expires=times.utc(wanted.expires) or "",
    )
    database.run(_INSERT, {**msgspec.structs.asdict(made), "digest": digest(secret)})
    return MadeKey(**msgspec.structs.asdict(made), token=f"{PREFIX}{identity}_{secret}")


def revoke(database: Database, identity: str) -> ApiKey:
    """Make a key worthless. It stays listed, so that the lake stays closed. Raises ``NotFound``."""
    database.run(_REVOKE, {"identity": identity, "at": now()})
    found = next((key for key in listed(database) if key.id == identity), None)
    if found is None:
        raise NotFound(f"there is no API key {identity}")
    return found


def listed(database: Database) -> list[ApiKey]:
    """All keys, the oldest first, without anything secret."""
    return [_shown(row) for row in database.rows(_ALL)]


class _Known(msgspec.Struct, frozen=True):
    digest: str
    caller: Caller
    expires: float


class Keys:
    """The keys in memory. ``reading`` opens a database to read from; ``load`` must follow every change."""

    def __init__(self, reading: Callable[[], AbstractContextManager[Database]]) -> None:
        self._reading = reading
        self._known: dict[str, _Known] = {}
        self._loading = threading.Lock()
        self.loaded = 0.0
        self.load()

    @property
    def any(self) -> bool:
        """Whether there ever was a key: a lake that asks who calls does not stop to because its last key expired."""
        return bool(self._known)

    @property
    def stale(self) -> bool:
        """Whether another process may have changed the keys since."""
        return time.monotonic() - self.loaded > KNOWN_SECONDS

    def load(self) -> None:
        """Read all keys anew."""
        with self._loading:  # one after the other, or an earlier reading could put a revoked key back
            loaded = time.monotonic()
            with self._reading() as database:
                rows = database.rows(_ALL)
            self._known = {row["id"]: _known(row) for row in rows}
            self.loaded = loaded

    def caller(self, token: str) -> Caller:
        """Who sends this key. Raises ``Unauthorized``. Takes as long for an unknown id as for a wrong secret."""
        identity, _, secret = token.removeprefix(PREFIX).partition("_")
        known = self._known.get(identity, _NOBODY)
        right = hmac.compare_digest(digest(secret), known.digest)
        if not right or known.expires <= time.time():
            raise Unauthorized(given=True)
        return known.caller


_NOBODY = _Known(digest="", caller=Caller(), expires=0.0)
_ALL = select(api_key).order_by(api_key.c.created, api_key.c.id)
_ANY = select(api_key.c.id).limit(1)
_INSERT = insert(api_key).values({column.name: bindparam(column.name) for column in api_key.columns})
_REVOKE = update(api_key).where(api_key.c.id == bindparam("identity"), api_key.c.revoked == "").values(revoked=bindparam("at"))


def _known(row: Any) -> _Known:
    ends = [times.ms(row[name]) or 0 for name in ("expires", "revoked") if row[name]]
    return _Known(
        digest=row["digest"],
        caller=caller(row["principals"], row["scopes"]),
        expires=min(ends, default=float("inf")) / 1000,
    )


def _shown(row: Any) -> ApiKey:
    return ApiKey(**{name: row[name] for name in ApiKey.__struct_fields__})
