"""Where the result of a binding may go: nowhere that its owners could not make an object themselves."""

from __future__ import annotations

from events.errors import Reject
from infra.catalog.acl import ANYONE, Acl, Caller
from infra.catalog.database import Database
from infra.catalog.providers import may_use
from infra.objects.providers import UNKNOWN, split


def check(database: Database, own: str, acl: Acl, bucket: str) -> None:
    """Raises ``Reject`` for the lake's ``own`` bucket, and for one of a provider that no owner in the list may view."""
    provider, name = split(bucket)
    if name == own and not provider:
        raise Reject(f"target: the bucket {own} is the lake's own")
    owners = Caller(frozenset((*acl.owners, ANYONE)))
    if provider and not owners.admin and not may_use(database, provider, owners):
        raise Reject(f"target: {UNKNOWN.format(provider)}")  # as where there is none
