"""Inference over a data set: a planned map that runs one version of a model on every slice, and one table of what came out.

Every slice is inferred as a request to the server would be, by the same class with the same options, so the numbers are the
same bit by bit. A model whose rows are not known to be independent (see ``rowwise.py``) gets each slice whole, as one request:
cut into blocks, a softmax along the rows would answer otherwise. The model's verified bytes travel with the work: no worker can
have another version.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from events.errors import Reject
from events.types import ObjectVersion
from functions.formats.format import Slice
from functions.repository.sidecar import Unverified
from infra.models.loader import Loader, Record, Verified
from infra.serving.model import OnnxModel
from infra.serving.published import Published, meant
from infra.serving.rowwise import Rows
from infra.serving.tensors import NUMPY, Array

#: Rows of one run, which bounds the memory.
ROWS = 256
#: Digest -> the model, so that a worker makes it once.
_LOADED: dict[str, OnnxModel] = {}


@dataclass(frozen=True)
class Options:
    """How to infer: the server's options, the rows of a run, and which ``columns`` of a table are the input, in this order."""

    devices: tuple[str, ...] = ("cpu",)
    threads: int = 1
    seconds: float = 30.0
    rows: int = ROWS
    columns: tuple[str, ...] = ()


def chosen(loader: Loader, model: str, alias: str, published: Published | None = None) -> Verified:
    """The model that ``NAME``, ``NAME@ALIAS`` or ``NAME:VERSION`` means; a bare name as the server means it.

    Raises ``Unverified``, also for what the lake has not ``published``, or ``Reject`` for what there is not.
    """
    name, at, wanted = model.partition("@")
    number = 0
    if not at and ":" in model:
        name, _, text = model.rpartition(":")
        if not (text.isascii() and text.isdigit() and 0 < int(text) < 10**9):
            raise Reject(f"{text[:40]!r} is no version of {name[:100]}: write NAME, NAME@ALIAS or NAME:VERSION")
        number = int(text)
    known = loader.versions(name)
    if not known or (number and number not in known):
        there = ", ".join(map(str, known)) or "none"
        raise Reject(f"the repository {loader.repository.name} has no {model[:100]!r}; its versions: {there}")
    if not number:
        number = meant(loader, published, name, wanted or alias)
        if wanted and not number:
            there = ", ".join(loader.aliases(name)) or "none"
            raise Reject(f"{name[:100]} has no alias {wanted[:40]!r}; its aliases: {there}")
    tried = [number] if number else known[::-1]
    for each in tried:
        try:
            found = loader.load(name, each)
            if published is not None:
                published.check(name, each, found.record.digest)
        except Unverified:
            if each == tried[-1]:
                raise
        else:
            return found
    raise AssertionError("there is at least one")


def task(model: Verified, options: Options) -> Any:
    """What a worker calls with each opened slice and the model's bytes; planned by what this model took before."""
    return partial(infer, record=msgspec.json.encode(model.record), options=options)


def infer(opened: Any, content: bytes, *, record: bytes, options: Options) -> dict[str, Array]:
    """The model's outputs for every row of an opened slice: a table or an array. Raises ``Reject``."""
    told = msgspec.json.decode(record, type=Record)
    model = _LOADED.get(told.digest)
    if model is None:
        made = Verified(told, content)
        model = OnnxModel(made, devices=options.devices, threads=options.threads, seconds=options.seconds)
        _LOADED[told.digest] = model
    given = inputs(opened, model, options.columns)
    found: dict[str, list[Array]] = {name: [] for name in model.outputs}
    count = len(next(iter(given.values())))
    step = _step(model, options.rows, count)
    for start in range(0, max(count, 1), step):
        block = {name: array[start : start + step] for name, array in given.items()}
        model.check(block, None)
        answer = model.run(block)
        for name, array in answer.items():
            if array.ndim == 0 or len(array) != len(next(iter(block.values()))):
                raise Reject(f"the output {name!r} of {model.name} has no row for each row of its input: nothing can be stored")
            found[name].append(array)
    return {name: np.concatenate(parts) for name, parts in found.items()}


def _step(model: OnnxModel, rows: int, count: int) -> int:
    """Rows of one run: as many as the model has, or are asked for, or all where an answer may depend on the rows beside it."""
    fixed = {port.shape[0] if port.shape else -1 for port in model.inputs.values()}
    if len(fixed) == 1 and (only := fixed.pop()) > 0:
        return only
    return max(count, 1) if model.rows is Rows.MIXED else rows


