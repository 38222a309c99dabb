"""Questions to the catalogue: filter, order, pages that continue behind the last row of the one before, and aggregates.

A statement is compiled once for each shape of question (what is asked about, not which values) and then only given values.
Access lists are part of every statement: rows that the caller may not view are neither told nor counted.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property, lru_cache, partial
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy import and_, any_, bindparam, func, literal_column, or_, select

from events.errors import Reject
from infra.catalog import lists, rows, schema, times
from infra.catalog.acl import Caller
from infra.catalog.database import DIALECTS, Database
from infra.catalog.query.aggregate import Aggregation, aggregation
from infra.catalog.query.errors import FilterError
from infra.catalog.query.fields import Field, Fields, Type
from infra.catalog.query.filter import Filter, recognised
from infra.catalog.query.numbers import plain
from infra.catalog.query.sql import Writer, bound
from infra.catalog.query.written import Written

MOST = 10_000
#: Most compiled statements that are kept.
KEPT = 2_000
_EVERYTHING: dict[str, Any] = {"op": "=", "args": [1, 1]}
_NEWEST: tuple[tuple[str, bool], ...] = (("time", True),)
#: A pointer into one of several filters that are joined by AND.
_JOINED = re.compile(r"/args/(\d+)(.*)")
_ALL: tuple[None, Sequence[Any]] = None, ()
_UNORDERED: tuple[tuple[str, bool], ...] = ()


class Search(msgspec.Struct, kw_only=True, rename="kebab"):
    """A question. ``filter`` is CQL2-JSON, ``orderby`` (path, descending), ``after`` the ``next`` of the page before.

    Unless ``orderby`` says otherwise, what tells of the latest moment comes first. ``aggregation`` lists (algorithm, path).
    ``offset`` is how many to pass over, for who counts pages: ``after`` finds any page as quickly as the first.
    ``written`` are the filters as they were written: what ``filter`` is, or joins by AND. Errors point into them.
    """

    filter: dict[str, Any] | bool | None = None
    written: list[Written] = []
    orderby: list[tuple[str, bool]] = []
    select: list[str] = []
    limit: int = 100
    offset: int = 0
    after: str = ""
    aggregation: list[tuple[str, str]] = []

    def understood(self, fields: Fields) -> tuple[Filter | None, Sequence[Any]]:
        """The filter and its literals. A ``FilterError`` points at the character where that is known."""
        if self.filter is None:
            return _ALL
        for each in self.written:
            each.check(fields)
        try:
            return recognised(self.filter, fields)
        except FilterError as error:
            raise self._located(error) from None

    def _located(self, error: FilterError) -> FilterError:
        if len(self.written) == 1:
            return self.written[0].located(error)
        nth = _JOINED.fullmatch(error.pointer)
        if not self.written or nth is None:
            return error
        return self.written[int(nth[1])].located(FilterError(error.reason, pointer=nth[2] or "/"))


class Page(msgspec.Struct):
    """Some resources as JSON-ready dicts, and how to continue: ``""`` at the end.

    ``scan`` names the keys that had to be looked for row by row because they have not been declared.
    """

    items: list[dict[str, Any]]
    next: str = ""
    scan: list[str] = []


@dataclass(frozen=True)
class _Sort:
    """One key of an order: its expression, and whether it may be NULL (which then comes last) and is an open number."""

    expression: Any
    descending: bool
    nullable: bool
    number: bool = False


@dataclass(frozen=True)
class _Plan:
    """A compiled question: its text, what each column becomes, and of the sort keys that follow, which are open numbers."""

    text: str
    fixed: dict[str, Any]
    out: list[tuple[str, Callable[[Any], Any] | None]]
    sorts: tuple[bool, ...]

    @cached_property
    def items(self) -> Callable[[list[Any]], list[dict[str, Any]]]:
        """Rows as dicts; sort keys come last, without a name. Made as code once: a loop over the names costs twice as much."""
        parts = ", ".join(f"{name!r}: row[{i}]" for i, (name, _) in enumerate(self.out))
        made: Callable[[list[Any]], list[dict[str, Any]]] = eval(f"lambda rows: [{{{parts}}} for row in rows]")  # noqa: S307 - quoted names
        return made

    @cached_property
    def conversions(self) -> list[tuple[str, Callable[[Any], Any]]]:
        """The columns that are shown in another form."""
        return [(name, convert) for name, convert in self.out if convert is not None]


_plans: dict[Any, _Plan] = {}
_aggregations: dict[Any, tuple[str, dict[str, Any], Aggregation]] = {}
_COUNT = Aggregation(lambda table, tests: select(func.count()).select_from(table).where(*tests), lambda rows: rows[0][0])


def visible(table: Any, dialect: str, principals: int) -> Any:
    """The condition that a row's list lets one of the principals ``p0``, ``p1`` ... view it."""
    names = [bindparam(f"p{i}", type_=sa.Text) for i in range(principals)]
    seen = select(schema.acl_view.c.acl).where(schema.acl_view.c.principal.in_(names))
    if dialect == "postgresql":
        return table.c.acl == any_(func.array(seen.scalar_subquery()))
    return literal_column(f"+{table.name}.acl", sa.Integer).in_(seen)  # the plus: no index on lists, they part too little


