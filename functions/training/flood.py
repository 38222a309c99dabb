"""The network that finds flooded ground in pictures from above: a few convolutions that look further with every layer."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from events.errors import Reject
from functions.training.export import answers
from functions.training.learner import Average, Exam, alone, fall, join
from functions.training.pictures import Masks, Pictures, draw
from functions.training.settings import Flood

#: How flooded ground is painted, and how much of it shows.
PAINT, COVER = (216, 27, 96), 0.6


class Finder(nn.Module):
    """Pictures (batch, rows, columns, 3), bytes -> how sure each pixel is flooded, and the pictures with that painted in.

    What a picture needs before and after the network is part of the model, so that whoever asks sends and gets pixels.
    """

    def __init__(self, settings: Flood) -> None:
        super().__init__()
        width, made = settings.channels, list[nn.Module]()
        for layer in range(settings.layers):
            reach = 2**layer
            made += [nn.Conv2d(3 if layer == 0 else width, width, 3, padding=reach, dilation=reach), nn.ReLU()]
        self.network = nn.Sequential(*made, nn.Conv2d(width, 1, 1))
        self.paint: Tensor
        self.register_buffer("paint", torch.tensor(PAINT, dtype=torch.float32))

    def logits(self, pictures: Tensor) -> Tensor:
        """(batch, rows, columns, 3) -> (batch, rows, columns)."""
        found: Tensor = self.network((pictures.float() / 127.5 - 1).permute(0, 3, 1, 2))[:, 0]
        return found

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """``mask`` (0 to 1) and ``picture`` (bytes)."""
        mask = torch.sigmoid(self.logits(pictures))
        cover = (mask > 0.5).float()[:, :, :, None] * COVER
        return mask, (pictures.float() * (1 - cover) + self.paint * cover + 0.5).to(torch.uint8)


class FloodLearner:
    """One process's part of a training (see ``Learner``). ``data``: ``.npz`` files with ``pictures`` and ``masks``."""

    def __init__(self, settings: Flood, data: list[bytes], rank: int = 0, average: Average = alone) -> None:
        torch.manual_seed(settings.seed)
        self.settings, self._average = settings, average
        self.finder = Finder(settings)
        self._optimiser = torch.optim.Adam(self.finder.parameters(), settings.rate)
        self._draw = np.random.default_rng(settings.seed * 1009 + rank + 1)
        self._known = [_read(each) for each in data]
        self.steps = 0

    @property
    def state(self) -> dict[str, Any]:
        return {
            "finder": self.finder.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "draw": self._draw.bit_generator.state,
            "steps": self.steps,
        }

    def restore(self, state: dict[str, Any]) -> None:
        self.finder.load_state_dict(state["finder"])
        self._optimiser.load_state_dict(state["optimiser"])
        self._draw.bit_generator.state = state["draw"]
        self.steps = state["steps"]

    def rounds(self) -> Iterator[dict[str, float]]:
        size = max(1, self.settings.batch // self.settings.processes)
        while self.steps < self.settings.steps:
            fall(self._optimiser, self.settings.rate, self.steps / self.settings.steps)
            pictures, masks = self._some(size)
            wanted = torch.from_numpy(masks).float()
            logits = self.finder.logits(torch.from_numpy(pictures))
            loss = nn.functional.binary_cross_entropy_with_logits(logits, wanted)
            self._optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            join(self.finder.parameters(), self._average)
            self._optimiser.step()
            self.steps += size * self.settings.processes
            yield {"steps": self.steps, "success": overlap(logits.detach().numpy() > 0, masks), "loss": float(loss.detach())}

    def exam(self) -> Exam:
        pictures, masks = draw(self.settings.trials, self.settings.side, np.random.default_rng(self.settings.seed + 977))

        def measure(content: bytes) -> dict[str, float]:
            with torch.no_grad():
                own = self.finder.logits(torch.from_numpy(pictures)).numpy() > 0
            exported = answers(content, pictures) > 0.5
            return {
                "success": overlap(exported, masks),
                "by_colour": overlap(by_colour(pictures), masks),
                "same_choices": float((exported == own).mean()),
            }

        axes = {0: "batch", 1: "rows", 2: "columns"}
        return Exam(self.finder, torch.from_numpy(pictures[:16]), ("image", ("mask", "picture")), axes, measure)

    def _some(self, size: int) -> tuple[Pictures, Masks]:
        if not self._known:
            return draw(size, self.settings.side, self._draw)
        pictures, masks = self._known[int(self._draw.integers(len(self._known)))]
        which = self._draw.integers(len(pictures), size=size)
        return pictures[which], masks[which]


def overlap(found: NDArray[Any], masks: Masks) -> float:
    """The share of what is marked in either that is marked in both (intersection over union)."""
    union = float((found | masks).sum())
    return float((found & masks).sum()) / union if union else 1.0


def by_colour(pictures: Pictures) -> Masks:
    """What a rule about the colour of a pixel alone would find: the best that a plain threshold does on drawn pictures."""
    red, green, blue = (pictures[..., band].astype("f4") for band in range(3))
    flooded: Masks = (red > green) & (green > blue) & (red - blue < 45)
    return flooded


def _read(content: bytes) -> tuple[Pictures, Masks]:
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as found:
            pictures, masks = found["pictures"], found["masks"].astype(bool)
    except Exception as error:  # numpy says it in many ways
        raise Reject(f"the data are no .npz file with the arrays pictures and masks: {error}") from error
    if pictures.dtype != np.uint8 or pictures.ndim != 4 or pictures.shape[3] != 3 or masks.shape != pictures.shape[:3]:
        raise Reject("pictures must be bytes of the shape (count, rows, columns, 3), masks of (count, rows, columns)")
    if not len(pictures):
        raise Reject("the data hold no picture")
    return pictures, masks
