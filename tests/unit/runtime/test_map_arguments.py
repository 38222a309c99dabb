"""What a map is told to be over: a data set, or plain data for Lithops."""

from __future__ import annotations

from typing import Any

import pytest

from events.errors import Reject
from events.ports import Query
from infra.runtime.map_arguments import data_set


@pytest.mark.parametrize("data", ["s3://b/k", ["s3://b/k"], ["s3://b/k", "s3://b/folder/"], Query(name="*.csv")])
def test_objects_and_queries_are_data_sets(data: Any) -> None:
    assert data_set(data) == data


@pytest.mark.parametrize("data", [[], [1, 2], ["a", "b"], "cos://b/k", [("s3://b/k", 1)], range(3)])
def test_anything_else_is_plain(data: Any) -> None:
    assert data_set(data) is None


@pytest.mark.parametrize(("other", "told"), [("d/a.csv", "'d/a.csv'"), (3, "3"), (None, "None")])
def test_a_list_of_both_is_refused(other: Any, told: str) -> None:
    for data in (["s3://b/k", other], (other, "s3://b/k", "s3://b/l")):
        with pytest.raises(Reject, match=f"^{told} names no object, .*: write s3://bucket/key$"):
            data_set(data)
