"""What a list denies changes no answer of a search or an aggregate, whatever the values in it would do to a question."""

from __future__ import annotations

import itertools
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from events.errors import Reject
from infra.catalog.acl import ANYONE, SYSTEM, Acl, Caller
from infra.catalog.query import parse
from infra.catalog.resources import DataObject, DataRecord
from infra.catalog.search import Search
from infra.catalog.store import Store

#: Questions that would fail, or be answered otherwise, if they were put to a hidden value.
FILTERS = [
    None, "1 / (rows - 7) > 0", "rows % (rows - 7) >= 0", "rows + 9223372036854775807 > 0", "rows * rows * rows > 1",
    "odd > 3", "odd = TRUE", "NOT (odd = 'x')", "odd IS NULL", "odd LIKE '%\\\\'", "rows BETWEEN 0 AND 9",
    "created < TIMESTAMP('2100-01-01T00:00:00Z')",
    "fulltext('hidden')", "S_INTERSECTS(geometry, BBOX(-1,-1,9,9))", "A_CONTAINS(tags, ('hidden'))", "name > 'a'",
]  # fmt: skip
AGGREGATIONS = [
    ("count", "name"), ("cardinality", "odd"), ("terms", "tags"), ("terms", "odd"), ("percentiles", "rows"), ("sum", "rows"),
    ("avg", "odd"), ("min", "odd"), ("max", "name"),
]  # fmt: skip
ORDERS = [[], [("name", False)], [("odd", True)], [("rows", False), ("name", True)]]
VALUES = st.one_of(
    st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False, allow_infinity=False), st.booleans(), st.none(),
    st.sampled_from(["", "x", "7", "hidden", "9999-99-99", "NaN", "\\"]), st.just([1, "a"]), st.just({"a": 1}),
)  # fmt: skip
EVE = Caller(frozenset(("user/eve", "group/optics", ANYONE)))
HIDDEN = st.sampled_from([Acl(owners=["user/ann"]), Acl(owners=["group/admin"], view=["group/optic"], delete=["user/Eve"])])


def answers(store: Store) -> list[Any]:
    found: list[Any] = []
    for kind in ("data-record", "data-object"):
        for filter in FILTERS:
            wanted = Search(filter=parse(filter) if filter else None, limit=2)
            for order in ORDERS:
                after = ""
                while True:
                    page = tried(store.search, kind, Search(filter=wanted.filter, orderby=order, limit=2, after=after))
                    found.append(page)
                    if isinstance(page, str) or not page.next:
                        break
                    after = page.next
            for aggregation in AGGREGATIONS:
                found.append(tried(store.aggregate, kind, Search(filter=wanted.filter, aggregation=[aggregation])))
    return found


def tried(ask: Any, kind: str, wanted: Search) -> Any:
    try:
        return ask(kind, wanted, EVE)
    except Reject as error:
        return str(error)


def test_hidden_values_change_no_answer(database) -> None:
    store = Store(database)
    shown = Acl(owners=["user/ann"], view=["group/optics"])
    for number in range(3):
        metadata = {"rows": number, "odd": number}
        store.create(DataRecord(name=f"r{number}", metadata=metadata, tags=["t"], acl=shown), SYSTEM)
        store.create(DataObject(bucket="b", key=f"k{number}", metadata=metadata, acl=shown), SYSTEM)
    before, numbers = answers(store), itertools.count()
    assert all(isinstance(each, str) or each for each in before)

    @settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck))
    @given(rows=VALUES, odd=VALUES, acl=HIDDEN)
    def check(rows, odd, acl) -> None:
        for _ in range(3):
            more: dict[str, Any] = {"metadata": {"rows": rows, "odd": odd}, "tags": ["hidden"], "acl": acl, "name": "hidden"}
            more["geometry"] = {"type": "Point", "coordinates": [1, 1]}
            store.create(DataRecord(**more), SYSTEM)
            store.create(DataObject(bucket="b", key=f"hidden{next(numbers)}", **more), SYSTEM)
        assert answers(store) == before

    check()
    told = store.aggregate("data-record", Search(aggregation=[("count", "name")]), SYSTEM)
    assert told["count"] > 3
