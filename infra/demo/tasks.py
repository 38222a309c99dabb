"""What the demonstration maps over slices: sums of integers, so that parts add up to the whole exactly, whatever the cut."""

from __future__ import annotations

from typing import Any


def column_sums(table: Any) -> dict[str, int]:
    """Rows, and the sum of every column, of a ``pyarrow.Table`` of integers."""
    import pyarrow.compute as compute

    sums = {name: int(compute.sum(table[name]).as_py() or 0) for name in table.column_names}
    return {"rows": table.num_rows, **sums}


def visibilities(path: str) -> dict[str, int]:
    """Rows, flags, indexes and every bit of the visibilities of a MeasurementSet, summed."""
    import numpy as np
    from casacore import tables

    with tables.table(path, ack=False) as main:
        data = np.ascontiguousarray(main.getcol("DATA")).view("u4")
        columns = {name: int(main.getcol(name).sum()) for name in ("ANTENNA1", "ANTENNA2", "SCAN_NUMBER")}
        return {
            "rows": main.nrows(),
            **columns,
            "flags": int(main.getcol("FLAG").sum()),
            "visibility bits": int(data.sum(dtype="u8")),
        }


def total(parts: list[dict[str, int]]) -> dict[str, int]:
    """The sums over all parts."""
    return {name: sum(part[name] for part in parts) for name in parts[0]}
