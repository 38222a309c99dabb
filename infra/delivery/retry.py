"""Retry: how long to wait after a failure, and when to give up."""

from __future__ import annotations

import random

from events.errors import Reject, Retry
from infra.config import Delivery


def wait(error: BaseException, attempts: int, settings: Delivery, most: int) -> float | None:
    """Seconds until the next attempt, or ``None``: dead letter now.

    ``attempts`` counts this failure too; there are at ``most`` that many. The delay doubles from ``backoff_s`` to
    ``backoff_max_s``, with jitter of half its length either way, so that what failed together does not come back together.
    ``Retry`` is never given up: it means that the world is not ready, not that the event is wrong.
    """
    if isinstance(error, Reject):
        return None
    growing = min(settings.backoff_max_s, settings.backoff_s * 2.0 ** min(attempts - 1, 32)) * random.uniform(0.5, 1.5)
    if isinstance(error, Retry):
        return error.after or growing  # a wait of 0 would be a loop
    return growing if attempts < most else None


def cause(error: BaseException) -> str:
    """The error in one line, for people: the text of what was raised on purpose, type and text of anything else."""
    text = " ".join(str(error).split()) or ("memory did not suffice" if isinstance(error, MemoryError) else "")
    return text if isinstance(error, Reject | Retry) else f"{type(error).__name__}: {text}".rstrip(": ")
