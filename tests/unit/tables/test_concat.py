"""Tables of slices become one, whatever types a late value gave a column in one of them."""

import pyarrow as pa

from functions.tables.concat import concat


def test_wider_columns_of_one_table_are_those_of_all() -> None:
    tables = [
        pa.table({"n": [1, 2], "t": ["a", "b"]}),
        pa.table({"n": ["unknown"], "t": ["c"]}),
        pa.table({"n": [1.5], "t": ["d"]}),
    ]
    found = concat(tables)
    assert found.to_pydict() == {"n": ["1", "2", "unknown", "1.5"], "t": ["a", "b", "c", "d"]}
    assert str(concat([tables[0], tables[2]]).schema.field("n").type) == "double"


def test_columns_that_cannot_be_cast_are_json_and_missing_ones_null() -> None:
    found = concat([pa.table({"d": [{"a": 1}, None]}), pa.table({"d": ["x"], "e": [1]})])
    assert found.to_pydict() == {"d": ['{"a": 1}', None, "x"], "e": [None, None, 1]}
