"""The first thing that a process does which is to serve models, before it imports anything large.

A server that was scaled to zero is started while somebody waits for its first answer.
"""

from __future__ import annotations

import gc
import os


def quick() -> None:
    """Spend nothing on what a start does not need. ``server.serve`` lets garbage be collected again.

    CPython 3.11 keeps frames in pieces of 16 KB, and gives one back as soon as nothing is in it: calls around its end
    map and unmap memory each time. Numpy's import is thousands of calls, so it is made here, where few frames are below it.
    """
    gc.disable()  # what modules make while they are imported stays: a tenth of the start would go into looking at it
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # ONNX Runtime computes; numpy's own threads would never be used
    import numpy  # noqa: F401
