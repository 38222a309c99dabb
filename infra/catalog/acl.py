"""Who may do what: access lists on resources, and the callers who are held against them."""

from __future__ import annotations

from typing import Literal

import msgspec

Right = Literal["view", "edit", "manage", "delete"]
#: Everybody, with or without a name.
ANYONE = "group/anyone"
#: May do all, to everything.
ADMIN = "group/admin"
#: right -> the parts of a list that give it. Owners have every right; managing includes editing, deleting and viewing.
GIVEN_BY: dict[Right, tuple[str, ...]] = {
    "view": ("owners", "manage", "edit", "delete", "view"),
    "edit": ("owners", "manage", "edit"),
    "delete": ("owners", "manage", "delete"),
    "manage": ("owners", "manage"),
}


def is_principal(name: str) -> bool:
    """Whether it is the name of a user or a group: ``user/NAME``, ``group/NAME``."""
    kind, _, own = name.partition("/")
    return kind in ("user", "group") and bool(own.strip()) and own.isprintable()


class Forbidden(PermissionError):
    """The caller may see the resource, but not do this to it (HTTP 403). What it may not see is ``NotFound`` instead."""


class Acl(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """An access list: principals (``user/NAME`` or ``group/NAME``) by right.

    ``manage`` is the right to change the list itself; ``edit``, ``delete`` and ``manage`` each include ``view``.
    """

    owners: list[str] = []
    view: list[str] = []
    edit: list[str] = []
    manage: list[str] = []
    delete: list[str] = []

    def who(self, right: Right) -> frozenset[str]:
        """The principals that have a right."""
        return frozenset(name for part in GIVEN_BY[right] for name in getattr(self, part))

    def canonical(self) -> str:
        """The list as JSON in one form: equal lists are equal texts."""
        parts = {name: sorted(set(getattr(self, name))) for name in sorted(self.__struct_fields__)}
        return msgspec.json.encode({name: names for name, names in parts.items() if names}).decode()


class Caller(msgspec.Struct, frozen=True):
    """Who asks: every principal it acts as, and the scopes of its credential."""

    principals: frozenset[str] = frozenset((ANYONE,))
    scopes: frozenset[str] = frozenset()

    @property
    def admin(self) -> bool:
        """Whether no list holds for it."""
        return ADMIN in self.principals

    @property
    def name(self) -> str:
        """Its first user, else its first group: who becomes the owner of what it creates."""
        return min(self.principals - {ANYONE}, key=lambda each: (not each.startswith("user/"), each), default=ANYONE)

    def may(self, right: Right, acl: Acl) -> bool:
        """Whether it has a right by this list."""
        return self.admin or not self.principals.isdisjoint(acl.who(right))


#: What functions of the lake act as.
SYSTEM = Caller(frozenset((ADMIN,)))
#: A caller without credentials.
NOBODY = Caller()
#: The list of objects that only a store has told of, unless their provider's configuration says otherwise.
OPEN = Acl(owners=[ADMIN], view=[ANYONE])
