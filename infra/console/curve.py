"""What a profile says, in values: the curve fitted to a task's runs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import numpy as np

from functions.planner.grid import load_of
from functions.planner.history import History
from functions.planner.model import learn
from functions.planner.telling import telling


def describe(history: History) -> dict[str, Any]:
    """A profile in values: its key, error, fitted curve over the workers (of its largest run's data), memory line and runs.

    ``measured`` are the waves that say something of so much data, as if they had been of so much.
    """
    whole = [wave for waves in history.waves for wave in waves if not wave.failed]
    largest = max(whole, key=lambda wave: wave.bytes, default=None)
    waves = telling(history.waves, load_of([largest])) if largest else []
    known = learn(waves)
    told: dict[str, Any] = {
        "task": history.task, "code": history.code, "format": history.format, "backend": history.backend,
        "image": history.image,
        "median_error": history.median_error, "learnt_from": known.runs if known else 0,
        "curve": [], "measured": [], "memory_mb": None, "runs": msgspec.to_builtins(history.runs),
    }  # fmt: skip
    if known is None or largest is None:
        return told
    workers = np.unique(np.round(np.geomspace(1, max(2 * largest.workers, 8), 16)))
    one = load_of([largest])[np.zeros(len(workers), dtype=int)]
    load = replace(one, workers=workers, slices=np.maximum(workers, one.slices))
    load = replace(load, slice_bytes=load.bytes / load.slices)
    time, doubt = known.predict(load)[:2]
    bounds = np.exp(1.645 * doubt)
    told["bytes"] = largest.bytes
    told["curve"] = [
        {"workers": int(count), "time_s": float(value), "low": float(value / by), "high": float(value * by)}
        for count, value, by in zip(workers, time, bounds, strict=True)
    ]
    told["measured"] = [
        {"workers": wave.workers, "time_s": wave.start_s + (wave.seconds - wave.start_s) * largest.bytes / wave.bytes}
        for run in waves
        for wave in run
        if wave.bytes and not wave.failed
    ]
    told["memory_mb"] = {"base": float(known.memory[0]), "per_mb": float(known.memory[1])}
    return told
