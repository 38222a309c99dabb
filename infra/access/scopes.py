"""Scopes: what a credential may be used for. What its bearer may see is another matter: the access lists say that."""

from __future__ import annotations

import re
from collections.abc import Iterable

from infra.catalog.acl import ADMIN, ANYONE, Caller

#: Scope -> what it opens. ``admin`` is all of them, as a member of ``group/admin``.
SCOPES = {
    "read": "look at what the access lists show",
    "write": "create, change and delete where the access lists allow it",
    "events": "send events",
    "graph": "ask what is known of the world, which no access list parts",
    "admin": "everything, and the lake's own affairs: keys, providers, dead letters, numbers",
}


#: The lake's own events that others than administrators may send: requests, and what was seen elsewhere.
TOLD = re.compile(
    r"dev\.sluice\.(plan\.requested|promotion\.requested|observation\.recorded|task\.executed)\.v[0-9]+", re.ASCII
)


def may_send(caller: Caller, type: str) -> bool:
    """Whether the caller may send events of this type: the lake's functions believe those of ``dev.sluice``."""
    return caller.admin or not type.startswith("dev.sluice.") or TOLD.fullmatch(type) is not None


def caller(principals: Iterable[str], scopes: Iterable[str]) -> Caller:
    """Who has these names and scopes. The scope ``admin`` and the group of that name come only together."""
    names, asked = frozenset(principals) | {ANYONE}, frozenset(scopes)
    if "admin" in asked:
        names, asked = names | {ADMIN}, frozenset(SCOPES)
    return Caller(principals=names, scopes=asked)


#: Everybody, where a lake asks for no credentials.
ANYBODY = caller((), ("admin",))
