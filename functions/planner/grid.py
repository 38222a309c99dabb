"""The configurations a plan may choose from, as columns: every computation over them is one numpy expression."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from events.types import Wave, WorkerSize

Vector = NDArray[np.float64]
#: Up to here every number of workers is tried, beyond it every next one that is an eighth larger.
DENSE = 32
#: Most slices that are useful to balance a worker's load, and most of a plan: whoever runs it makes each of them one by one.
EACH, MOST = 64, 100_000
#: Bytes: slices are not cut smaller than ``SMALL`` (opening them would take longer than reading them); memory may want them as
#: small as ``USUAL`` on few workers; above ``LARGE`` they fit in no worker: of a petabyte there are more than ``MOST``.
SMALL, USUAL, LARGE = 64_000, 16_000_000, 512_000_000


@dataclass(frozen=True)
class Load:
    """Runs or configurations, one an element: so many bytes in so many slices on so many workers of a size.

    ``cores`` limits the vCPUs of all workers together (``inf`` = no limit), ``slice_bytes`` is the largest slice,
    ``before_s`` what passes before the first worker is asked for.
    """

    bytes: Vector
    workers: Vector
    slices: Vector
    memory_mb: Vector
    vcpus: Vector
    cores: Vector
    slice_bytes: Vector
    before_s: Vector

    def __len__(self) -> int:
        return len(self.workers)

    def __getitem__(self, which: NDArray[np.intp] | NDArray[np.bool_]) -> Load:
        return Load(*(getattr(self, name)[which] for name in self.__dataclass_fields__))


def load_of(waves: Sequence[Wave]) -> Load:
    """Measured waves as columns."""

    def column(name: str) -> Vector:
        return np.array([getattr(wave, name) for wave in waves], dtype=float)

    cores, slices = column("cores"), np.maximum(column("slices"), 1)
    return Load(
        bytes=np.maximum(column("bytes"), slices),
        workers=np.minimum(column("workers"), slices),
        slices=slices,
        memory_mb=column("memory_mb"),
        vcpus=column("vcpus"),
        cores=np.where(cores > 0, cores, np.inf),
        slice_bytes=np.where(column("slice_bytes") > 0, column("slice_bytes"), np.maximum(column("bytes") / slices, 1)),
        before_s=np.zeros(len(waves)),
    )


def ladder(most: int) -> list[int]:
    """Numbers of workers worth trying, from 1 to ``most``."""
    steps = list(range(1, min(most, DENSE) + 1))
    while steps[-1] < most:
        steps.append(min(most, max(steps[-1] + 1, steps[-1] * 9 // 8)))
    return steps


def configurations(
    sizes: Sequence[WorkerSize],
    *,
    volume: int,
    units: int,
    objects: int = 1,
    unit_bytes: float = 0.0,
    cores: float = 0.0,
    workers: int = 0,
    slices: int = 0,
    before_s: float = 0.0,
) -> Load:
    """Every sensible combination of worker size, number of workers and slices per worker.

    Args:
        sizes: the worker configurations.
        volume: bytes of the data set.
        units: the most slices possible, at least ``objects``. Far fewer are tried where they are many: see ``most_slices``.
        objects: how many objects there are: an object is at least a slice.
        unit_bytes: the largest indivisible unit; 0 where all are alike.
        cores: vCPUs of all workers together; 0 = no limit.
        workers: this many and no other, where not 0.
        slices: this many and no other, where not 0.
        before_s: seconds that pass before any worker is asked for; a size's ``deploy_s`` comes on top.

    """
    units = max(units, objects, 1)
    rows: list[tuple[float, float, float, float, float]] = []
    for size in sizes:
        most = min(size.max_workers, slices or units)
        for count in [min(workers, slices or units)] if workers else ladder(most):
            for parts in [slices] if slices else _slices(count, most_slices(count, units, objects, volume), objects):
                rows.append((count, parts, size.memory_mb, size.vcpus, before_s + size.deploy_s))
    count, parts, memory, vcpus, before = np.array(rows, dtype=float).T
    return Load(
        bytes=np.full(len(rows), float(volume)),
        workers=count,
        slices=parts,
        memory_mb=memory,
        vcpus=vcpus,
        cores=np.full(len(rows), cores if cores > 0 else np.inf),
        slice_bytes=largest_slice(parts, volume, units, unit_bytes),
        before_s=before,
    )


def most_slices(workers: int, units: int, objects: int, volume: float) -> int:
    """The most slices worth trying: an array has as many units as rows, and nobody wants a slice of each."""
    useful = min(max(EACH * workers, volume / USUAL), volume / SMALL, MOST)
    return int(min(units, max(useful, volume / LARGE, workers, objects)))


def largest_slice(parts: Vector, volume: float, units: int, unit_bytes: float) -> Vector:
    """Bytes of the largest slice: that with the largest unit, and otherwise units as usual."""
    largest = min(max(unit_bytes, volume / units), volume)
    usual = (volume - largest) / (units - 1) if units > 1 else 0.0
    largest_part: Vector = np.maximum(largest + usual * np.ceil(units / parts - 1), volume / parts)
    return np.minimum(largest_part, volume)


def _slices(workers: int, most: int, objects: int) -> list[int]:
    """Numbers of slices: once, twice, four times ... the workers, up to the most."""
    found, parts = [], max(workers, objects)
    while parts < most:
        found.append(parts)
        parts *= 2
    return [*found, most]
