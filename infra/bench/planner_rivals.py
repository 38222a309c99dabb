"""How others would run the same tasks: Lithops' fixed chunks, an analytic model as in flexecutor, and one largest worker."""

from __future__ import annotations

import numpy as np

from functions.planner.choice import choose
from functions.planner.grid import Load, configurations
from infra.bench.planner_tasks import Platform, Task

#: Lithops' usual chunk, and the memory that a worker has when nobody says: bytes, MB.
CHUNK, MEMORY_MB = 64 * 2**20, 2048


def fixed_chunks(task: Task, platform: Platform) -> Load:
    """A task for each chunk of a fixed size, on as many workers as there may be."""
    size = min(platform.sizes, key=lambda size: abs(size.memory_mb - MEMORY_MB))
    slices = int(min(task.units, max(1, -(-task.volume * 1e9 // CHUNK))))
    return configurations(
        [size], volume=int(task.volume * 1e9), units=task.units, cores=platform.cores,
        workers=min(slices, size.max_workers), slices=slices,
    )  # fmt: skip


def largest_worker(task: Task, platform: Platform) -> Load:
    """Everything on one worker of the largest size, in slices that just fit."""
    size = max(platform.sizes, key=lambda size: (size.memory_mb, size.vcpus))
    load = configurations([size], volume=int(task.volume * 1e9), units=task.units, cores=platform.cores, workers=1)
    fits = np.flatnonzero(task.fits(load))
    return load[fits[:1] if len(fits) else np.array([len(load) - 1])]


def analytic(task: Task, platform: Platform, objective: str, runs: int, random: np.random.Generator) -> Load:
    """What time = a / (vCPUs x memory x workers) + b, fitted to profiling runs over all of the data, makes the best.

    One slice a worker. Configurations that die of their memory are not offered, which the model itself does not know.
    """
    load = platform.grid(task.volume * 1e9, task.units)
    load = load[(load.slices == load.workers) & task.fits(load)]
    if not len(load):
        return fixed_chunks(task, platform)
    tried = load[random.choice(len(load), size=runs)]
    took = task.time(tried) * np.exp(random.normal(0, task.noise, runs))

    def shape(load: Load) -> np.ndarray:
        return np.column_stack([1 / (load.vcpus * load.memory_mb * load.workers), np.ones(len(load))])

    found, *_ = np.linalg.lstsq(shape(tried), took, rcond=None)
    time = np.maximum(shape(load) @ found, 1e-3)
    cost = time * load.workers * load.memory_mb
    return load[np.array([choose(time, cost, load.slices, objective)])]
