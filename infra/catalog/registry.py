"""The registered prefixes and keys of open attributes: who may be named, of which type, and what has an index."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from sqlalchemy import bindparam, select

from events.errors import Reject
from infra.catalog import lists
from infra.catalog.acl import Caller
from infra.catalog.database import Database
from infra.catalog.query.fields import KEY_TYPES, UNFIT, Fields, Type, fields_of
from infra.catalog.query.numbers import fits
from infra.catalog.resources import Key, Prefix
from infra.catalog.schema import key, prefix
from infra.catalog.times import ms

_PREFIXES = select(prefix.c.prefix)
_KEYS = select(key.c.key, key.c.type, key.c.index, key.c.acl).where(key.c.kind == bindparam("kind"))
PREFIX = re.compile(r"[a-z]([a-z0-9-]*[a-z0-9])?")


class Registry:
    """What is registered, as one transaction sees it."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._prefixes: set[str] | None = None
        self._keys: dict[str, dict[str, tuple[Type, bool, int]]] = {}
        self._fields: dict[tuple[str, frozenset[str]], Fields] = {}

    def forget(self, kind: str) -> None:
        """A resource of this kind changes: what was read of it may be out of date."""
        if kind in ("prefix", "key"):
            self._prefixes, self._keys, self._fields = None, {}, {}

    def declared(self, kind: str) -> dict[str, Type]:
        """The paths that have an index, with their types."""
        return {name: type_ for name, (type_, ready, _) in self._of(kind).items() if ready}

    def keys(self, kind: str) -> list[str]:
        """The registered paths of a kind."""
        return list(self._of(kind))

    def fields(self, kind: str, caller: Caller) -> Fields:
        """The names of a kind, with those that are declared. The type of a key is told to those who may view the key."""
        question = kind, frozenset() if caller.admin else caller.principals
        found = self._fields.get(question)
        if found is None:
            declared = {name: type_ for name, type_ in self.declared(kind).items() if self._shown(kind, name, caller)}
            found = self._fields[question] = fields_of(kind, declared)
        return found

    def _shown(self, kind: str, name: str, caller: Caller) -> bool:
        return caller.admin or caller.may("view", lists.read(self._database, self._of(kind)[name][2]))

    def check(self, kind: str, metadata: dict[str, Any], caller: Caller) -> None:
        """Raises ``Reject`` for a name with a prefix nobody registered, a value that is not of its key's type, or an integer
        that no database here can compare exactly.
        """
        if (large := _large(metadata)) is not None:
            raise Reject(f"metadata: {str(large)[:40]} is an integer of more than 64 bits: write it as a text")
        for name in prefixed(metadata):
            start = name.partition(":")[0]
            if start not in self._known():
                raise Reject(f"metadata: {name[:80]!r} has the prefix {start[:40]!r}, which is not registered")
        for name, (type_, _, _) in self._of(kind).items():
            value = _at(metadata, name)
            if value is not None and not _fits(value, type_):
                if not self._shown(kind, name, caller):
                    raise Reject(f"metadata: {name!r} is registered, and {str(value)[:40]!r} is not of its type")
                raise Reject(f"metadata: {name!r} is registered as {type_}, which {str(value)[:40]!r} is not")

    def check_prefix(self, wanted: Prefix) -> None:
        """Raises ``Reject`` for a prefix that no name can begin with."""
        if not PREFIX.fullmatch(wanted.prefix):
            raise Reject(f"prefix: {wanted.prefix[:60]!r} must be letters a-z, digits and minus signs, beginning with a letter")

    def check_key(self, wanted: Key) -> None:
        """Raises ``Reject`` for a key that nobody can look for, or whose prefix nobody registered."""
        if not wanted.key or '"' in wanted.key or "\\" in wanted.key or "" in wanted.key.split("."):
            raise Reject(f"key: {wanted.key[:60]!r} is no path: give names joined by dots, without quotes or backslashes")
        start, colon, _ = wanted.key.partition(":")
        if colon and start not in self._known():
            raise Reject(f"key: the prefix {start[:40]!r} is not registered")

    def _known(self) -> set[str]:
        if self._prefixes is None:
            self._prefixes = {row[0] for row in self._database.rows(_PREFIXES)}
        return self._prefixes

    def _of(self, kind: str) -> dict[str, tuple[Type, bool, int]]:
        if kind not in self._keys:
            found = self._database.rows(_KEYS, {"kind": kind})
            self._keys[kind] = {name: (KEY_TYPES[type_], index == "ready", acl) for name, type_, index, acl in found}
        return self._keys[kind]


def check_names(metadata: Any) -> None:
    """Raises ``Reject`` for a name, at any depth, that no filter can say."""
    for inner in metadata.values() if isinstance(metadata, dict) else metadata:
        if isinstance(inner, dict | list):
            check_names(inner)
    if isinstance(metadata, dict):
        for name in metadata:
            if not name or "." in name or UNFIT.search(name):
                raise Reject(
                    f"metadata: no filter could name {name[:60]!r}: names have no dots, quotes, backslashes or control "
                    'characters; nest them ({"a": {"b": 1}} is a.b)'
                )


def prefixed(value: Any) -> Iterator[str]:
    """The names with a prefix, at any depth."""
    for inner in value.values() if isinstance(value, dict) else value:
        if isinstance(inner, dict | list):
            yield from prefixed(inner)
    if isinstance(value, dict):
        yield from (name for name in value if ":" in name)


def _large(value: Any) -> int | None:
    """An integer that has more than 64 bits, at any depth."""
    if isinstance(value, int):
        return None if fits(value) else value
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            if (found := _large(inner)) is not None:
                return found
    return None


def _at(metadata: Any, path: str) -> Any:
    for step in path.split("."):
        if isinstance(metadata, dict):
            metadata = metadata.get(step)
        elif isinstance(metadata, list) and step.isdigit() and int(step) < len(metadata):
            metadata = metadata[int(step)]
        else:
            return None
    return metadata


def _fits(value: Any, type_: Type) -> bool:
    if type_ == "any":
        return True
    if type_ == "number":
        return isinstance(value, int | float) and not isinstance(value, bool)
    if type_ == "boolean":
        return isinstance(value, bool)
    return isinstance(value, str) and (type_ == "text" or ms(value) is not None)