def inputs(opened: Any, model: OnnxModel, columns: Sequence[str] = ()) -> dict[str, Array]:
    """An opened slice as the model's inputs. Raises ``Reject``.

    An array is the one input. Of a table, each column of an input's name is that input; else its ``columns`` (all unless named)
    side by side are the one input.
    """
    if isinstance(opened, np.ndarray) and opened.dtype.names is None and len(model.inputs) == 1:
        ((name, port),) = model.inputs.items()
        return {name: _cast(opened, port.datatype, name)}
    if not isinstance(opened, pa.Table):
        wanted = ", ".join(model.inputs)
        raise Reject(f"a {type(opened).__name__} is no input of {model.name} ({wanted}): give a table, or one array of numbers")
    if missing := [name for name in columns if name not in opened.column_names]:
        raise Reject(f"there is no column {missing[0]!r}; there are {', '.join(opened.column_names)}")
    if not columns and set(model.inputs) <= set(opened.column_names):
        return {name: _shaped(_column(opened, name), port, name) for name, port in model.inputs.items()}
    if len(model.inputs) != 1:
        raise Reject(f"{model.name} has the inputs {', '.join(model.inputs)}: the table needs a column of each name")
    ((name, port),) = model.inputs.items()
    side = [_column(opened, column) for column in columns or opened.column_names]
    return {name: _cast(np.stack(side, 1), port.datatype, name)}


def _column(table: pa.Table, name: str) -> Array:
    column = table.column(name)
    if column.null_count:
        raise Reject(f"the column {name!r} has {column.null_count} empty values, which are no input of any model")
    found: Array = column.to_numpy()
    return found


def _shaped(column: Array, port: Any, name: str) -> Array:
    """A column as an input of one or two axes; a column of lists as rows of them."""
    if column.dtype == object and len(column) and isinstance(column[0], np.ndarray):
        column = np.stack(list(column))
    array = _cast(column, port.datatype, name)
    return array[:, None] if len(port.shape) == array.ndim + 1 else array


def _cast(array: Array, datatype: str, name: str) -> Array:
    """The array in the input's type; numbers may become others of their kind, such as double to float."""
    try:
        return np.ascontiguousarray(array.astype(NUMPY[datatype], casting="same_kind", copy=False))
    except (TypeError, ValueError, KeyError):
        if array.dtype.kind in "iu" and datatype in ("FP32", "FP64", "FP16"):
            return array.astype(NUMPY[datatype])
        raise Reject(f"the input {name!r} is {datatype}; the data are {array.dtype}") from None


def write(file: Path, slices: Sequence[Slice], results: Iterable[dict[str, Array]], model: Record) -> int:
    """All results as one Parquet file in the order of the data; the number of its rows.

    It has a column for every output (longer rows as lists, their shape in the field's metadata), behind the ``object`` and the
    ``row`` in it that they are of.
    """
    writer: pq.ParquetWriter | None = None
    rows: dict[str, int] = {}
    total = 0
    try:
        for part, result in zip(slices, results, strict=True):
            count = len(next(iter(result.values())))
            address = f"s3://{part.bucket}/{part.key}"
            start = rows.get(address, 0)
            columns = {"object": pa.array([address] * count), "row": pa.array(range(start, start + count), pa.int64())}
            fields = [pa.field("object", pa.string()), pa.field("row", pa.int64())]
            for name, array in result.items():
                columns[name], field = _stored(name, array)
                fields.append(field)
            about = {"sluice.model": model.name, "sluice.version": str(model.version), "sluice.digest": model.digest}
            table = pa.table(list(columns.values()), schema=pa.schema(fields, metadata=about))
            writer = writer or pq.ParquetWriter(file, table.schema)
            writer.write_table(table)
            rows[address] = start + count
            total += count
    finally:
        if writer is not None:
            writer.close()
    return total


def _stored(name: str, array: Array) -> tuple[pa.Array, pa.Field]:
    if array.ndim == 1:
        plain = pa.array(array)
        return plain, pa.field(name, plain.type)
    width = int(np.prod(array.shape[1:]))
    lists = pa.FixedSizeListArray.from_arrays(pa.array(np.ascontiguousarray(array).reshape(-1)), width)
    return lists, pa.field(name, lists.type, metadata={"shape": str(list(array.shape[1:]))})


def versions(slices: Iterable[Slice]) -> list[ObjectVersion]:
    """The objects that the slices are of."""
    found = {(part.bucket, part.key): part for part in slices}
    return [ObjectVersion(bucket=part.bucket, key=part.key, etag=part.etag, size=part.size) for part in found.values()]
