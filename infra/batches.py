"""Batches of what waits in a queue: the first is waited for, the rest is what has gathered meanwhile."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from typing import TypeVar

T = TypeVar("T")


def batches(waiting: queue.SimpleQueue[T | None], most: int) -> Iterator[list[T]]:
    """Everything that is put into the queue, in order, in lists of at most ``most``; ends after ``None`` is put in."""
    while (first := waiting.get()) is not None:
        batch, item = [first], None
        while len(batch) < most:
            try:
                item = waiting.get_nowait()
            except queue.Empty:
                break
            if item is None:
                yield batch
                return
            batch.append(item)
        yield batch
