"""Filters and aggregations over the catalogue: CQL2 and CIMI in, bound SQL and Python predicates out."""

from __future__ import annotations

from infra.catalog.query.errors import FilterError
from infra.catalog.query.fields import KEY_TYPES, Field, Fields, fields_of
from infra.catalog.query.filter import Filter, bind, compile_filter, predicate, understand
from infra.catalog.query.functions import POSTGRESQL, install
from infra.catalog.query.sql import key_ddl, key_expression
from infra.catalog.query.written import Written, parse, written

__all__ = [
    "KEY_TYPES",
    "POSTGRESQL",
    "Field",
    "Fields",
    "Filter",
    "FilterError",
    "Written",
    "bind",
    "compile_filter",
    "fields_of",
    "install",
    "key_ddl",
    "key_expression",
    "parse",
    "predicate",
    "understand",
    "written",
]
