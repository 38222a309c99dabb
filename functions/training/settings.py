"""What each training may be asked for. Nothing here needs PyTorch: a request is checked before any is loaded."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from events.errors import Reject

Size = Annotated[int, msgspec.Meta(ge=1, le=4096)]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Common to all: ``rate`` is the first learning rate, which falls towards the end, ``batch`` its samples.

    The work is shared by ``processes``, which ``way`` starts: ``processes`` of this machine, or those of ``ray``. A
    checkpoint is written every ``every`` rounds.
    """

    seed: Annotated[int, msgspec.Meta(ge=0, lt=2**31)] = 0
    rate: Annotated[float, msgspec.Meta(gt=0, le=1)] = 1e-3
    batch: Annotated[int, msgspec.Meta(ge=1, le=1 << 20)] = 2048
    steps: Annotated[int, msgspec.Meta(ge=1)] = 1
    processes: Annotated[int, msgspec.Meta(ge=1, le=64)] = 1
    way: Literal["processes", "ray"] = "processes"
    every: Annotated[int, msgspec.Meta(ge=1)] = 10


class Evacuation(Settings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The agent for personal evacuation routes. ``steps`` are those of all ``people`` together.

    ``hidden`` and ``layers`` are width and number of the linear layers of each of its two networks, ``features`` the width
    between these. The map has ``size`` x ``size`` cells, unless one is drawn in the data. ``fires`` break out, and set a
    neighbour on fire with the chance ``growth`` a step. ``unseen`` is the share of the starts that are kept for the exam.
    """

    steps: Annotated[int, msgspec.Meta(ge=1)] = 1_300_000
    people: Annotated[int, msgspec.Meta(ge=16, le=65536)] = 512
    hidden: Size = 128
    features: Size = 64
    layers: Annotated[int, msgspec.Meta(ge=1, le=32)] = 3
    size: Annotated[int, msgspec.Meta(ge=8, le=64)] = 16
    fires: Annotated[int, msgspec.Meta(ge=0, le=100)] = 3
    growth: Share = 0.03
    unseen: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 0.2
    trials: Annotated[int, msgspec.Meta(ge=10, le=1_000_000)] = 2000


class Flood(Settings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The network that finds flooded ground in pictures from above: ``layers`` of ``channels`` maps, ``side`` pixels a picture.

    ``steps`` are pictures. It learns from drawn ones, or from the pictures and masks in the data.
    """

    rate: Annotated[float, msgspec.Meta(gt=0, le=1)] = 6e-3
    batch: Annotated[int, msgspec.Meta(ge=1, le=4096)] = 8
    steps: Annotated[int, msgspec.Meta(ge=1)] = 6000
    side: Annotated[int, msgspec.Meta(ge=16, le=512)] = 48
    channels: Annotated[int, msgspec.Meta(ge=1, le=256)] = 12
    layers: Annotated[int, msgspec.Meta(ge=2, le=8)] = 4
    trials: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 48
    every: Annotated[int, msgspec.Meta(ge=1)] = 50


#: Agent -> its settings.
AGENTS: dict[str, type[Settings]] = {"evacuation": Evacuation, "flood": Flood}


def settings_of(agent: str, parameters: dict[str, Any]) -> Settings:
    """The settings of a request. Raises ``Reject``, for people."""
    if agent not in AGENTS:
        raise Reject(f"no agent is called {agent[:60]!r}; there are {', '.join(AGENTS)}")
    try:
        return msgspec.convert(parameters, AGENTS[agent])
    except msgspec.ValidationError as error:
        raise Reject(f"the parameters of {agent} make no sense: {error}") from error
