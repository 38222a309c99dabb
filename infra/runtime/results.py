"""Results of a map as objects: what each slice's result is written as, and under which key.

Keys follow from the run and the place of the slice, and an object is only written where none is: of two workers on a slice the
first one's result stays, whatever the other does later.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any

from events.errors import Reject
from events.types import ObjectDerived, ObjectVersion
from functions.formats.format import Slice
from functions.tables.write import FORMS, write_table
from infra.runtime.journal import Place, Written


@dataclass(frozen=True)
class Target:
    """Where results go: below ``prefix`` (with the run in it) of ``bucket``. ``form`` is that of tables."""

    bucket: str
    prefix: str
    form: str = "parquet"

    def key(self, place: Place, suffix: str) -> str:
        """The key of the result of the slice at ``place``; keys sort as places do."""
        return f"{self.prefix}part-{'-'.join(f'{number:05}' for number in place)}{suffix}"

    def write(self, store: Any, place: Place, result: Any) -> Written:
        """Write a result, unless it is empty: a lake takes no object without a byte, such as JSON Lines of no rows.

        Raises ``Reject`` for what is no table, bytes, text or JSON.
        """
        data, suffix, kind, rows = encoded(result, self.form)
        key = self.key(place, suffix)
        if not data:
            return Written(self.bucket, key, "", 0, rows)
        info = store.create(self.bucket, key, data, content_type=kind)
        return Written(self.bucket, key, info.etag, info.size, rows)


def target(into: str, run: str, form: str) -> Target:
    """The target that ``s3://bucket/prefix`` names for a run. Raises ``Reject``."""
    bucket, _, prefix = into.removeprefix("s3://").partition("/")
    if not into.startswith("s3://") or not bucket:
        raise Reject(f"{into!r} names no place for results: write s3://bucket/prefix")
    if form not in FORMS:
        raise Reject(f"tables are not written as {form!r}: choose one of {', '.join(FORMS)}")
    below = prefix if not prefix or prefix.endswith("/") else f"{prefix}/"
    return Target(bucket, f"{below}{run}/", form)


def derived(made: Sequence[Written], parts: Sequence[Slice], task: str) -> list[ObjectDerived]:
    """Which object was made of which; what is empty is none."""
    return [
        ObjectDerived(
            of=ObjectVersion(bucket=part.bucket, key=part.key, etag=part.etag, size=part.size),
            result=ObjectVersion(bucket=one.bucket, key=one.key, etag=one.etag, size=one.size),
            function=task,
        )
        for one, part in zip(made, parts, strict=True)
        if one.size
    ]


def encoded(result: Any, form: str) -> tuple[bytes, str, str, int]:
    """A result as bytes, with the ending of its key, its content type, and its rows (-1 if it is no table)."""
    import pyarrow

    if hasattr(result, "__arrow_c_stream__") or isinstance(result, pyarrow.RecordBatch):
        table = pyarrow.table(result)
        out = BytesIO()
        write_table(table, out, form)
        return out.getvalue(), f".{form}", FORMS[form], table.num_rows
    if isinstance(result, bytes | bytearray | memoryview):
        return bytes(result), ".bin", "application/octet-stream", -1
    if isinstance(result, str):
        return result.encode(), ".txt", "text/plain; charset=utf-8", -1
    try:
        return json.dumps(result, default=_of_numpy).encode(), ".json", "application/json", -1
    except (TypeError, ValueError) as error:
        what = type(result).__name__
        raise Reject(f"a {what} cannot be written as an object: return a table, bytes, text or JSON ({error})") from error


def _of_numpy(value: Any) -> Any:
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} is no JSON")
