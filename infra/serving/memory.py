"""How much memory a server may hold: a model that asks for more fails alone, before the machine runs out for all."""

from __future__ import annotations

import contextlib
import os
import resource
from pathlib import Path

#: Where a container's limit is written: control groups of version 2, and of version 1.
LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
SHARE = 0.75


def limit(gigabytes: float) -> None:
    """From now on this process has no more private memory than that; with 0, three quarters of what there is."""
    wanted = int(gigabytes * 1e9) or int(SHARE * _there())
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard))


def _there() -> int:
    found = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for file in LIMITS:
        with contextlib.suppress(OSError, ValueError):  # there is none, or it says "max"
            found = min(found, int(file.read_text()))
    return found
