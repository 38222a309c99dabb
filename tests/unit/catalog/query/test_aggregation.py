"""Aggregations in both databases against the same in Python, over what a filter lets through."""

from __future__ import annotations

import statistics
from collections import Counter
from typing import Any

import pytest

from infra.catalog.acl import SYSTEM
from infra.catalog.query import FilterError, fields_of
from infra.catalog.query.aggregate import ALGORITHMS, aggregation
from infra.catalog.search import Search
from infra.catalog.store import Store
from tests.unit.catalog.query.conftest import Filled

FILTER = {"op": "=", "args": [{"property": "format"}, "csv"]}


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.server)])
def filled(request: pytest.FixtureRequest) -> Filled:
    found: Filled = request.getfixturevalue("sqlite_filled" if request.param == "sqlite" else "postgres_filled")
    return found


def ask(filled: Filled, *wanted: str) -> list[Any]:
    """What the store answers under the filter."""
    asked = [(algorithm, path) for algorithm, _, path in (one.partition(":") for one in wanted)]
    answer = Store(filled.database).aggregate("data-object", Search(filter=FILTER, aggregation=asked), SYSTEM)
    return [answer["aggregations"][one] for one in wanted]


def chosen(filled: Filled) -> list[dict[str, Any]]:
    return [one for one in filled.documents.values() if one["format"] == "csv"]


def numbers(filled: Filled, name: str = "a") -> list[float]:
    found = [one["metadata"].get(name) for one in chosen(filled)]
    return sorted(float(one) for one in found if isinstance(one, int | float) and not isinstance(one, bool))


def test_whole_columns_are_added_exactly(filled: Filled) -> None:
    sizes = [one["bytes"] for one in chosen(filled)]
    assert sum(sizes) > 2**64, "more than either database's integers hold"
    total, least, most, count, missing, stats = ask(
        filled, "sum:bytes", "min:bytes", "max:bytes", "count:bytes", "missing:bytes", "stats:bytes"
    )
    assert (total, least, most, count, missing) == (sum(sizes), min(sizes), max(sizes), len(sizes), 0)
    assert stats == {"count": count, "min": least, "max": most, "sum": total, "avg": pytest.approx(statistics.mean(sizes))}


def test_open_attributes_count_only_where_they_are_numbers(filled: Filled) -> None:
    known = numbers(filled)
    total, mean, least, most, count, missing = ask(filled, "sum:a", "avg:a", "min:a", "max:a", "count:a", "missing:a")
    assert (least, most) == (known[0], known[-1])
    assert total == pytest.approx(sum(known))
    assert mean == pytest.approx(statistics.mean(known))
    there = [one for one in chosen(filled) if one["metadata"].get("a") is not None]
    assert (count, missing) == (len(there), len(chosen(filled)) - len(there))


def test_percentiles_are_interpolated(filled: Filled) -> None:
    sizes = sorted(one["bytes"] for one in chosen(filled))

    def percentile(share: float) -> float:
        place = share * (len(sizes) - 1)
        low = int(place)
        return float(sizes[low] + (sizes[min(low + 1, len(sizes) - 1)] - sizes[low]) * (place - low))

    (found,) = ask(filled, "percentiles:bytes")
    assert found == {str(one): pytest.approx(percentile(one / 100)) for one in (1, 5, 25, 50, 75, 95, 99)}


def test_terms_and_cardinality(filled: Filled) -> None:
    contents = Counter(one["content-type"] for one in chosen(filled) if one["content-type"])
    tags = Counter(tag for one in chosen(filled) for tag in one["tags"])
    terms, distinct, of_tags, many_tags, mixed, many_mixed = ask(
        filled, "terms:content-type", "cardinality:content-type", "terms:tags", "cardinality:tags", "terms:a", "cardinality:a"
    )
    assert terms == [
        {"value": value, "count": count} for value, count in sorted(contents.items(), key=lambda one: (-one[1], one[0]))
    ]
    assert (distinct, many_tags) == (len(contents), len(tags))
    assert {one["value"]: one["count"] for one in of_tags} == dict(tags)
    values = Counter(
        (isinstance(value, bool), isinstance(value, str), value)
        for one in chosen(filled)
        if isinstance(value := one["metadata"].get("a"), str | int | float | bool)
    )
    told = Counter(
        {(isinstance(one["value"], bool), isinstance(one["value"], str), one["value"]): one["count"] for one in mixed}
    )
    assert told == values
    assert many_mixed == len(mixed) == len(values)


def test_times_are_told_as_times(filled: Filled) -> None:
    least, most = ask(filled, "min:timestamp", "max:timestamp")
    known = sorted(one["timestamp"] for one in chosen(filled) if one["timestamp"])
    assert (least, most) == (known[0], known[-1])


def test_nothing_gives_nothing(filled: Filled) -> None:
    nothing = {"op": "=", "args": [{"property": "format"}, "there is none"]}
    asked = [(one, "bytes") for one in ALGORITHMS]
    answers = Store(filled.database).aggregate("data-object", Search(filter=nothing, aggregation=asked), SYSTEM)["aggregations"]
    assert answers["sum:bytes"] is answers["avg:bytes"] is answers["min:bytes"] is None
    assert answers["count:bytes"] == answers["cardinality:bytes"] == 0
    assert answers["terms:bytes"] == []
    assert set(answers["percentiles:bytes"].values()) == {None}


@pytest.mark.parametrize(
    "wrong", ["median:bytes", "sum:key", "avg:created", "min:geometry", "terms:metadata", 'sum:a"b', "max:tags"]
)
def test_what_makes_no_sense_is_refused(wrong: str) -> None:
    algorithm, _, path = wrong.partition(":")
    with pytest.raises(FilterError):
        aggregation(algorithm, path, fields_of("data-object"), "sqlite")
