"""InfluxDB line protocol as a batch of points: ``measurement,tag=value field=1.5,other=2i 1732290000000000000``.

Each field is a series of its own, called ``measurement_field``. Lines of the usual form are read as columns, every other line
(escapes, quotes, no time) by itself. One bad line is told on by its number and hinders no other one.
Source: InfluxDB 1.8 and 2.7, "Line protocol reference".
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from events.errors import Reject
from infra.series.batch import Batch, Bounds, Floats, Ints, Series, series

#: Precision -> (factor, divisor) that make milliseconds of it.
PRECISIONS = {
    "": (1, 1_000_000), "n": (1, 1_000_000), "ns": (1, 1_000_000), "u": (1, 1000), "us": (1, 1000), "µ": (1, 1000),
    "ms": (1, 1), "s": (1000, 1), "m": (60_000, 1), "h": (3_600_000, 1),
}  # fmt: skip
PLAIN = r'^(?P<key>[^ ,=#"\\][^ "\\]*) (?P<fields>[^ "\\]+) (?P<time>-?[0-9]{1,19})$'
FIELD = r"^(?P<name>[^=]+)=(?P<value>-?[0-9]+(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?)(?P<kind>i?)$"
WHOLE = re.compile(r"-?[0-9]{1,20}")
NUMBER = re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")
TRUE, FALSE = {"t", "T", "true", "True", "TRUE"}, {"f", "F", "false", "False", "FALSE"}
NAME = re.compile(r"(?:[^\\,= ]|\\.|\\$)+")
MEASUREMENT = re.compile(r"(?:[^\\, ]|\\.|\\$)+")
KEY = re.compile(r"(?:[^\\ ]|\\.|\\$)+")
TEXT = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
BARE = re.compile(r'[^," ]+')
ESCAPED = re.compile(r"\\([,= ])")


class LineError(NamedTuple):
    """Why a line, or one field of it, was not taken; lines count from 1."""

    line: int
    error: str


class Lines(NamedTuple):
    """What became of a body."""

    batch: Batch
    errors: list[LineError]


class Unit(NamedTuple):
    """How to make milliseconds of a line's time, and which times are taken."""

    factor: int
    divisor: int
    now: int
    bounds: Bounds


def parse(data: bytes, precision: str, now: int, bounds: Bounds) -> Lines:
    """Read a body. ``now`` (ms) is the time of lines without one. Raises ``Reject`` for an unknown precision."""
    if precision not in PRECISIONS:
        raise Reject(f"precision={precision!r} is none of {', '.join(name for name in PRECISIONS if name)}")
    unit = Unit(*PRECISIONS[precision], now, bounds)
    text = data.decode("utf-8", "surrogateescape")
    lines = text.split("\n")
    if "\r" in text:
        lines = [line.removesuffix("\r") for line in lines]
    try:
        batch, at, left = _columns(lines, unit)
    except (pa.ArrowInvalid, UnicodeEncodeError):  # a time beyond 64 bits, or bytes that are no UTF-8: find out which
        batch, at, left = _EMPTY, np.zeros(0, np.int64), range(len(lines))
    points: list[tuple[Series, int, float]] = []
    where: list[int] = []
    errors: list[LineError] = []
    for number in left:
        line = lines[number]
        if line and not line.isspace() and not line.startswith("#"):
            _one(line, number + 1, unit, points, errors)
            where += [number] * (len(points) - len(where))
    if points:
        batch = join([batch, Batch.of(points)])
        order = np.argsort(np.concatenate([at, np.array(where, np.int64)]), kind="stable")
        batch = Batch(batch.series, batch.which[order], batch.time[order], batch.value[order])
    return Lines(batch, errors)


