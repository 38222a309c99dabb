"""What a preprocessing rule says, and where its result lies."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any, Literal

import msgspec

from events.errors import Reject
from events.types import FunctionRequested

#: Endings of what holds lines of JSON, which no format here recognises by its content.
JSON_LINES = (".jsonl", ".ndjson")
#: What compares a column with a value.
OPERATORS = ("=", "==", "!=", "<", "<=", ">", ">=", "in", "not in")
#: What to do about two originals whose results would have one name.
ANOTHER = "rename one of the two, or give each a binding with a target of its own"
_ENDINGS = {"gzip": ".gz", "zstd": ".zst"}
_TYPES = {"parquet": "application/vnd.apache.parquet", "csv": "text/csv", "jsonl": "application/x-ndjson"}
_COMPRESSED = {"gzip": "application/gzip", "zstd": "application/zstd"}


class Rule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``rows`` are comparisons that must all hold: ``[column, operator, value]`` with ``= != < <= > >= in`` or ``not in``.

    ``columns`` are those to keep, in this order; ``convert`` is the form of the result, the original's unless given;
    ``target`` is where it goes (``s3://BUCKET/PREFIX``, or a prefix of keys in the same bucket). Without ``keep`` the
    original is removed at the end.
    """

    rows: list[tuple[str, str, Any]] = []
    columns: list[str] = []
    convert: Literal["", "parquet", "csv", "jsonl"] = ""
    compress: Literal["", "none", "gzip", "zstd", "snappy"] = ""
    keep: bool = True
    target: str = ""


def rule_of(parameters: dict[str, Any]) -> Rule:
    """The rule in a binding's parameters. Raises ``Reject``."""
    try:
        rule = msgspec.convert(parameters, Rule)
    except msgspec.ValidationError as error:
        raise Reject(f"this is no rule for preprocessing: {error}") from error
    if rule.compress == "snappy" and rule.convert != "parquet":
        raise Reject("snappy is for parquet only: compress by gzip or zstd")
    for column, how, value in rule.rows:
        if how not in OPERATORS:
            raise Reject(f"rows: {how[:20]!r} of {column[:60]!r} compares nothing: {', '.join(OPERATORS)} do")
        if how in ("in", "not in") and not isinstance(value, list):
            raise Reject(f"rows: {column[:60]!r} {how} takes a list of values")
    if not (rule.rows or rule.columns or rule.convert or rule.compress):
        raise Reject("the rule does nothing: give rows, columns, convert or compress")
    if not (rule.target or rule.convert or rule.compress in _ENDINGS):
        raise Reject("the result would replace the original: give the rule a target")
    return rule


def target(rule: Rule, bucket: str, key: str) -> tuple[str, str]:
    """Bucket and key of the result. Raises ``Reject`` where it would lie on the original."""
    place, prefix = bucket, rule.target
    if prefix.startswith("s3://"):
        place, _, prefix = prefix.removeprefix("s3://").partition("/")
        if not place:
            raise Reject(f"target: {rule.target!r} names no bucket")
    name = str(PurePosixPath(key).with_suffix(f".{rule.convert}")) if rule.convert and PurePosixPath(key).name else key
    if rule.convert != "parquet":
        name += _ENDINGS.get(rule.compress, "")
    if (place, prefix + name) == (bucket, key):
        raise Reject(f"the result would replace s3://{bucket}/{key} itself: give the rule a target")
    return place, prefix + name


def content_type(rule: Rule, of: FunctionRequested) -> str:
    """The content type of the result."""
    if rule.compress in _COMPRESSED and rule.convert != "parquet":
        return _COMPRESSED[rule.compress]
    return _TYPES.get(rule.convert, of.content_type or "application/octet-stream")
