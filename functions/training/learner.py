"""What a training is: it learns round by round, can be interrupted anywhere, and ends with an exam."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Protocol

import msgspec
import torch
from torch import Tensor, nn

#: Averages a flat tensor over all processes of a training, in place.
Average = Callable[[Tensor], None]


class Exam(msgspec.Struct, frozen=True):
    """The end of a training: the network as it is to be exported, a batch of inputs, the names of its input and outputs.

    ``measure`` gets the exported model, and tells how good it is.
    """

    network: nn.Module
    example: Tensor
    names: tuple[str, tuple[str, ...]]
    axes: Mapping[int, str]
    measure: Callable[[bytes], dict[str, float]]


class Learner(Protocol):
    """One process's part of a training. ``steps`` is how far all of them have come together."""

    steps: int

    @property
    def state(self) -> dict[str, Any]:
        """Everything that the future depends on: a training that goes on from it ends as if it had never stopped."""
        ...

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a ``state``."""
        ...

    def rounds(self) -> Iterator[dict[str, float]]:
        """Learn to the end; after each round ``steps``, ``loss`` and ``success``, the latter from 0 to 1."""
        ...

    def exam(self) -> Exam:
        """What has come of it."""
        ...


def alone(_: Tensor) -> None:
    """The average over one process."""


def join(parameters: Iterable[nn.Parameter], average: Average) -> None:
    """Average the gradients over the processes."""
    if average is alone:
        return
    gradients = [each.grad for each in parameters if each.grad is not None]
    flat = torch.cat([each.reshape(-1) for each in gradients])
    average(flat)
    at = 0
    for each in gradients:
        each.copy_(flat[at : at + each.numel()].reshape(each.shape))
        at += each.numel()


def fall(optimiser: torch.optim.Optimizer, rate: float, done: float) -> None:
    """The learning rate falls to a twentieth while ``done`` goes from 0 to 1."""
    for group in optimiser.param_groups:
        group["lr"] = rate * (1 - 0.95 * min(done, 1.0))