def join(batches: list[Batch]) -> Batch:
    """Several batches as one."""
    if len(batches) == 1:
        return batches[0]
    names: list[Series] = []
    which: list[Ints] = [np.zeros(0, np.int64)]
    for each in batches:
        which.append(each.which + len(names))
        names += each.series
    times: list[Ints] = [_EMPTY.time, *(each.time for each in batches)]
    values: list[Floats] = [_EMPTY.value, *(each.value for each in batches)]
    return Batch(names, np.concatenate(which), np.concatenate(times), np.concatenate(values))


_EMPTY = Batch([], np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float64))


def _columns(lines: list[str], unit: Unit) -> tuple[Batch, Ints, Iterable[int]]:
    """The lines of the usual form: their points, the line of each, and which lines are left to be read one by one.

    A line is taken as a whole or left as a whole.
    """
    found = pc.extract_regex(pa.array(lines, pa.string()), PLAIN)
    usual = _numpy(pc.is_valid(found))
    number = np.flatnonzero(usual)
    found = found.filter(pa.array(usual))
    split = pc.split_pattern(found.field("fields"), ",")
    line = _numpy(pc.list_parent_indices(split)).astype(np.int64)  # of each field, within the usual ones
    field = pc.extract_regex(split.flatten(), FIELD)
    value = _numpy(pc.cast(field.field("value"), pa.float64()).fill_null(np.nan))
    fraction = pc.match_substring_regex(field.field("value"), r"[.eE]|\d{16}")
    good = np.isfinite(value) & ~_numpy(pc.and_(fraction, pc.equal(field.field("kind"), "i")).fill_null(False))
    raw = _numpy(pc.cast(found.field("time"), pa.int64()))
    oldest, newest = _raw(unit)
    fine = (raw >= oldest) & (raw <= newest)
    fine[line[~good]] = False
    keys, names = found.field("key").dictionary_encode(), field.field("name").dictionary_encode()
    key, name = _numpy(keys.indices).astype(np.int64), _numpy(names.indices.fill_null(0)).astype(np.int64)
    width = max(1, len(names.dictionary))
    taken = np.flatnonzero(fine[line])
    pair, which = _distinct(key[line[taken]] * width + name[taken], len(keys.dictionary) * width)
    texts, fields = keys.dictionary.to_pylist(), names.dictionary.to_pylist()
    known: list[Series] = []
    bad: list[int] = []
    for place, each in enumerate(pair.tolist()):
        try:
            known.append(_series(texts[each // width], fields[each % width]))
        except (Reject, ValueError):
            known.append(Series(""))
            bad.append(place)
    if bad:  # their lines are read again, to say what is wrong
        fine[line[taken[np.isin(which, bad)]]] = False
        keep = fine[line[taken]]
        taken, which = taken[keep], which[keep]
    usual[number[~fine]] = False
    time = raw[line[taken]] * unit.factor // unit.divisor
    return Batch(known, which, time, value[taken]), number[line[taken]], np.flatnonzero(~usual).tolist()


def _numpy(column: Any) -> Any:
    array = column.to_numpy(zero_copy_only=False)
    return array if array.flags.writeable else array.copy()


def _raw(unit: Unit) -> tuple[int, int]:
    """The bounds in the body's own precision."""
    bounds, factor, divisor = unit.bounds, unit.factor, unit.divisor
    return -(-bounds.oldest * divisor // factor), ((bounds.newest + 1) * divisor - 1) // factor


def _distinct(codes: Ints, most: int) -> tuple[Ints, Ints]:
    """The codes (0 to ``most``) that occur, and for each of ``codes`` which of those it is."""
    if most > 4 * len(codes) + 1000:
        found, which = np.unique(codes, return_inverse=True)
        return found, which.astype(np.int64)
    place = np.zeros(most, np.int64)
    place[codes] = 1
    found = np.flatnonzero(place).astype(np.int64)
    place[found] = np.arange(len(found))
    return found, place[codes]


@lru_cache(200_000)
def _series(key: str, field: str) -> Series:
    """The series of a line's key and the name of a field. Raises ``ValueError`` that says what is wrong."""
    found = MEASUREMENT.match(key)
    if found is None:
        raise ValueError("it starts without a measurement")
    tags: dict[str, str] = {}
    at = found.end()
    while at < len(key):
        name = NAME.match(key, at + 1)
        if key[at] != "," or name is None or key[name.end() : name.end() + 1] != "=":
            raise ValueError(f"tag {len(tags) + 1} is no NAME=VALUE: {key[at : at + 40]!r}")
        value = NAME.match(key, name.end() + 1)
        if value is None:
            raise ValueError(f"the tag {name.group()!r} has no value")
        text = _plain(name.group())
        if text in tags:
            raise ValueError(f"the tag {text!r} is there twice")
        tags[text] = _plain(value.group())
        at = value.end()
    return series(f"{_plain(found.group())}_{field}", tags)


def _plain(text: str) -> str:
    return ESCAPED.sub(r"\1", text) if "\\" in text else text


def _one(line: str, number: int, unit: Unit, points: list[tuple[Series, int, float]], errors: list[LineError]) -> None:
    """Read one line of any form. It is taken as a whole, but for fields of text: a series holds numbers."""
    try:
        if any("\udc80" <= each <= "\udcff" for each in line):
            raise ValueError("it is no UTF-8")
        key, at = _key(line)
        read: list[tuple[Series, float]] = []
        texts: list[str] = []
        while True:
            name = NAME.match(line, at)
            if name is None or line[name.end() : name.end() + 1] != "=":
                raise ValueError(f"here should be FIELD=VALUE: {line[at : at + 40]!r}" if line[at:] else "it has no fields")
            at = name.end() + 1
            text = TEXT.match(line, at)
            token = text or BARE.match(line, at)
            if token is None:
                raise ValueError(f"the field {name.group()!r} has no value")
            if text is None:
                read.append((_series(key, _plain(name.group())), _number(name.group(), token.group())))
            else:
                texts.append(_plain(name.group()))
            at = token.end()
            if line[at : at + 1] != ",":
                break
            at += 1
        time = _time(line[at:], unit)
    except (ValueError, Reject) as error:
        errors.append(LineError(number, f"line {number}: {error}"))
        return
    points += [(each, time, value) for each, value in read]
    errors += [LineError(number, f"line {number}: the field {name!r} is text, and series hold numbers") for name in texts]


def _key(line: str) -> tuple[str, int]:
    """A line's measurement and tags as they stand there, and where its fields start."""
    found = KEY.match(line)
    if found is None or line[found.end() : found.end() + 1] != " ":
        raise ValueError("it has no fields: MEASUREMENT[,TAG=VALUE...] FIELD=VALUE[,...] [TIME]")
    at = found.end()
    while line[at : at + 1] == " ":
        at += 1
    return found.group(), at


def _number(name: str, text: str) -> float:
    if text in TRUE or text in FALSE:
        return float(text in TRUE)
    if text[-1] in "iu" and WHOLE.fullmatch(text[:-1]):
        whole, signed = int(text[:-1]), text[-1] == "i"
        if not (-(2**63) <= whole < 2**63 if signed else 0 <= whole < 2**64):
            raise ValueError(f"the field {name!r} is no whole number of 64 bits: {text}")
        return float(whole)
    if not NUMBER.fullmatch(text):
        raise ValueError(f"the field {name!r} is no number: {text[:40]!r}")
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"the field {name!r} is too large for a number of 64 bits: {text[:40]}")
    return value


def _time(rest: str, unit: Unit) -> int:
    text = rest.strip(" ")
    if not text:
        return unit.now
    if not rest.startswith(" ") or not WHOLE.fullmatch(text):
        raise ValueError(f"the time is no whole number: {text[:40]!r}")
    time = int(text) * unit.factor // unit.divisor
    if time < unit.bounds.oldest:
        raise ValueError(f"the time {text} is older than what is kept (check precision=, which is ns unless given)")
    if time > unit.bounds.newest:
        raise ValueError(f"the time {text} is too far in the future (check precision=, which is ns unless given)")
    return time
