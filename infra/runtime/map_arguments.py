"""What a call of ``map`` names: a data set or plain data, and Lithops' ``extra_args``."""

from __future__ import annotations

from typing import Any

import msgspec

from events.errors import Reject
from events.ports import Query

DataSet = str | list[str] | Query


def data_set(data: Any) -> DataSet | None:
    """The data set that ``data`` names, or ``None`` where it is plain iterdata. Raises ``Reject`` for a list of both."""
    if isinstance(data, Query) or (isinstance(data, str) and data.startswith("s3://")):
        return data
    if not isinstance(data, list | tuple):
        return None
    others = [one for one in data if not (isinstance(one, str) and one.startswith("s3://"))]
    if others and len(others) < len(data):  # Lithops would give the function all of them as they are
        raise Reject(f"{others[0]!r} names no object, and others of the list do: write s3://bucket/key")
    return None if others or not data else list(data)


def told(query: Query) -> dict[str, Any]:
    """The fields of a query that say something."""
    defaults = msgspec.to_builtins(Query())
    return {name: value for name, value in msgspec.to_builtins(query).items() if value != defaults[name]} or {"name": "*"}


def extra(args: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Lithops' ``extra_args`` as positional and keyword arguments."""
    if args is None:
        return (), {}
    if isinstance(args, dict):
        return (), args
    return (tuple(args), {}) if isinstance(args, list | tuple) else ((args,), {})
