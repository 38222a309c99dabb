"""The agent for personal evacuation routes: two networks of three linear layers each, one for features, one that predicts."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from functions.training.grid import FEATURES, MOVES
from functions.training.settings import Evacuation


class Agent(nn.Module):
    """Gives the preference for every move, and with ``both`` what the situation is worth as well."""

    def __init__(self, settings: Evacuation) -> None:
        super().__init__()
        self.extract = stack(FEATURES, settings.hidden, settings.features, settings.layers)
        self.predict = stack(settings.features, settings.hidden, len(MOVES) + 1, settings.layers)

    def forward(self, observation: Tensor) -> Tensor:
        """(batch, ``FEATURES``) -> (batch, moves)."""
        return self.both(observation)[0]

    def both(self, observation: Tensor) -> tuple[Tensor, Tensor]:
        """The preferences, and the value of each situation."""
        found = self.predict(torch.relu(self.extract(observation)))
        return found[:, :-1], found[:, -1]


def stack(before: int, hidden: int, after: int, layers: int) -> nn.Sequential:
    """Linear layers with a rectifier between each two."""
    widths = [before, *[hidden] * (layers - 1), after]
    made: list[nn.Module] = []
    for one, other in pairwise(widths):
        made += [nn.Linear(one, other), nn.ReLU()]
    return nn.Sequential(*made[:-1])
