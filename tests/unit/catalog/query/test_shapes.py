"""A filter of a shape that was seen before gets the very literals that binding it would give."""

from __future__ import annotations

from typing import Any

import pytest

from infra.catalog.query import FilterError, bind, fields_of, parse
from infra.catalog.query.filter import recognised

FIELDS = fields_of("data-object", {"site": "text", "cloud": "number"})
BOX = {"op": "s_intersects", "args": [{"property": "geometry"}, {"bbox": [1.0, 2.0, 3.0, 4.0]}]}
WIDER = {"op": "s_intersects", "args": [{"property": "geometry"}, {"bbox": [-1.5, 2.0, 3.25, 4.5]}]}
TURNED = {"op": "s_intersects", "args": [{"property": "geometry"}, {"bbox": [170.0, 2.0, -170.0, 4.0]}]}


@pytest.mark.parametrize(("first", "second"), [
    ("site = 'a' AND cloud < 5", "site = 'b' AND cloud < 7"), ("bytes > 5", "bytes > 5.5"), ("bytes > 5", "bytes > 1e17"),
    ("rows > 5", "rows > '5'"), ("time > TIMESTAMP('2026-01-01T00:00:00Z')", "time > DATE('2026-01-01')"),
    ("bytes BETWEEN 1 AND 2", "bytes BETWEEN 3 AND 4"), ("modified > '2026-01-01'", "modified > '2026-02-01'"),
    ("tags = 'a'", "tags = 'b'"), ("key LIKE 'a%'", "key LIKE '%b_'"), ("enabled = true", "enabled = false"),
    (BOX, WIDER), (BOX, TURNED),
])  # fmt: skip
def test_the_second_of_a_shape_is_bound_as_the_first(first: Any, second: Any) -> None:
    for wanted in (first, second, first):
        (quick, literals), plain = recognised(parse(wanted), FIELDS), bind(parse(wanted), FIELDS)
        assert quick.tree == plain.tree
        for dialect in ("sqlite", "postgresql"):
            assert [(type(one), one) for one in quick.values(dialect, literals).values()] == [
                (type(one), one) for one in plain.values(dialect).values()
            ]


def test_what_is_wrong_stays_wrong() -> None:
    recognised(parse("modified > '2026-01-01'"), FIELDS)
    with pytest.raises(FilterError, match="is no time"):
        recognised(parse("modified > 'yesterday'"), FIELDS)
