"""Arrow's types by the text that the catalogue has of them, as ``str`` writes it: ``list<item: int64>``."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import pyarrow as pa

_MADE_OF = re.compile(r"(?P<name>\w+)[<(\[](?P<parts>.*)[>)\]]", re.DOTALL)
_NAMED = re.compile(r" \('[^']*'\)")  # the parts of a map, which Parquet gives names that make no difference
_OF_SIZE = re.compile(r"fixed_size_list<(?P<item>.*)>\[(?P<size>\d+)\]", re.DOTALL)


def type_of(text: str) -> Any:
    """The type whose text this is. Raises ``ValueError`` for others, and where it does not say all of the type."""
    text = _NAMED.sub("", text)
    try:
        found = _type(text)
    except (TypeError, RecursionError, pa.ArrowException) as error:  # of other parts than the type has
        raise ValueError(f"{text} is no type: {error}") from error
    if str(found) != text:  # names of fields may have any characters
        raise ValueError(f"{text} may be another type than {found}")
    return found


def common(kinds: Sequence[Any]) -> Any:
    """The type that holds the values of all these; text, where they have none in common."""
    try:
        fields = [pa.schema([("", kind)]) for kind in dict.fromkeys(kinds)]
        return pa.unify_schemas(fields, promote_options="permissive").field(0).type
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        return pa.string()


def _type(text: str) -> Any:
    if found := _OF_SIZE.fullmatch(text):
        return pa.list_(_field(found["item"]), int(found["size"]))
    found = _MADE_OF.fullmatch(text)
    if found and (made := _MADE.get(found["name"])):
        return made(*_parts(found["parts"]))
    return pa.type_for_alias(text)


def _field(text: str) -> Any:
    name, _, kind = text.partition(": ")
    return pa.field(name, _type(kind.removesuffix(" not null")), nullable=not kind.endswith(" not null"))


def _parts(text: str) -> list[str]:
    """What commas part, but for those inside of parts that are made of others."""
    parts, depth = [""], 0
    for piece in re.findall(r", |[^,]+|,", text):
        if piece == ", " and not depth:
            parts.append("")
            continue
        depth += sum(piece.count(one) for one in "<([") - sum(piece.count(one) for one in ">)]")
        parts[-1] += piece
    return parts if text else []


def _dictionary(values: str, indices: str, ordered: str) -> Any:
    kinds = _type(indices.removeprefix("indices=")), _type(values.removeprefix("values="))
    return pa.dictionary(*kinds, ordered=ordered == "ordered=1")


def _map(key: str, item: str, order: str = "") -> Any:
    return pa.map_(_type(key), _type(item), keys_sorted=order == "keys_sorted")


_MADE: dict[str, Callable[..., Any]] = {
    "list": lambda item: pa.list_(_field(item)),
    "large_list": lambda item: pa.large_list(_field(item)),
    "struct": lambda *fields: pa.struct([_field(one) for one in fields]),
    "map": _map,
    "dictionary": _dictionary,
    "timestamp": lambda unit, zone="": pa.timestamp(unit, zone.removeprefix("tz=") or None),
    "fixed_size_binary": lambda size: pa.binary(int(size)),
    "decimal32": lambda digits, scale: pa.decimal32(int(digits), int(scale)),
    "decimal64": lambda digits, scale: pa.decimal64(int(digits), int(scale)),
    "decimal128": lambda digits, scale: pa.decimal128(int(digits), int(scale)),
    "decimal256": lambda digits, scale: pa.decimal256(int(digits), int(scale)),
}
