"""Types of columns by the text that the catalogue has of them."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pyarrow as pa
import pytest

from infra.staging.column_types import common, type_of

DEEP = pa.struct(
    [("a b", pa.int64()), ("c", pa.list_(pa.struct([("d", pa.decimal128(10, 2)), ("e", pa.timestamp("us", "UTC"))])))]
)


@pytest.mark.parametrize(
    "kind",
    [
        pa.int64(),
        pa.float32(),
        pa.null(),
        pa.date32(),
        pa.timestamp("ns"),
        pa.timestamp("us", "Europe/Zurich"),
        pa.decimal256(50, 2),
        pa.binary(16),
        pa.list_(pa.field("element", pa.int64(), nullable=False)),
        pa.large_list(pa.list_(pa.list_(pa.int8(), 3), 2)),
        pa.map_(pa.string(), pa.list_(pa.int8())),
        pa.map_(pa.string(), pa.int8(), keys_sorted=True),
        pa.dictionary(pa.int8(), pa.string(), ordered=True),
        pa.struct([]),
        DEEP,
    ],
    ids=str,
)
def test_the_text_of_a_type_is_that_type(kind: Any) -> None:
    assert type_of(str(kind)) == kind


def test_names_that_parquet_gives_the_parts_of_a_map_make_no_difference() -> None:
    assert type_of("struct<m: map<string, int8 ('key_value')>>") == pa.struct([("m", pa.map_(pa.string(), pa.int8()))])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nothing",
        "list<int64>",
        "list<item: int64",
        "struct<a, b: int64>",
        "decimal128(10)",
        "decimal128(1, a)",
        "timestamp[h]",
        "extension<arrow.uuid>",
        "dictionary<a, b, c, d>",
        "fixed_size_binary[x]",
    ],
)
def test_other_texts_are_none(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        type_of(text)


@pytest.mark.parametrize(
    ("kinds", "wanted"),
    [
        ([pa.int64(), pa.float64(), pa.null()], pa.float64()),
        ([pa.int64(), pa.string(), pa.null()], pa.string()),
        ([pa.int64(), pa.string(), pa.binary()], pa.string()),
        ([pa.bool_(), pa.int64(), pa.float64()], pa.string()),
        ([pa.list_(pa.int64()), pa.int64()], pa.string()),
        ([pa.list_(pa.int64()), pa.list_(pa.field("element", pa.float64())), pa.null()], pa.list_(pa.float64())),
        ([pa.null(), pa.null()], pa.null()),
    ],
    ids=str,
)
def test_the_type_of_several_holds_all_in_any_order(kinds: list[Any], wanted: Any) -> None:
    assert all(common(one) == wanted for one in permutations(kinds))
