"""The first wave of a map that nothing is known of: real slices of several sizes, one worker each, measured while they work."""

from __future__ import annotations

#: Parts of a planned slice: a whole one, a quarter, a sixteenth.
PARTS = (1, 4, 16)


def probe_parts(workers: int, *, fixed: bool) -> list[int]:
    """How small the slices of the first wave are, one a worker: 1 is a planned slice, 4 a quarter of one.

    With ``fixed`` slices (the caller said how many) two whole ones are measured, or one where there is one worker.
    """
    return [1] * min(workers, 2) if fixed else list(PARTS[: max(workers, 2)])
