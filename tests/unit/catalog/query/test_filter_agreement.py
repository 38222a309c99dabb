"""SQLite, PostgreSQL and the Python predicate give the same answer, true, false or unknown, for any filter on any document."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import case, literal_column, not_, select

from infra.catalog.query import FilterError, bind, fields_of
from infra.catalog.query.sql import Writer
from tests.unit.catalog.query.conftest import GEOMETRIES, NUMBERS, ODD, TEXTS, TIMES, Filled

FIELDS = fields_of("data-object")
OPEN_NAMES = ["a", "b", "metadata.a", "n.x", "n.0", "list.0", "list.2", "obs:flag", "été", ODD, "missing", "a.x"]
COLUMNS = [
    "key",
    "format",
    "content-type",
    "name",
    "bucket",
    "description",
    "bytes",
    "modified",
    "created",
    "timestamp",
    "time",
]
texts, numbers = st.sampled_from(TEXTS), st.sampled_from(NUMBERS) | st.floats(allow_nan=False, allow_infinity=False)
names = st.sampled_from(OPEN_NAMES).map(lambda name: {"property": name})
any_names = st.sampled_from(OPEN_NAMES + COLUMNS).map(lambda name: {"property": name})
times = st.sampled_from(TIMES).map(lambda text: {"timestamp": text}) | st.sampled_from(TIMES).map(lambda text: {"date": text})
scalars = texts | numbers | st.booleans() | times
patterns = texts | st.lists(st.sampled_from(["%", "_", "a", "\\%", "\\_", "*", "[", "é", "b", "/"]), max_size=6).map("".join)
shapes = st.sampled_from(GEOMETRIES) | st.sampled_from(
    [[0, 0, 4, 4], [1, 1, 4, 4], [2, 2, 2, 2], [-1, -1, 1, 1], [170, -5, 3, 5]]
).map(lambda box: {"bbox": box})
collections = st.lists(st.sampled_from(GEOMETRIES), min_size=1, max_size=3).map(
    lambda parts: {"type": "GeometryCollection", "geometries": parts}
)
words = st.sampled_from(
    ["grösse", "strasse", "words", "wor*", "two words", "日本", "a1b2", "5e3", "DROP table", "line*", "здр"]
)


def op(name: str, *args: Any) -> st.SearchStrategy[Any]:
    return st.tuples(*args).map(lambda found: {"op": name, "args": list(found)})


arithmetic = st.recursive(
    names | numbers,
    lambda inner: (
        st.sampled_from(["+", "-", "*", "/", "%", "div"]).flatmap(lambda how: op(how, inner, inner))
        | op("^", inner, st.integers(0, 16))
    ),
    max_leaves=4,
)
folded = st.sampled_from(["casei", "accenti"]).flatmap(lambda how: op(how, names | texts | st.just({"property": "name"})))
comparison = st.sampled_from(["=", "<>", "<", "<=", ">", ">="])
moments = (
    times
    | any_names
    | st.tuples(st.sampled_from(["..", *TIMES]), st.sampled_from(["..", *TIMES])).map(lambda ends: {"interval": list(ends)})
    | st.just({"interval": [{"property": "timestamp"}, {"property": "a"}]})
    | st.just({"interval": [{"property": "timestamp"}, {"op": "-", "args": [{"property": "timestamp"}, {"property": "end"}]}]})
)
temporal = st.sampled_from(
    [
        "t_after",
        "t_before",
        "t_contains",
        "t_disjoint",
        "t_during",
        "t_equals",
        "t_finishedBy",
        "t_finishes",
        "t_intersects",
        "t_meets",
        "t_metBy",
        "t_overlappedBy",
        "t_overlaps",
        "t_startedBy",
        "t_starts",
    ]
)
elements = st.lists(texts | numbers | st.booleans(), min_size=1, max_size=3)
leaves = st.one_of(
    comparison.flatmap(lambda how: op(how, any_names, scalars)),
    comparison.flatmap(lambda how: op(how, any_names, any_names)),
    comparison.flatmap(lambda how: op(how, scalars, names)),
    comparison.flatmap(lambda how: op(how, arithmetic, arithmetic)),
    comparison.flatmap(lambda how: op(how, folded, folded | texts)),
    op("in", any_names, st.lists(texts, min_size=1, max_size=5) | st.lists(numbers, min_size=1, max_size=5)),
    op("between", any_names, scalars, scalars),
    op("like", any_names | folded, patterns | patterns.map(lambda text: {"op": "casei", "args": [text]})),
    op("isNull", any_names | st.sampled_from(["geometry", "tags", "metadata", "list"]).map(lambda name: {"property": name})),
    names,
    temporal.flatmap(lambda how: op(how, moments, moments)),
    st.sampled_from(["a_contains", "a_containedBy", "a_overlaps", "a_equals"]).flatmap(
        lambda how: op(how, st.sampled_from([{"property": "tags"}, {"property": "list"}, {"property": "a"}]), elements)
    ),
    st.sampled_from(["s_intersects", "s_disjoint", "s_within", "s_contains", "s_equals"]).flatmap(
        lambda how: op(how, st.just({"property": "geometry"}), shapes) | op(how, shapes, st.just({"property": "geometry"}))
    ),
    st.sampled_from(["s_intersects", "s_disjoint", "s_contains"]).flatmap(
        lambda how: op(how, st.just({"property": "geometry"}), collections)
    ),
    op("like", st.just({"property": "tags"}), patterns),
    words.map(lambda text: {"op": "fulltext", "args": [text]}),
    op("=", st.just({"property": "tags"}), texts),
    st.booleans(),
)
filters = st.recursive(
    leaves,
    lambda inner: op("not", inner) | op("and", inner, inner) | op("or", inner, inner) | op("and", inner, inner, inner),
    max_leaves=5,
)


#: No double is 9007199254740993: one in the list must not make doubles of the others.
mixed = {"op": "in", "args": [{"property": "bytes"}, [3.5, 2**53, 2**64, 5]]}
broken = {"op": "not", "args": [{"op": "in", "args": [{"property": "bytes"}, [3.5, 0.1]]}]}


def check(filled: Filled, ast: Any) -> None:
    try:
        found = bind(ast, FIELDS)
    except FilterError:
        assume(False)
    database, table = filled.database, FIELDS.table
    exact = Writer(table, database.dialect).condition(found.tree)
    answer = case((exact, literal_column("1")), (not_(exact), literal_column("0")))
    values = found.values(database.dialect)
    told = {row[0]: row[1] for row in database.rows(select(table.c.id, answer), values)}
    expected = {
        id: None if (one := found.predicate(document)) is None else int(one) for id, document in filled.documents.items()
    }
    wrong = {id: (told[id], expected[id], filled.documents[id]) for id in told if told[id] != expected[id]}
    assert not wrong, next(iter(wrong.values()))
    chosen = {row[0] for row in database.rows(select(table.c.id).where(found.expression(table, database.dialect)), values)}
    assert chosen == {id for id, one in expected.items() if one}


@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
@given(ast=filters)
@example(ast=mixed)
@example(ast=broken)
def test_sqlite_and_the_predicate_agree(sqlite_filled: Filled, ast: Any) -> None:
    check(sqlite_filled, ast)


@pytest.mark.server
@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(ast=filters)
@example(ast=mixed)
@example(ast=broken)
def test_postgresql_and_the_predicate_agree(postgres_filled: Filled, ast: Any) -> None:
    check(postgres_filled, ast)
