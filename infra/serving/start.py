"""The first thing that a process does which is to serve models, before it imports anything large.

A server that was scaled to zero is started while somebody waits for its first answer.
"""

from __future__ import annotations

import gc
import os


def quick() -> None:
    """Spend nothing on what a start does not need. ``server.serve`` lets garbage be collected again."""
    gc.disable()  # what modules make while they are imported stays: a tenth of the start would go into looking at it
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # ONNX Runtime computes; numpy's own threads would never be used
