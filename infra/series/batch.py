"""Points on their way into a store, as columns: which series, when, what value."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from events.errors import Reject

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

#: What VictoriaMetrics keeps of a series without cutting it silently (-maxLabelsPerTimeseries, -maxLabelValueLen).
MOST_TAGS, LONGEST = 29, 1024


class Series(NamedTuple):
    """What a series is called: its metric and its tags, sorted by name."""

    metric: str
    tags: tuple[tuple[str, str], ...] = ()


def series(metric: str, tags: dict[str, str] | None = None) -> Series:
    """A series by its names. Raises ``Reject`` for names that not every store keeps as they are."""
    found = Series(metric, tuple(sorted((tags or {}).items())))
    if not metric:
        raise Reject("a series needs a metric")
    if len(found.tags) > MOST_TAGS:
        raise Reject(f"the series {metric!r} has {len(found.tags)} tags; at most {MOST_TAGS} are kept")
    if ROLLED.fullmatch(metric):
        raise Reject(f"the metric {metric!r} is called like a roll-up, and those are only computed: rename it")
    for name, value in (("metric", metric), *found.tags):
        if not name or not value:
            raise Reject(f"the series {metric!r} has an empty tag: {name!r}={value!r}")
        if name == "__name__":
            raise Reject(f"the series {metric!r} has a tag '__name__', which means the metric itself: rename it")
        if len(name.encode()) > LONGEST or len(value.encode()) > LONGEST:
            raise Reject(f"a name in the series {metric[:40]!r} is longer than {LONGEST} bytes: {value[:40]!r}")
        if not (name.isprintable() and value.isprintable()):
            raise Reject(f"the series {metric!r} has control characters in {name!r}={value!r}")
    return found


@dataclass(frozen=True)
class Batch:
    """Points: ``which`` counts into ``series``, ``time`` is milliseconds since 1970, ``value`` is finite. Equal lengths.

    Where one series has two points of one time, the later in the batch is meant.
    """

    series: list[Series]
    which: Ints
    time: Ints
    value: Floats

    def __len__(self) -> int:
        return len(self.time)

    @classmethod
    def of(cls, points: list[tuple[Series, int, float]]) -> Batch:
        """A batch of single points."""
        known: dict[Series, int] = {}
        which = [known.setdefault(each, len(known)) for each, _, _ in points]
        return cls(
            list(known),
            np.array(which, np.int64),
            np.array([time for _, time, _ in points], np.int64),
            np.array([value for _, _, value in points], np.float64),
        )

    def encode(self) -> bytes:
        """As bytes, for a file or a database. See ``decode``."""
        which = self.which.astype("<u4").tobytes()
        return msgspec.msgpack.encode(
            (self.series, which, self.time.astype("<i8").tobytes(), self.value.astype("<f8").tobytes())
        )

    @classmethod
    def decode(cls, data: bytes) -> Batch:
        """What ``encode`` gave. Raises ``msgspec.MsgspecError`` or ``ValueError`` for anything else."""
        names, which, time, value = _DECODER.decode(data)
        return cls(
            names,
            np.frombuffer(which, "<u4").astype(np.int64),
            np.frombuffer(time, "<i8").astype(np.int64),
            np.frombuffer(value, "<f8").astype(np.float64),
        )


_DECODER: msgspec.msgpack.Decoder[Any] = msgspec.msgpack.Decoder(tuple[list[Series], bytes, bytes, bytes])


#: What roll-ups are called: ``METRIC:1h_sum`` and so on (see ``infra/series/rollup.py``).
ROLLED = re.compile(r"(.+):(1h|1d)_(sum|count|min|max|last)")


class Bounds(NamedTuple):
    """The times a store takes, in milliseconds since 1970, both inclusive. What is older would be deleted at once."""

    oldest: int
    newest: int
