"""The names a filter may use, and where each is found: a column or a JSON path in the database, a path in a resource's JSON.

Known names are the attributes of the resource; every other name is a path into its open metadata (``rows``, ``metadata.rows``,
``wcs.ctype.0``, ``prefix:name``). The one registry serves SQL, in-memory matching and the predicate index.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

from sqlalchemy import Table

from infra.catalog import schema
from infra.catalog.query.errors import FilterError

#: What a value is. ``any`` is known only from the document; ``interval`` is a ``time`` with an end. Of literals alone:
#: ``pattern`` of LIKE, ``large`` (a number beyond 64-bit integers), ``degree`` (a bound of a place), ``rare`` (a word that a
#: full-text index may not keep in one piece).
Type = Literal[
    "text",
    "number",
    "integer",
    "boolean",
    "time",
    "interval",
    "geometry",
    "array",
    "json",
    "any",
    "pattern",
    "large",
    "degree",
    "rare",
]
#: A digit step is an index into an array and nothing else.
_INDEX = re.compile(r"0|[1-9][0-9]{0,8}")
#: Characters that no name may have.
UNFIT = re.compile(r'["\\\x00-\x1f\ud800-\udfff]')
LONGEST = 500


@dataclass(frozen=True, slots=True)
class Field:
    """One name. In SQL it is the first of ``columns`` that is not NULL, in a document the first of ``names`` with a value.

    ``path`` leads on into the JSON there. ``end`` is where an interval ends, ``indexed`` says that the path has been declared.
    ``written`` marks a time that the column keeps as text.
    """

    type: Type
    columns: tuple[str, ...]
    names: tuple[str, ...]
    path: tuple[str | int, ...] = ()
    end: Field | None = None
    indexed: bool = False
    written: bool = False

    @property
    def blank(self) -> bool:
        """Whether its column has an empty text where a resource has no value."""
        return self.type == "text" and not self.path and self.names != ("id",)


@dataclass(frozen=True, slots=True, eq=False)
class Fields:
    """The names of one kind of resource, in ``table``. ``declared`` has the types of declared metadata paths (``a.b``)."""

    table: Table
    known: Mapping[str, Field]
    declared: Mapping[str, Type]

    @lru_cache(10_000)  # noqa: B019 - as many names as there are, for a few registries
    def find(self, name: str) -> Field:
        """Where a name is. Raises ``FilterError`` for one that no document can have."""
        if found := self.known.get(name):
            return found
        head, _, rest = name.partition(".")
        if rest and (found := self.known.get(head)):
            if found.type == "array":
                return replace(found, type="any", path=steps(name, rest))
            if found.type != "json":
                raise FilterError(f"{head!r} is {found.type} and has no parts, so there is no {name!r}")
            return self._metadata(rest) if head == "metadata" else replace(found, type="any", path=steps(name, rest))
        return self._metadata(name)

    def _metadata(self, name: str) -> Field:
        if "metadata" not in self.known:
            raise FilterError(f"there is no attribute {name!r}: there are {', '.join(sorted(self.known))}")
        type_ = self.declared.get(name)
        return replace(self.known["metadata"], type=type_ or "any", path=steps(name, name), indexed=type_ is not None)


def steps(name: str, path: str) -> tuple[str | int, ...]:
    """``columns.0.name`` as ``("columns", 0, "name")``. Raises ``FilterError`` for a path that no database here can follow."""
    if len(path) > LONGEST or UNFIT.search(path) or "" in (parts := path.split(".")):
        raise FilterError(f"{name[:60]!r} is no path: give names joined by dots, without quotes or backslashes")
    return tuple(int(part) if _INDEX.fullmatch(part) else part for part in parts)


def _field(type_: Type, name: str, column: str = "") -> Field:
    return Field(type_, (column or name.replace("-", "_"),), (name,))


_COMMON = {
    **{name: _field("text", name) for name in ("id", "name", "description")},
    **{name: _field("time", name) for name in ("created", "updated")},
    "revision": _field("integer", "revision"),
    "tags": _field("array", "tags"),
}


def _described(*since: str) -> dict[str, Field]:
    start = Field("time", ("t",), ("timestamp", *since))
    end = Field("time", ("t_end", "t"), ("timestamp-end", "timestamp", *since))
    return {
        "content-type": _field("text", "content-type"),
        "metadata": _field("json", "metadata"),
        "geometry": _field("geometry", "geometry"),
        "timestamp": _field("time", "timestamp", "told"),
        "timestamp-end": _field("time", "timestamp-end", "t_end"),
        "time": Field("interval", start.columns, start.names, end=end),
    }


_OBJECT: tuple[str, ...] = (
    "provider", "bucket", "key", "state", "format", "etag", "version", "digest", "index", "cause",
)  # fmt: skip
#: kind -> its attributes
KNOWN: dict[str, dict[str, Field]] = {
    "data-object": {
        **_COMMON,
        **{name: _field("text", name) for name in _OBJECT},
        **{name: _field("json", name) for name in ("digests", "user")},
        "bytes": _field("integer", "bytes"),
        "modified": Field("time", ("modified",), ("modified",), written=True),
        "expires": _field("time", "expires"),
        **_described("modified", "created"),
    },
    "data-record": {**_COMMON, "object": _field("text", "object"), **_described("created")},
    "data-set": _COMMON,
    "binding": {
        **_COMMON,
        **{name: _field("text", name) for name in ("prefix", "function", "filter", "filter-lang")},
        **{name: _field("array", name) for name in ("content-types", "formats")},
        "parameters": _field("json", "parameters"),
        "enabled": _field("boolean", "enabled"),
    },
    "prefix": {**_COMMON, **{name: _field("text", name) for name in ("prefix", "uri")}},
    "key": {
        **_COMMON,
        **{name: _field("text", name) for name in ("key", "kind", "type", "unit", "index")},
        "queryable": _field("boolean", "queryable"),
    },
    "provider": {
        **_COMMON,
        **{name: _field("text", name) for name in ("provider", "endpoint", "region", "credential", "source")},
        "configured": _field("boolean", "configured"),
    },
}
#: ``Key.type`` -> the type here
KEY_TYPES: dict[str, Type] = {"string": "text", "number": "number", "boolean": "boolean", "time": "time", "any": "any"}


def fields_of(kind: str, declared: Mapping[str, Type] | None = None) -> Fields:
    """The registry of one kind of resource, with the declared metadata paths (``Key.key`` -> ``KEY_TYPES[Key.type]``)."""
    return _fields(kind, frozenset((declared or {}).items()))


@lru_cache(64)
def _fields(kind: str, declared: frozenset[tuple[str, Type]]) -> Fields:
    return Fields(schema.KINDS[kind], KNOWN[kind], dict(declared))