@lru_cache(1000)
def _principals(caller: Caller) -> dict[str, str]:
    """What ``visible`` is bound to: nothing for who may view everything, a name that nobody has for who is nobody."""
    return {} if caller.admin else {f"p{i}": name for i, name in enumerate(sorted(caller.principals) or [""])}


def search(database: Database, kind: str, wanted: Search, caller: Caller, fields: Fields) -> Page:
    """A page. Raises ``Reject`` for a filter, a name, a limit or a cursor that makes no sense."""
    if not 1 <= wanted.limit <= MOST:
        raise Reject(f"limit must lie between 1 and {MOST}, not {wanted.limit}; continue with after=NEXT")
    if not 0 <= wanted.offset <= MOST:
        raise Reject(f"offset must lie between 0 and {MOST}, not {wanted.offset}; continue with after=NEXT")
    found, literals = wanted.understood(fields)
    order = _order(wanted.orderby, fields)
    after = _cursor(wanted.after, order) if wanted.after else None
    principals = _principals(caller)
    shape = (
        fields, database.dialect, found and found.shape, order, tuple(wanted.select), len(principals), caller.admin,
        wanted.offset > 0, after and tuple(value is None for value in after),
    )  # fmt: skip
    plan = _plans.get(shape)
    if plan is None:
        if len(_plans) >= KEPT:
            _plans.clear()
        plan = _plans[shape] = _compiled(
            database.dialect, fields, found, order, wanted.select, after, caller.admin, len(principals), wanted.offset > 0
        )
    values = {**plan.fixed, **principals, "limit": wanted.limit + 1}
    if wanted.offset:
        values["offset"] = wanted.offset
    if found is not None:
        values.update(found.values(database.dialect, literals))
    for i, value in enumerate(after or ()):
        values[f"a{i}"] = bound("number", value, database.dialect) if plan.sorts[i] and value is not None else value
    rows_ = database.rows(plan.text, values)
    more = len(rows_) > wanted.limit
    if more:
        rows_.pop()
    last = rows_[-1] if more else None
    start = len(plan.out)
    return Page(
        _items(database, plan, rows_),
        _token(order, [last[start + i] for i in range(len(plan.sorts))]) if last is not None else "",
        found.scans if found is not None and database.dialect == "sqlite" else [],
    )


