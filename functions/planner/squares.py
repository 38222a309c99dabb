"""Least squares without negative coefficients."""

from __future__ import annotations

import numpy as np


def non_negative(rows: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The coefficients, none below 0, that bring ``rows`` nearest to ``values``."""
    from scipy.optimize import nnls  # imported by the first fit: every process that only passes events on starts sooner

    found: np.ndarray = nnls(rows, values)[0]
    return found
