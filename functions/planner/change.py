"""Whether a task still behaves as it did: how many of its newest runs are worth learning from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from events.types import Wave
from functions.planner.grid import load_of
from functions.planner.phases import measured_phases

#: A change is at least this large (logarithm of seconds a GB and core), and so many times what chance would make of it.
LEAST, CLEAR = 0.3, 5.0
#: Fewest runs on either side of a change.
FEWEST = 2


def unchanged(runs: Sequence[Sequence[Wave]]) -> int:
    """How many runs, from the newest on, are of one behaviour: all, unless the work a GB takes has clearly changed.

    Compared is the part of each run that its phases leave unexplained when all runs share one line over the slice's size.
    """
    places = [
        at for at, waves in enumerate(runs) if any(wave.seconds > 0 and wave.slices and not wave.failed for wave in waves)
    ]
    if len(places) < 2 * FEWEST:
        return len(runs)
    waves = [max((wave for wave in runs[at] if not wave.failed), key=lambda wave: wave.bytes) for at in places]
    load = load_of(waves)
    known = measured_phases(waves, np.ones(len(waves)), load)
    spent = np.maximum(known.paid - known.start * load.workers, 1e-9)
    expected = np.maximum(known.work(load), 1e-9)
    surprise = np.log(spent / expected)
    best, found = CLEAR, len(runs)
    for cut in range(FEWEST, len(places) - FEWEST + 1):
        new, old = surprise[:cut], surprise[cut:]
        gap = abs(float(new.mean() - old.mean()))
        pooled = np.sqrt((new.var() * len(new) + old.var() * len(old)) / max(len(places) - 2, 1) + 0.05**2)
        clear = gap / float(pooled * np.sqrt(1 / len(new) + 1 / len(old)))
        if gap > LEAST and clear > best:
            best, found = clear, places[cut]
    return found
