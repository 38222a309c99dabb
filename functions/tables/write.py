"""A table as the bytes of a file."""

from __future__ import annotations

from typing import Any, BinaryIO

import msgspec
from pyarrow import csv, parquet

from events.errors import Reject

#: The forms of a table and their content types.
FORMS = {"parquet": "application/vnd.apache.parquet", "csv": "text/csv", "jsonl": "application/x-ndjson"}
#: Rows of a row group of Parquet, so that it can be cut again, and of a batch of lines.
GROUP, BATCH = 65_536, 1024


def write_table(table: Any, out: BinaryIO, form: str) -> None:
    """Write a ``pyarrow.Table``. Raises ``Reject`` for columns that the form has no notation for."""
    try:
        if form == "parquet":
            parquet.write_table(table, out, row_group_size=GROUP, compression="zstd")
        elif form == "csv":
            csv.write_csv(table, out)
        else:
            for batch in table.to_batches(BATCH):
                out.write(b"".join(msgspec.json.encode(row) + b"\n" for row in batch.to_pylist()))
    except (ValueError, TypeError, NotImplementedError) as error:
        raise Reject(f"the table cannot be written as {form}: {' '.join(str(error).split())[:300]}") from error
