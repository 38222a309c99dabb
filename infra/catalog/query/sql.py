"""A tree as a SQLAlchemy expression for SQLite or PostgreSQL. Literals are bound as ``f0``, ``f1`` ...; names are in the text.

Where only true counts (the conditions that AND and OR join at the top) a condition may bring along a second one that an index
can answer and that holds whenever the first does: the R*Tree or GiST box, FTS5 or a text-search GIN, the GIN index over all
metadata.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from sqlalchemy import ColumnElement, Double, and_, case, exists, func, literal_column, not_, or_, select
from sqlalchemy.dialects import postgresql, sqlite

from infra.catalog.query import tree
from infra.catalog.query.binder import MIRROR
from infra.catalog.query.fields import Field, Fields, Type, steps
from infra.catalog.query.numbers import decimal
from infra.catalog.query.patterns import glob

Sql = ColumnElement[Any]
_TYPES: dict[Type, Any] = {
    "text": sa.Text, "pattern": sa.Text, "rare": sa.Text, "geometry": sa.Text, "number": sa.Numeric, "large": sa.Numeric,
    "degree": Double, "integer": sa.BigInteger, "time": sa.BigInteger, "boolean": sa.Boolean,
}  # fmt: skip
_COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "=": lambda a, b: a == b, "<>": lambda a, b: a != b, "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b, ">": lambda a, b: a > b, ">=": lambda a, b: a >= b,
}  # fmt: skip


def text(value: str) -> Sql:
    """A text that is part of the statement: names only, never a value of a filter."""
    return literal_column("'" + value.replace("'", "''") + "'", sa.Text)


def json_path(path: tuple[str | int, ...]) -> str:
    """A path for SQLite: ``$."columns"[0]``."""
    return "$" + "".join(f"[{step}]" if isinstance(step, int) else f'."{step}"' for step in path)


#: The types whose literals ``bound`` may change.
CONVERTED: dict[str, tuple[Type, ...]] = {"sqlite": ("pattern",), "postgresql": ("number", "large")}


def bound(type_: Type, value: Any, dialect: str) -> Any:
    """A literal as the statement takes it."""
    if dialect == "sqlite":
        return glob(value) if type_ == "pattern" else value
    return decimal(value) if type_ in ("number", "large") else value


class Writer:
    """Writes expressions on one table in one dialect (``sqlite`` or ``postgresql``)."""

    def __init__(self, table: sa.FromClause, dialect: str) -> None:
        self.table, self.sqlite = table, dialect == "sqlite"

    def condition(self, node: tree.Condition, only_true: bool = False) -> Sql:
        """A condition; ``only_true``: unknown may be told as false."""
        if isinstance(node, tree.And):  # SQLite tests a row in the order of writing
            return and_(*(self.condition(item, only_true) for item in sorted(node.items, key=_work)))
        if isinstance(node, tree.Or):
            return or_(*(self.condition(item, only_true) for item in node.items))
        if only_true and (quick := self._column_alone(node)) is not None:
            return quick
        exact: Sql = _CONDITIONS[type(node)](self, node)
        if only_true and (hint := self.hint(node)) is not None:
            return and_(hint, exact)
        return exact

    def value(self, node: tree.Value) -> Sql:
        """A value."""
        if isinstance(node, tree.Literal):
            return sa.bindparam(
                f"f{node.slot}", bound(node.type, node.value, "sqlite" if self.sqlite else "postgresql"), _TYPES[node.type]
            )
        if isinstance(node, tree.Read):
            return self.read(node.field, node.type)
        if isinstance(node, tree.Arithmetic):
            left, right = self.value(node.left), self.value(node.right)
            if self.sqlite:
                return func.sluice_calc(text(node.op), left, right)
            return func.sluice_exact(func.sluice_calc(text(node.op), sa.cast(left, Double), sa.cast(right, Double)))
        folded: Sql = getattr(func, f"sluice_{node.op}")(self.value(node.value))
        return folded if self.sqlite else folded.collate("C")

    def read(self, field: Field, type_: Type) -> Sql:
        """A field as a type; NULL where the document has none."""
        columns = [self.table.c[name] for name in field.columns]
        column: Sql = columns[0] if len(columns) == 1 else func.coalesce(*columns)
        if field.path:
            return self._from_json(column, field.path, type_)
        if field.written:
            return func.sluice_ms(column)
        if field.blank:
            return func.nullif(column, text(""))
        if type_ == "number" and field.type == "integer":
            return column if self.sqlite else sa.cast(column, sa.Numeric)
        return column

    def document(self, field: Field) -> tuple[Sql, Sql]:
        """The JSON at a field, and the name of its type there."""
        column: Sql = self.table.c[field.columns[0]]
        if self.sqlite:
            path = text(json_path(field.path))
            return func.json_extract(column, path), func.json_type(column, path)
        return (inner := self._inner(column, field.path)), func.jsonb_typeof(inner)

    def _inner(self, column: Sql, path: tuple[str | int, ...]) -> Sql:
        for step in path:
            name = literal_column(str(step), sa.Integer) if isinstance(step, int) else text(step)
            inner = column.op("->", precedence=15, return_type=postgresql.JSONB())(name)
            # a scalar is its own first element to PostgreSQL
            column = case((func.jsonb_typeof(column) == text("array"), inner)) if isinstance(step, int) else inner
        return column

    def _from_json(self, column: Sql, path: tuple[str | int, ...], type_: Type) -> Sql:
        if self.sqlite:
            where = text(json_path(path))
            value, kind = func.json_extract(column, where), func.json_type(column, where)
            if type_ == "text":
                return case((kind == text("text"), value))
            if type_ == "number":
                return case((or_(kind == text("integer"), kind == text("real")), value))
            if type_ == "boolean":
                one, none = literal_column("1", sa.Boolean), literal_column("0", sa.Boolean)
                return case((kind == text("true"), one), (kind == text("false"), none))
            return func.sluice_ms(value) if type_ == "time" else value
        inner = self._inner(column, path)
        found = func.jsonb_typeof(inner)
        as_text = inner.op("#>>", precedence=15, return_type=sa.Text())(text("{}"))
        if type_ == "text":
            return case((found == text("string"), as_text)).collate("C")
        if type_ == "number":
            return case((found == text("number"), sa.cast(inner, sa.Numeric)))
        if type_ == "boolean":
            return case((found == text("boolean"), sa.cast(inner, sa.Boolean)))
        return func.sluice_ms(as_text) if type_ == "time" else as_text

    def _column_alone(self, node: tree.Condition) -> Sql | None:
        """Where only true counts: a condition on a column that an index is on, empty texts left out beside it."""
        if isinstance(node, tree.Compare):
            for one, other, op in ((node.left, node.right, node.op), (node.right, node.left, MIRROR[node.op])):
                if isinstance(one, tree.Read) and one.field.blank and isinstance(other, tree.Literal):
                    column = self.table.c[one.field.columns[0]]
                    found: Sql = _COMPARE[op](column, self.value(other))
                    return found if op in ("=", ">", ">=") else and_(found, column != text(""))
        elif isinstance(node, tree.In | tree.Like) and isinstance(node.value, tree.Read) and node.value.field.blank:
            column = self.table.c[node.value.field.columns[0]]
            if isinstance(node, tree.In):
                return self._among(column, node.items)
            return and_(self._fits(column, node.pattern), column != text(""))
        return None

    # conditions, each as the tree says

    def _always(self, node: tree.Always) -> Sql:
        return literal_column("1 = 1" if node.value else "1 = 0", sa.Boolean)

    def _not(self, node: tree.Not) -> Sql:
        return not_(self.condition(node.item).self_group())

    def _first(self, node: tree.First) -> Sql:
        return func.coalesce(*(self.condition(item) for item in node.items), type_=sa.Boolean)

    def _compare(self, node: tree.Compare) -> Sql:
        found: Sql = _COMPARE[node.op](self.value(node.left), self.value(node.right))
        return found

    def _in(self, node: tree.In) -> Sql:
        return self._among(self.value(node.value), node.items)

    def _among(self, value: Sql, choices: tuple[tree.Literal, ...]) -> Sql:
        items = [self.value(item) for item in choices]
        return value == items[0] if len(items) == 1 else value.in_(items)

    def _like(self, node: tree.Like) -> Sql:
        return self._fits(self.value(node.value), node.pattern)

    def _fits(self, value: Sql, pattern: tree.Value) -> Sql:
        return value.op("GLOB" if self.sqlite else "LIKE", is_comparison=True)(self.value(pattern))

    def _is_null(self, node: tree.IsNull) -> Sql:
        if isinstance(node.value, tree.Read) and node.value.type == "geometry":
            return self.table.c.west.is_(None)
        if isinstance(node.value, tree.Read) and node.value.field.blank:
            return self.table.c[node.value.field.columns[0]] == text("")
        return self.value(node.value).is_(None)

    def _holds(self, node: tree.Holds) -> Sql:
        return self.value(node.value) == literal_column("1" if self.sqlite else "true", sa.Boolean)

    def _elements(self, node: tree.Elements) -> Sql:
        value, kind = self.document(node.field)
        one: Sql
        type_: Sql
        if self.sqlite:
            column, path = self.table.c[node.field.columns[0]], text(json_path(node.field.path))
            each = func.json_each(column, path).table_valued("value", "type", name="each")
            one, type_ = each.c.value, each.c.type
        else:
            array = case((kind == text("array"), value), else_=sa.cast(text("[]"), postgresql.JSONB))
            each = func.jsonb_array_elements(array).table_valued("value", name="each")
            one, type_ = each.c.value, func.jsonb_typeof(each.c.value)
        found = [self._element(one, type_, item) for item in node.items]

        def some(condition: Sql) -> Sql:
            return exists(select(literal_column("1")).select_from(each).where(condition).correlate(self.table))

        if node.op == "contains":
            answer: Sql = and_(*(some(item) for item in found))
        elif node.op in ("overlaps", "like"):
            answer = some(or_(*found))
        else:
            answer = not_(some(not_(func.coalesce(or_(*found), literal_column("0" if self.sqlite else "false", sa.Boolean)))))
        return case((kind == text("array"), answer))

    def _element(self, one: Sql, kind: Sql, item: tree.Literal) -> Sql:
        """An element of a JSON array is this literal, or fits this pattern."""
        wanted = self.value(item)
        if item.type == "pattern":
            if self.sqlite:
                return and_(kind == text("text"), self._fits(one, item))
            return and_(kind == text("string"), self._fits(one.op("#>>", return_type=sa.Text())(text("{}")).collate("C"), item))
        if self.sqlite:
            if item.type == "text":
                return and_(kind == text("text"), one == wanted)
            if item.type == "boolean":
                return kind == case((wanted == literal_column("1", sa.Boolean), text("true")), else_=text("false"))
            return and_(or_(kind == text("integer"), kind == text("real")), one == wanted)
        if item.type == "text":
            return and_(kind == text("string"), one.op("#>>", return_type=sa.Text())(text("{}")).collate("C") == wanted)
        name, as_ = ("boolean", sa.Boolean) if item.type == "boolean" else ("number", sa.Numeric)
        return case((kind == text(name), sa.cast(one, as_) == wanted), else_=literal_column("false", sa.Boolean))

    def _spatial(self, node: tree.Spatial) -> Sql:
        c = self.table.c
        west, south, east, north = (self.value(one) for one in node.bounds)
        inside = and_(c.west >= west, c.east <= east, c.south >= south, c.north <= north)
        shape, geometry = self.value(node.shape), c.geometry
        if self.sqlite:
            exact: Sql = func.sluice_spatial(text(node.op), geometry, shape)
        else:
            pair = (geometry, sa.cast(shape, postgresql.JSONB))
            exact = func.sluice_intersects(*pair) if node.op == "intersects" else func.sluice_within(
                *(pair if node.op == "within" else pair[::-1])
            )  # fmt: skip
        exact = sa.type_coerce(exact, sa.Boolean) == literal_column("1" if self.sqlite else "true", sa.Boolean)
        if node.op == "contains":
            return and_(c.west <= west, c.east >= east, c.south <= south, c.north >= north, exact)
        if node.op == "within":
            return inside if node.box else and_(inside, exact)
        near = and_(c.west <= east, c.east >= west, c.south <= north, c.north >= south)
        return and_(near, or_(inside, exact)) if node.box else and_(near, exact)

    def _words(self, node: tree.Words) -> Sql:
        stored = text(" ").concat(self.table.c["words"]).concat(text(" "))
        find = func.instr if self.sqlite else func.strpos
        ends = (" " if not start else "" for start in node.starts)
        return and_(*(
            find(stored, text(" ").concat(self.value(item)).concat(text(end))) > literal_column("0")
            for item, end in zip(node.items, ends, strict=True)
        ))  # fmt: skip

    # what an index can answer

    def hint(self, node: tree.Condition) -> Sql | None:
        """A condition for an index that holds whenever ``node`` does."""
        if isinstance(node, tree.Words):
            return self._found(node)
        if isinstance(node, tree.Spatial):
            return self._near(node)
        if self.sqlite:
            return self._roughly(node) if isinstance(node, tree.Compare) else None
        if isinstance(node, tree.Elements) and node.op == "contains" and all(item.type == "text" for item in node.items):
            items = func.jsonb_build_array(*(sa.cast(self.value(item), sa.Text) for item in node.items))
            return self._contains(node.field, items)
        if isinstance(node, tree.Compare) and node.op == "=" and isinstance(node.left, tree.Read):
            field, wanted = node.left.field, node.right
            if (
                field.path
                and isinstance(wanted, tree.Literal)
                and wanted.type in ("text", "number", "boolean")
                and not (field.indexed and wanted.type == key_type(field.type))
            ):
                return self._contains(field, func.to_jsonb(sa.cast(self.value(wanted), _TYPES[wanted.type])))
        return None

    def _roughly(self, node: tree.Compare) -> Sql | None:
        """A number before one knows that it is one, for a third of the work."""
        left, right = node.left, node.right
        if not (isinstance(left, tree.Read) and isinstance(right, tree.Literal) and left.type == right.type == "number"):
            return None
        if not left.field.path or node.op in ("=", "<>"):
            return None
        column: Sql = self.table.c[left.field.columns[0]]
        found: Sql = _COMPARE[node.op](func.json_extract(column, text(json_path(left.field.path))), self.value(right))
        return found

    def _contains(self, field: Field, value: Sql) -> Sql | None:
        if any(isinstance(step, int) for step in field.path):
            return None
        for step in reversed(field.path):
            value = func.jsonb_build_object(text(str(step)), value)
        return self.table.c[field.columns[0]].op("@>", is_comparison=True)(value)

    def _found(self, node: tree.Words) -> Sql | None:
        """What the full-text index has: all words, or those of them that it is sure to keep in one piece."""
        sure = [
            (item, start) for item, start in zip(node.items, node.starts, strict=True) if item.type == "text"
        ]  # fmt: skip
        if not sure:
            return None
        quote = '"' if self.sqlite else "'"
        query: Sql = text("")
        for i, (item, start) in enumerate(sure):
            if i:
                query = query.concat(text(" " if self.sqlite else " & "))
            query = query.concat(text(quote)).concat(self.value(item)).concat(text(quote))
            if start:
                query = query.concat(text("*" if self.sqlite else ":*"))
        name = self._name()
        if self.sqlite:
            index = sa.table(f"{name}_words", sa.column("rowid"), sa.column("words"))
            match = literal_column(f"{name}_words").op("MATCH")(query)
            return self.table.c.n.in_(select(index.c.rowid).where(match))
        vector = func.to_tsvector(literal_column("'simple'::regconfig"), self.table.c["words"])
        return vector.op("@@", is_comparison=True)(func.to_tsquery(literal_column("'simple'::regconfig"), query))

    def _near(self, node: tree.Spatial) -> Sql:
        west, south, east, north = (self.value(one) for one in node.bounds)
        if self.sqlite:
            box = sa.table(f"{self._name()}_box", *(sa.column(one) for one in ("n", "west", "east", "south", "north")))
            near = and_(box.c.west <= east, box.c.east >= west, box.c.south <= north, box.c.north >= south)
            return self.table.c.n.in_(select(box.c.n).where(near))
        c = self.table.c
        mine = func.box(func.point(c.west, c.south), func.point(c.east, c.north))
        wanted = func.box(
            func.point(*(sa.cast(one, Double) for one in (west, south))),
            func.point(*(sa.cast(one, Double) for one in (east, north))),
        )
        return and_(c.west.is_not(None), mine.op("&&", is_comparison=True)(wanted))

    def _name(self) -> str:
        table = self.table.element if isinstance(self.table, sa.Alias) else self.table
        if not isinstance(table, sa.Table):
            raise TypeError("filters are on tables and their aliases")
        return table.name


def _work(node: tree.Condition) -> int:
    """How much there is to do for a row: to compare columns is little, to look into JSON is much."""
    if isinstance(node, tree.Compare):
        values = (node.left, node.right)
        return (
            0
            if all(isinstance(one, tree.Literal) or (isinstance(one, tree.Read) and not one.field.path) for one in values)
            else 2
        )
    return 1 if isinstance(node, tree.Spatial) else 2


_CONDITIONS: dict[type, Callable[[Writer, Any], Sql]] = {
    tree.Always: Writer._always,
    tree.Not: Writer._not,
    tree.First: Writer._first,
    tree.Compare: Writer._compare,
    tree.In: Writer._in,
    tree.Like: Writer._like,
    tree.IsNull: Writer._is_null,
    tree.Holds: Writer._holds,
    tree.Elements: Writer._elements,
    tree.Spatial: Writer._spatial,
    tree.Words: Writer._words,
}


def key_type(type_: Type) -> Type:
    """What the index of a declared key of a type is on: that of a key of any type is on its texts."""
    return "text" if type_ == "any" else type_


def key_expression(fields: Fields, path: str, type_: Type, dialect: str) -> Sql:
    """What the index of a declared metadata path is on: exactly what a filter on it reads.

    Of type ``any`` it is what texts are read by. In DDL write ``key_ddl``; in ORDER BY this.
    """
    field = Field("any", ("metadata",), ("metadata",), steps(path, path))
    return Writer(fields.table, dialect).read(field, key_type(type_))


def key_ddl(fields: Fields, path: str, type_: Type, dialect: str) -> str:
    """``key_expression`` as the text of a column of CREATE INDEX, in brackets."""
    made = key_expression(fields, path, type_, dialect)
    compiler: Any = (sqlite if dialect == "sqlite" else postgresql).dialect()
    return f"({made.compile(dialect=compiler, compile_kwargs={'include_table': False})})".replace("%%", "%")
