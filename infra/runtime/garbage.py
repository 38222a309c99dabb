"""Garbage collection in a process that runs for long: what was loaded at its start stays, so it need not be looked at again."""

from __future__ import annotations

import atexit
import gc

#: New objects before a collection: a batch of deliveries makes thousands that go by themselves when it is settled.
THRESHOLD = 20_000


def settle_in() -> None:
    """Call once, when everything is loaded."""
    gc.collect()
    gc.freeze()
    atexit.register(gc.unfreeze)  # libraries look at the end of the process whether all of theirs has gone
    gc.set_threshold(THRESHOLD, 20, 20)
