"""Several processes that train one network: each has its number (``rank``), and their gradients are averaged over loopback."""

from __future__ import annotations

import os
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


class Company:
    """The processes of one training; ``meeting`` is the file (``file://``) or address (``tcp://``) where they meet."""

    def __init__(self, count: int, rank: int, meeting: str) -> None:
        self._count, self.rank = count, rank
        if meeting.startswith("file://"):
            os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")  # nobody else can reach them then
        dist.init_process_group("gloo", init_method=meeting, rank=rank, world_size=count)

    def average(self, flat: Tensor) -> None:
        """Average a tensor over all processes, in place."""
        dist.all_reduce(flat)
        flat /= self._count

    def gather(self, state: dict[str, Any]) -> list[dict[str, Any]] | None:
        """What every process has, in the first one; ``None`` in the others."""
        found: list[Any] | None = [None] * self._count if self.rank == 0 else None
        dist.gather_object(state, found)
        return found

    def close(self) -> None:
        """Leave the others."""
        dist.destroy_process_group()


def single() -> None:
    """One thread a process: several would only stand in each other's way, and their sums would differ from run to run."""
    torch.set_num_threads(1)
