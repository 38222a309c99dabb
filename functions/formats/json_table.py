"""Tables from lines of JSON objects: by Arrow where a field has one type, else with that field as wide as its values need.

A field whose values have several types (numbers and text) becomes text: strings as they are, other values as JSON. So nothing
is lost or refused, whatever a late line brings.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from functions.formats.csv_table import WIDENED
from functions.formats.format import Broken, short


def inferred(data: bytes, what: object, first: int) -> Any:
    """The schema of these lines, the first of which has the number ``first``. Raises ``Broken`` for one that is no object."""
    import pyarrow

    if not data.strip():
        return pyarrow.schema([])
    try:
        return _read(data, None, others=True).schema
    except (pyarrow.ArrowInvalid, pyarrow.ArrowNotImplementedError):
        return _wide(_rows(data, what, first), pyarrow.schema([]), others=True).schema


def merged(schemas: Sequence[Any]) -> Any:
    """One schema that holds the values of all: a field of several types that have none in common is text."""
    import pyarrow

    fields: dict[str, Any] = {}
    for one in (field for schema in schemas for field in schema):
        known = fields.get(one.name, one)
        try:
            fields[one.name] = pyarrow.unify_schemas(
                [pyarrow.schema([known]), pyarrow.schema([one])], promote_options="permissive"
            ).field(0)
        except (pyarrow.ArrowInvalid, pyarrow.ArrowTypeError):
            fields[one.name] = pyarrow.field(one.name, pyarrow.string())
    return pyarrow.schema(list(fields.values()))


def table(data: bytes, schema: Any, what: object, first: int, *, others: bool = True) -> Any:
    """The rows of these lines, with the columns of the schema or wider ones; ``others``: also those that are not in it.

    Raises:
        Broken: a line that is no JSON object; the text says which, counted from ``first``.

    """
    import pyarrow

    if not data.strip():
        return schema.empty_table()
    try:
        return _read(data, schema, others=others)
    except (pyarrow.ArrowInvalid, pyarrow.ArrowNotImplementedError):
        return _wide(_rows(data, what, first), schema, others=others)


def _read(data: bytes, schema: Any, *, others: bool) -> Any:
    import pyarrow
    from pyarrow import json as arrow_json

    return arrow_json.read_json(
        pyarrow.BufferReader(data),
        arrow_json.ReadOptions(use_threads=False, block_size=min(len(data) + 64, (1 << 31) - 1)),
        arrow_json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="infer" if others else "ignore"),
    )


def _rows(data: bytes, what: object, first: int) -> list[dict[str, Any]]:
    """The objects, by Python's own reader."""
    rows: list[dict[str, Any]] = []
    for line in data.split(b"\n"):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise Broken(f"{what}: row {first + len(rows)} (counted from 0) is no JSON: {short(error)}") from error
        if not isinstance(value, dict):
            raise Broken(f"{what}: row {first + len(rows)} (counted from 0) is no JSON object")
        rows.append(value)
    return rows


def _wide(rows: list[dict[str, Any]], schema: Any, *, others: bool) -> Any:
    """The rows as a table; fields whose values do not fit the schema have a wider type, and its metadata names them."""
    import pyarrow

    names = dict.fromkeys([*schema.names, *(name for row in rows for name in row if others)])
    columns, widened = {}, {}
    for name in names:
        known = schema.field(name).type if name in schema.names else None
        columns[name] = _column([row.get(name) for row in rows], known)
        if known is not None and columns[name].type != known:
            widened[name] = str(columns[name].type)
    found = pyarrow.table(columns)
    return found.replace_schema_metadata({WIDENED: json.dumps(widened)}) if widened else found


def _column(values: list[Any], known: Any) -> Any:
    """The values as the type that is known, as one that holds those and these, or as text."""
    import pyarrow

    errors = (pyarrow.ArrowInvalid, pyarrow.ArrowTypeError, pyarrow.ArrowNotImplementedError, OverflowError, TypeError)
    if known is not None and pyarrow.types.is_timestamp(known) and all(isinstance(one, str | None) for one in values):
        try:
            return pyarrow.array(values, pyarrow.string()).cast(known)
        except errors:
            return pyarrow.array(values, pyarrow.string())
    try:
        found = pyarrow.array(values)
        if known is not None:
            both = merged([pyarrow.schema([("", known)]), pyarrow.schema([("", found.type)])]).field(0).type
            found = pyarrow.array(values, both)
        if not _doubtful(found.type, values):
            return found
    except errors:
        pass
    return pyarrow.array([one if isinstance(one, str | None) else json.dumps(one, ensure_ascii=False) for one in values])


def _doubtful(kind: Any, values: list[Any]) -> bool:
    """Whether whole numbers among the values would lose digits as fractions."""
    import pyarrow

    return pyarrow.types.is_floating(kind) and any(isinstance(one, int) and abs(one) > 1 << 53 for one in values)