def aggregate(database: Database, kind: str, wanted: Search, caller: Caller, fields: Fields) -> dict[str, Any]:
    """``{"count": N, "aggregations": {"avg:bytes": ...}}`` over all that matches and the caller may view."""
    found, literals = wanted.understood(fields)
    principals = _principals(caller)
    values: dict[str, Any] = dict(principals)
    if found is not None:
        values.update(found.values(database.dialect, literals))
    question = fields, database.dialect, found and found.shape, caller.admin, len(principals)

    def answer(algorithm: str, path: str) -> Any:
        kept = _aggregations.get((question, algorithm, path))
        if kept is None:
            tests = _tests(database.dialect, fields, found, caller.admin, len(principals))
            asked = aggregation(algorithm, path, fields, database.dialect) if path else _COUNT
            if len(_aggregations) >= KEPT:
                _aggregations.clear()
            kept = *_text(asked.statement(fields.table, tests), database.dialect), asked
            _aggregations[question, algorithm, path] = kept
        text, fixed, asked = kept
        return asked.answer(database.rows(text, {**fixed, **values}))

    answers = {f"{algorithm}:{path}": answer(algorithm, path) for algorithm, path in wanted.aggregation}
    return {"count": answer("count", ""), "aggregations": answers}


def _tests(dialect: str, fields: Fields, found: Filter | None, admin: bool, principals: int) -> list[Any]:
    table = fields.table
    tests = [] if found is None else [Writer(table, dialect).condition(found.tree, only_true=True)]
    if "state" in table.c and table.name == "data_object":
        tests.append(table.c.state != literal_column("'REMOVED'", sa.Text))
    if not admin:
        tests.append(visible(table, dialect, principals))
    return tests


def _compiled(
    dialect: str, fields: Fields, found: Filter | None, order: tuple[tuple[str, bool], ...], chosen: Sequence[str],
    after: list[Any] | None, admin: bool, principals: int, offset: bool,
) -> _Plan:  # fmt: skip
    table = fields.table
    sorts = [sort for name, descending in order for sort in _sorts(name, descending, fields, dialect)]
    sorts.append(_Sort(table.c.n, sorts[0].descending if sorts else True, False))
    tests = _tests(dialect, fields, found, admin, principals)
    if after is not None:
        tests.append(_behind(sorts, after))
    columns, out = _outputs(fields, chosen)
    keys: list[Any] = []
    for sort in sorts:
        if sort.nullable:
            keys.append(sort.expression.is_(None))
        keys.append(sort.expression.desc() if sort.descending else sort.expression.asc())
    statement = (
        select(*columns, *(sort.expression.label(f"s{i}") for i, sort in enumerate(sorts)))
        .where(*tests)
        .order_by(*keys)
        .limit(bindparam("limit", type_=sa.Integer))
    )
    if offset:
        statement = statement.offset(bindparam("offset", type_=sa.Integer))
    text, fixed = _text(statement, dialect)
    return _Plan(text, fixed, out, tuple(sort.number for sort in sorts))


def _text(statement: Any, dialect: str) -> tuple[str, dict[str, Any]]:
    made = statement.compile(dialect=DIALECTS[dialect], compile_kwargs={"render_postcompile": True})
    return str(made), dict(made.params)


def _order(wanted: Sequence[tuple[str, bool]], fields: Fields) -> tuple[tuple[str, bool], ...]:
    if not wanted:
        return _NEWEST if "time" in fields.known else _UNORDERED
    for name, _ in wanted:
        head, colon, _ = name.partition(":")
        if colon and head in fields.known:
            raise Reject(f"orderby: {name!r} is {head!r} in what order? There are {head}:asc and {head}:desc")
    return tuple((name, descending) for name, descending in wanted)


def _sorts(name: str, descending: bool, fields: Fields, dialect: str) -> list[_Sort]:
    """The sort keys of a name. What is of no declared type is ordered as a number, then as a text."""
    field = fields.find(name)
    if field.type in ("geometry", "array", "json"):
        raise Reject(f"orderby: {name!r} is {field.type}, which has no order")
    writer = Writer(fields.table, dialect)
    types: tuple[Type, ...] = ("number", "text") if field.type == "any" else (field.type,)
    column = fields.table.c[field.columns[0]]
    nullable = bool(field.path) or (bool(column.nullable) and len(field.columns) == 1)
    return [
        _Sort(column if _plain(field) else writer.read(field, type_), descending, nullable, type_ == "number")
        for type_ in types
    ]


