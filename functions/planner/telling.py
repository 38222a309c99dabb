"""Which runs tell something of the slices to come: what was tried on a small file first says next to nothing of a large one."""

from __future__ import annotations

from collections.abc import Sequence

from events.types import Wave
from functions.planner.grid import Load

#: Of slices that are so many times as large as those seen little is known, or of so many times as many bytes in all, ...
FAR, MORE = 8.0, 64.0
#: ... if the slices took no longer than so many seconds each: that may all have been imports and opening.
SHORT_S = 2.0


def telling(runs: Sequence[Sequence[Wave]], load: Load) -> list[list[Wave]]:
    """The runs' waves but those of far less than any of ``load``, and soon done; no runs that are all of such."""
    slice_bytes, volume = float(load.slice_bytes.min()), float(load.bytes.min())
    kept = ([wave for wave in waves if wave.failed or not _slight(wave, slice_bytes, volume)] for waves in runs)
    return [waves for waves in kept if waves]


def _slight(wave: Wave, slice_bytes: float, volume: float) -> bool:
    slices = max(wave.slices, 1)
    busy = wave.read_s + wave.compute_s or wave.seconds * wave.workers
    far = (wave.slice_bytes or wave.bytes / slices) * FAR < slice_bytes or wave.bytes * MORE < volume
    return far and busy / slices < SHORT_S
