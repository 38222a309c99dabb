"""Products of long, narrow matrices, and least squares without negative coefficients."""

from __future__ import annotations

import importlib
import sys
import threading

import numpy as np


def non_negative(rows: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The coefficients, none below 0, that bring ``rows`` nearest to ``values``."""
    from scipy.optimize import nnls  # imported by the first fit: every process that only passes events on starts sooner

    found: np.ndarray = nnls(rows, values)[0]
    return found


def prepare() -> None:
    """Begin to import what a fit needs: who plans without a history asks again as soon as a wave was measured.

    On a busy machine the import takes longer than a map waits for its plan.
    """
    if "scipy.optimize" not in sys.modules:
        threading.Thread(target=importlib.import_module, args=("scipy.optimize",), name="fit").start()


def product(rows: np.ndarray, other: np.ndarray) -> np.ndarray:
    """``rows @ other`` for many rows of few columns, on this core alone.

    BLAS would wake all cores for a millisecond's work; on a busy machine they wait for each other longer than that takes.
    """
    found: np.ndarray = np.einsum("ij,j->i" if other.ndim == 1 else "ij,jk->ik", rows, other)
    return found