def _plain(field: Field) -> bool:
    return not field.path and len(field.columns) == 1


def _behind(sorts: list[_Sort], after: list[Any]) -> Any:
    """Behind the row whose sort keys are ``a0``, ``a1`` ...: the first key that differs decides."""
    ways, same = [], []
    for i, (sort, value) in enumerate(zip(sorts, after, strict=True)):
        mark = bindparam(f"a{i}", type_=sort.expression.type)
        if value is None:
            same.append(sort.expression.is_(None))
            continue
        later = sort.expression < mark if sort.descending else sort.expression > mark
        ways.append(and_(*same, or_(later, sort.expression.is_(None)) if sort.nullable else later))
        same.append(sort.expression == mark)
    behind = or_(*ways)
    first = sorts[0]
    if after[0] is None or first.nullable or len(sorts) == 1:
        return behind
    mark = bindparam("a0", type_=first.expression.type)
    return and_(first.expression <= mark if first.descending else first.expression >= mark, behind)


def _token(order: tuple[tuple[str, bool], ...], keys: list[Any]) -> str:
    told = [plain(key) if isinstance(key, Decimal) else key for key in keys]
    return base64.urlsafe_b64encode(msgspec.msgpack.encode([order, told])).decode().rstrip("=")


def _cursor(token: str, order: tuple[tuple[str, bool], ...]) -> list[Any]:
    try:
        made, keys = msgspec.msgpack.decode(
            base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)),
            type=tuple[list[tuple[str, bool]], list[str | int | float | None]],
        )
    except (ValueError, msgspec.DecodeError, msgspec.ValidationError) as error:
        raise Reject("after: this is no cursor of a page; give the next of the page before") from error
    if tuple(made) != order:
        raise Reject("after: this cursor belongs to another order; ask for the first page again")
    if not isinstance(keys[-1], int):
        raise Reject("after: this is no cursor of a page; give the next of the page before")
    return keys


def _outputs(fields: Fields, chosen: Sequence[str]) -> tuple[list[Any], list[tuple[str, Any]]]:
    """The columns to ask for, and what each becomes: (name, conversion)."""
    table = fields.table
    kind = next(name for name, each in schema.KINDS.items() if each is table)
    known = {_json_name(kind, column.name): column for column in rows.columns(kind)}
    if not chosen:
        return list(known.values()), [(name, _conversion(column)) for name, column in known.items()]
    columns, out = [], []
    for name in chosen:
        if name in known:
            columns.append(known[name])
            out.append((name, _conversion(known[name])))
            continue
        field = fields.find(name)
        columns.append(table.c[field.columns[0]])
        out.append((name, partial(_inside, field.path) if field.path else _conversion(columns[-1])))
    return columns, out


def _json_name(kind: str, column: str) -> str:
    renamed = {"told": "timestamp", "t_end": "timestamp-end"}
    return renamed.get(column) or column.replace("_", "-")


def _conversion(column: Any) -> Callable[[Any], Any] | None:
    if column.info.get("moment"):
        return times.text
    return bool if isinstance(column.type, sa.Boolean) else None


def _inside(path: tuple[str | int, ...], document: Any) -> Any:
    for step in path:
        try:
            document = document[step]
        except (LookupError, TypeError):
            return None
    return document


def _items(database: Database, plan: _Plan, found: list[Any]) -> list[dict[str, Any]]:
    items = plan.items(found)
    for name, convert in plan.conversions:
        for item in items:
            item[name] = convert(item[name])
    if items and "acl" in items[0]:
        known = {number: msgspec.to_builtins(lists.read(database, number)) for number in {item["acl"] for item in items}}
        for item in items:
            item["acl"] = known[item["acl"]]
    return items
