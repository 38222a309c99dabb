"""Pictures of flooded streets from above, drawn with their masks: fields, streets, roofs, and brown water over some of it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Pictures = NDArray[np.uint8]
Masks = NDArray[np.bool_]
GRASS, STREET, WATER = np.array([[92, 112, 62], [128, 126, 122], [104, 96, 78]], "f4")


def draw(count: int, side: int, random: np.random.Generator) -> tuple[Pictures, Masks]:
    """``count`` pictures (count, side, side, 3), and where there is water (count, side, side)."""
    found = [_one(side, random) for _ in range(count)]
    return np.stack([picture for picture, _ in found]), np.stack([mask for _, mask in found])


def _one(side: int, random: np.random.Generator) -> tuple[Pictures, Masks]:
    ground = np.tile(GRASS + random.normal(0, 12, 3), (side, side, 1))
    ground += random.normal(0, 14, (side, side, 1)) + 10 * _smooth(side, 5, random)[:, :, None]
    for at in range(int(random.integers(4, 10)), side, int(random.integers(16, 26))):
        width = int(random.integers(2, 5))
        along = (slice(at, at + width), slice(None)) if random.random() < 0.5 else (slice(None), slice(at, at + width))
        ground[along] = STREET + random.normal(0, 6, ground[along].shape)
    height = _smooth(side, 3, random) + 0.4 * _smooth(side, 7, random)
    mask = height < random.uniform(-1.2, 0.3)
    water = WATER + random.normal(0, 8, 3) + 5 * _smooth(side, 6, random)[:, :, None] + random.normal(0, 3, (side, side, 1))
    depth = np.clip(0.75 + 0.2 * (-height), 0.7, 0.95)[:, :, None]
    picture = np.where(mask[:, :, None], depth * water + (1 - depth) * ground, ground)
    for _ in range(int(random.integers(2, 6))):  # roofs stand out of the water, and some have its colour
        top, left = random.integers(0, side - 6, 2)
        down, right = random.integers(5, 11, 2)
        roof = (slice(top, top + down), slice(left, left + right))
        colour = WATER + random.normal(0, 10, 3) if random.random() < 0.4 else random.uniform(60, 190, 3)
        picture[roof] = colour + random.normal(0, 4, picture[roof].shape)
        picture[top, left : left + right] = picture[top : top + down, left] = 40
        mask[roof] = False
    picture = picture + random.normal(0, 3, picture.shape)
    return np.clip(picture * random.uniform(0.8, 1.15), 0, 255).astype("u1"), mask


def _smooth(side: int, cells: int, random: np.random.Generator) -> NDArray[Any]:
    """A hilly field of about zero mean and unit spread, with so many hills a side."""
    knots = random.normal(0, 1, (cells + 1, cells + 1))
    at = np.linspace(0, cells, side, endpoint=False)
    low = at.astype(int)
    part = at - low
    part = part * part * (3 - 2 * part)
    rows = knots[low] * (1 - part[:, None]) + knots[low + 1] * part[:, None]
    found: NDArray[Any] = rows[:, low] * (1 - part) + rows[:, low + 1] * part
    return found
