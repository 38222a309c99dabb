"""Non-negative least squares in logarithms, with what the features cannot say: how unsure a prediction is, and why.

Three things make a measurement differ from the sum of its features: coefficients that are not known yet, a task that is not
quite of that form (the *discrepancy*, alike in runs that are alike), and chance. The runs tell how large the last two are. What
they leave unexplained in one place also corrects predictions near it: tasks of other shapes are predicted well where they ran.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np

from functions.planner.grid import Load, Vector
from functions.planner.squares import non_negative, product

#: Sizes that chance and discrepancy may have (logarithms), and where each is believed to be, give or take such a factor.
CHANCES, LIKELY_CHANCE = np.array([0.03, 0.05, 0.08, 0.12, 0.17, 0.24, 0.34, 0.5]), (0.13, 1.7)
DISCREPANCIES, LIKELY_DISCREPANCY = np.array([0.03, 0.07, 0.14, 0.28, 0.56]), (0.1, 2.0)
#: How many doublings of workers, slice, volume, memory and vCPUs apart runs are no longer alike.
ALIKE = np.array([2.0, 3.0, 3.0, 2.0, 2.0])
#: Steps of the fit in logarithms, after the one in relative errors that it begins with, and how much of a step is taken: the
#: most that makes the fit better. A whole one may overshoot where a prediction is far from what was measured.
STEPS, PARTS = 2, (1.0, 0.5, 0.25, 0.1)
#: A prediction's relative standard deviation is at most so much.
MOST = 2.0


def places(load: Load) -> np.ndarray:
    """Where configurations are to each other: those less than 1 apart behave alike."""
    columns = (load.workers, load.slice_bytes, load.bytes, load.memory_mb, load.vcpus * 100)
    where: np.ndarray = np.column_stack([np.log2(np.maximum(column, 1)) for column in columns]) / ALIKE
    return where


def likeness(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """How alike (1 to 0) each of these places is to each of those; in single precision, which is four times as fast."""
    centre = other.mean(axis=0)
    one, other = (one - centre).astype(np.float32), (other - centre).astype(np.float32)
    apart = product(one, np.ascontiguousarray(other.T))
    apart -= (one**2).sum(1)[:, None] / 2
    apart -= (other**2).sum(1)[None, :] / 2
    alike: np.ndarray = np.exp(np.minimum(apart, 0, out=apart), out=apart)
    return alike


@dataclass(frozen=True)
class Fit:
    """Coefficients, what their doubt is, and the runs they come from; ``chance`` and ``discrepancy`` are relative."""

    coefficients: Vector
    doubt: Vector
    chance: float
    discrepancy: float
    rows: np.ndarray
    unroot: np.ndarray
    pull: Vector

    def predict(self, features: np.ndarray, alike: np.ndarray) -> Vector:
        """The predicted values, positive. ``alike`` is the likeness of these configurations to the measured ones."""
        values: Vector = np.maximum(product(features, self.coefficients), 1e-6)
        corrected: Vector = values * np.exp(np.clip(product(alike, self.discrepancy**2 * self.pull), -1, 1))
        return corrected

    def spread(self, features: np.ndarray, alike: np.ndarray) -> Vector:
        """The relative standard deviation of what one run would measure there."""
        rows = features * self.doubt / np.maximum(product(features, self.coefficients), 1e-6)[:, None]
        shared = np.concatenate([alike, rows], axis=1, dtype=alike.dtype)
        known = product(shared, np.vstack([self.discrepancy**2 * self.unroot, self.rows.T @ self.unroot]).astype(alike.dtype))
        unknown = np.einsum("ij,ij->i", rows, rows) + self.discrepancy**2 - np.einsum("ij,ij->i", known, known)
        spread: Vector = np.minimum(np.sqrt(np.maximum(unknown, 0) + self.chance**2), MOST)
        return spread


def fit(features: np.ndarray, values: Vector, weights: Vector, centre: Vector, doubt: Vector, alike: np.ndarray) -> Fit:
    """Fit ``values`` (positive), by non-negative coefficients of their ``features``.

    Args:
        features: a row for each measurement.
        values: what was measured.
        weights: how much of a measurement each counts as.
        centre: what the coefficients are believed to be.
        doubt: and how far they may be from it (standard deviations).
        alike: the likeness of the configurations measured to each other.

    """
    alike = alike.astype(float)
    chance, discrepancy = LIKELY_CHANCE[0], LIKELY_DISCREPANCY[0]
    found, base = centre, values
    for step in range(STEPS + 1):
        rows = features / base[:, None]
        noise = discrepancy**2 * alike + np.diag(chance**2 / weights)
        whiten = np.linalg.cholesky(noise)
        told = np.ones(len(values)) if step == 0 else 1 + np.log(values / base)
        matrix = np.vstack([np.linalg.solve(whiten, rows * doubt), np.eye(len(doubt))])
        whole = doubt * non_negative(matrix, np.concatenate([np.linalg.solve(whiten, told), centre / doubt]))
        if step:
            unlikely = partial(_unlikelihood, features=features, values=values, whiten=whiten, centre=centre, doubt=doubt)
            before, tries = unlikely(found), (found + part * (whole - found) for part in PARTS)
            found = next((tried for tried in tries if unlikely(tried) < before), found)
        else:
            found = whole
        base = np.maximum(features @ found, 1e-6)
        rows = features / base[:, None] * doubt
        left = np.log(values / base)
        chance, discrepancy = _sizes(left + rows @ ((found - centre) / doubt), rows @ rows.T, alike, weights)
    noise = discrepancy**2 * alike + np.diag(chance**2 / weights)
    pull = np.asarray(np.linalg.solve(noise, left), dtype=float)
    unroot = np.linalg.inv(np.linalg.cholesky(noise + rows @ rows.T)).T
    return Fit(found, doubt, chance, discrepancy, rows, unroot, pull)


def _unlikelihood(
    tried: Vector, features: np.ndarray, values: Vector, whiten: np.ndarray, centre: Vector, doubt: Vector
) -> float:
    """How unlikely these coefficients are, given the measurements and what is believed (-2 log, up to a constant)."""
    left = np.linalg.solve(whiten, np.log(values / np.maximum(features @ tried, 1e-6)))
    return float(left @ left + (((tried - centre) / doubt) ** 2).sum())


def _sizes(surprise: Vector, learnable: np.ndarray, alike: np.ndarray, weights: Vector) -> tuple[float, float]:
    """How large chance and discrepancy are, given how far the measurements are from what was believed of them."""
    chance, discrepancy = (grid.ravel() for grid in np.meshgrid(CHANCES, DISCREPANCIES))
    noise = chance[:, None, None] ** 2 * np.diag(1 / weights) + discrepancy[:, None, None] ** 2 * alike + learnable
    roots = np.linalg.cholesky(noise)
    white = np.linalg.solve(roots, np.broadcast_to(surprise[:, None], (len(chance), len(surprise), 1)))[..., 0]
    odds = -0.5 * (white**2).sum(1) - np.log(np.diagonal(roots, axis1=1, axis2=2)).sum(1)
    for size, (usual, factor) in ((chance, LIKELY_CHANCE), (discrepancy, LIKELY_DISCREPANCY)):
        odds = odds - 0.5 * (np.log(size / usual) / np.log(factor)) ** 2
    odds = np.exp(odds - odds.max())
    odds = odds / odds.sum()
    return float(np.sqrt(odds @ chance**2)), float(np.sqrt(odds @ discrepancy**2))
