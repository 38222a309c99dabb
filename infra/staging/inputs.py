"""What a staging operation works on: objects by name, all below a prefix, or the members of a data set."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

import pyarrow as pa

from events.errors import Reject
from functions.planner.dataset import split_address
from infra.console.client import Client
from infra.staging.column_types import common, type_of


def objects_of(api: Client, inputs: Sequence[str]) -> list[str]:
    """The addresses of ``s3://bucket/key``, of what lies below ``s3://bucket/prefix/``, and of the members of data sets.

    In the order of their keys, input by input. A data set is named by its id or its name.
    Raises ``Reject`` where there is nothing.
    """
    found: list[str] = []
    for one in inputs:
        if not one.startswith("s3://"):
            made = _members(api, one)
        elif one.endswith("/") or one.count("/") == 2:
            bucket, _, prefix = one.removeprefix("s3://").partition("/")
            made = [f"s3://{each['bucket']}/{each['key']}" for each in api.pages(bucket=bucket, prefix=prefix, state="ready")]
        else:
            made = [one]
        if not made:
            raise Reject(f"{one} has no objects (yet): put some there, or wait until they are catalogued")
        found += made
    return list(dict.fromkeys(found))


def _members(api: Client, name: str) -> list[str]:
    known = [name] if name.startswith("data-set/") else _named(api, name)
    if len(known) != 1:
        raise Reject(
            f"{name!r} names {'no data set' if not known else 'more than one data set'}: give s3://BUCKET/KEY or an id"
        )
    path, found, after = f"/data-sets/{known[0].removeprefix('data-set/')}/members", list[str](), 0
    as_of: str = ""
    while True:
        page = api.get(path, after=after, limit=1000, **{"as-of": as_of})
        as_of = str(page["cursor"])
        found += [f"s3://{each['bucket']}/{each['key']}" for each in page["members"] if each.get("bucket")]
        if page["next"] is None:
            return sorted(found)  # and not in the order in which they joined
        after = page["next"]


def _named(api: Client, name: str) -> list[str]:
    quoted = "'" + name.replace("'", "''") + "'"
    return [each["id"] for each in api.get("/data-sets", filter=f"name = {quoted}", limit=2)["resources"]]


def schema_of(api: Client, objects: Sequence[str]) -> pa.Schema:
    """The columns of all these tables together, each of a type that holds them all: text, where no other does.

    Raises ``Reject`` for a table or a column that the catalogue does not know enough of.
    """
    kinds: dict[str, list[Any]] = {}
    for one in objects:
        bucket, key = split_address(one)
        columns: Any = api.get(f"/catalog/{quote(bucket, safe='')}/{quote(key)}")["metadata"].get("columns")
        if not isinstance(columns, dict):
            raise Reject(f"{one} has no columns that the catalogue knows: only CSV, JSON Lines and Parquet can be combined")
        for name, kind in columns.items():
            kinds.setdefault(name, []).append(_type(str(kind)))
    return pa.schema([(name, common(found)) for name, found in kinds.items()])


def _type(kind: str) -> Any:
    """The type of this text; of a dictionary that of its values, since each slice has a dictionary of its own."""
    try:
        found = type_of(kind)
    except ValueError as error:
        raise Reject(f"a column of type {kind} cannot be combined: select the others, or write it as another type") from error
    return found.value_type if pa.types.is_dictionary(found) else found
