"""Filters use the indexes that are there for them; a statement's text depends on the filter's shape alone."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select

from infra.catalog.database import DIALECTS, Database
from infra.catalog.query import bind, fields_of, key_ddl, parse
from tests.unit.catalog.query.conftest import ODD, Filled

TABLE = fields_of("data-object").table
DECLARED: Any = {"obs:target": "text", "n.x": "number", "flag": "boolean", "seen": "time", ODD: "text"}
FIELDS = fields_of("data-object", DECLARED)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.server)])
def indexed(request: pytest.FixtureRequest) -> Database:
    filled: Filled = request.getfixturevalue("sqlite_filled" if request.param == "sqlite" else "postgres_filled")
    database = filled.database
    for i, (path, type_) in enumerate(DECLARED.items()):
        expression = key_ddl(FIELDS, path, type_, database.dialect)
        database.connection.execute(f"CREATE INDEX IF NOT EXISTS declared{i} ON data_object ({expression}, t DESC)")
    if database.dialect == "postgresql":
        database.connection.execute("SET enable_seqscan = off")  # a table this small is read whole otherwise
    return database


def plan(database: Database, filter: str, newest: bool = False) -> str:
    found = bind(parse(filter), FIELDS)
    statement = select(TABLE.c.id).where(found.expression(TABLE, database.dialect))
    if newest:
        statement = statement.order_by(TABLE.c.t.desc())
    text = str(statement.compile(dialect=DIALECTS[database.dialect], compile_kwargs={"render_postcompile": True}))
    explain = "EXPLAIN QUERY PLAN " if database.dialect == "sqlite" else "EXPLAIN "
    rows = database.connection.execute(explain + text + " LIMIT 20" * newest, found.values(database.dialect)).fetchall()
    return "\n".join(str(row[-1]) for row in rows)


@pytest.mark.parametrize(
    ("filter", "sqlite", "postgresql"),
    [
        ("\"obs:target\" = 'M31'", "declared0", "declared0"),
        ("\"obs:target\" LIKE 'M3%'", "declared0", "declared0"),
        ("\"obs:target\" IN ('M31', 'M33')", "declared0", "declared0"),
        ("n.x > 5 AND n.x <= 7.5", "declared1", "declared1"),
        ("flag = TRUE", "declared2", "declared2"),
        ("seen >= TIMESTAMP('2026-01-01T00:00:00Z')", "declared3", "declared3"),
        (f"\"{ODD}\" = 'x'", "declared4", "declared4"),
        ("S_INTERSECTS(geometry, BBOX(1, 2, 3, 4))", "data_object_box", "data_object_box"),
        ("S_WITHIN(geometry, POLYGON((0 0, 1 0, 1 1, 0 0)))", "data_object_box", "data_object_box"),
        ("fulltext('hemisphere')", "data_object_words", "data_object_words"),
        ("undeclared.path = 'x'", "SCAN", "data_object_metadata"),
        ("time >= DATE('2026-01-01') AND time < DATE('2026-01-02')", "data_object_t", "data_object_t"),
        ("bucket = 'lake' AND key LIKE 'raw/%'", "data_object_place", "data_object_place"),
    ],
)
def test_the_index_is_used(indexed: Database, filter: str, sqlite: str, postgresql: str) -> None:
    found = plan(indexed, filter)
    assert (sqlite if indexed.dialect == "sqlite" else postgresql) in found, found
    if indexed.dialect == "sqlite" and sqlite != "SCAN":
        assert "SCAN data_object\n" not in found + "\n"


def test_the_newest_of_a_declared_key_come_from_its_index_in_order(indexed: Database) -> None:
    found = plan(indexed, "\"obs:target\" = 'M31'", newest=True)
    assert "declared0" in found
    assert "TEMP B-TREE" not in found
    assert "Sort" not in found


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql"])
def test_one_shape_is_one_statement(dialect: str) -> None:
    def text(filter: str) -> tuple[Any, str, dict[str, Any]]:
        found = bind(parse(filter), FIELDS)
        made = found.expression(TABLE, dialect).compile(dialect=DIALECTS[dialect], compile_kwargs={"render_postcompile": True})
        return found.tree, str(made), found.values(dialect)

    for one, other in (
        ("a = 1 AND key LIKE 'a%'", "a = -7.5 AND key LIKE 'zz%'"),
        ("S_INTERSECTS(geometry, BBOX(1,2,3,4))", "S_INTERSECTS(geometry, BBOX(-5,2,30,40))"),
        ("x IN (1,2,3)", "x IN (7,8,9,10)"),
        ("name LIKE '%a_'", "name LIKE 'b%c'"),
        ("fulltext('two words')", "fulltext('other texts')"),
    ):
        (tree, written, values), (same, again, others) = text(one), text(other)
        assert tree == same
        assert hash(tree) == hash(same)
        assert written == again
        assert values.keys() == others.keys()
        assert values != others
    assert text("a = 1")[0] != text("a = 'x'")[0]
    assert text("a = 1")[0] != text("b = 1")[0]


@pytest.mark.parametrize("text", ["x' OR '1'='1", "%(f0)s", ":f0", "'; DROP TABLE data_object; --", "\\'"])
@pytest.mark.parametrize("dialect", ["sqlite", "postgresql"])
def test_values_are_never_part_of_the_statement(dialect: str, text: str) -> None:
    for op in ("=", "like", "<"):
        found = bind({"op": op, "args": [{"property": "a"}, text + "_"]}, FIELDS)
        made = str(found.expression(TABLE, dialect).compile(dialect=DIALECTS[dialect]))
        assert "DROP" not in made
        assert "OR '1'" not in made
