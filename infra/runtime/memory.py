"""How much memory a worker takes: its own process, and the programs that its task runs beside it.

The system tells of each process what it had at most (``VmHWM``). Of children that have ended it keeps only the largest, so
those that run are looked at while they do. What is not seen: children that live for less than ``EVERY`` and are no larger than
this process; the system counts a child for as large as the process it came from, whatever it really took.
"""

from __future__ import annotations

import os
import resource
import threading
from pathlib import Path

#: Seconds between two looks at the children.
EVERY = 0.1


class Watch:
    """Looks at the children of this process as long as it is open.

    What all that run have had at most, added up, is kept: they and this process are taken to have been so large at once.
    """

    def __init__(self) -> None:
        self._most = 0.0
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._looks, name="memory", daemon=True)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        self._thread.join()

    def peak_mb(self) -> float:
        """The most that this process and its children have had together, as far as it is known, in MB (10^6 bytes)."""
        self._look()
        own, ended = memory_mb("VmHWM"), resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024 / 1e6
        return own + max(self._most, ended if ended > own else 0.0)

    def _looks(self) -> None:
        while not self._closed.wait(EVERY):
            self._look()

    def _look(self) -> None:
        children = descendants(os.getpid())
        if children:
            self._most = max(self._most, sum(memory_mb("VmHWM", child) for child in children))


def descendants(process: int) -> list[int]:
    """The processes that this one started and those that they did, as far as they still run; none where nobody tells."""
    found: list[int] = []
    waiting = [process]
    while waiting:
        for task in _listed(Path(f"/proc/{waiting.pop()}/task")):
            try:
                children = [int(child) for child in (task / "children").read_text().split()]
            except OSError:  # it has ended, or this system does not tell
                continue
            found += children
            waiting += children
    return found


def memory_mb(field: str, process: int | None = None) -> float:
    """``VmRSS`` (resident now) or ``VmHWM`` (its peak) of a process, else of this one; 0 where the system does not tell."""
    try:
        lines = Path(f"/proc/{process or 'self'}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith(f"{field}:")), 0.0)


def _listed(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []
