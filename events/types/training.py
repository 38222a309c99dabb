"""Training: asked for, and done; and inference over data sets."""

from __future__ import annotations

from typing import Any

from events.types.base import Data, event_type
from events.types.objects import ObjectVersion


@event_type("dev.sluice.training.requested.v1")
class TrainingRequested(Data, frozen=True, kw_only=True):
    """Ask that an ``agent`` (see ``functions/training``) is trained, with its ``parameters``, on ``data`` (``s3://bucket/key``).

    The model is uploaded as ``name`` (else the agent's own) to a model ``repository`` (else the only one there is).
    """

    agent: str
    name: str = ""
    repository: str = ""
    parameters: dict[str, Any] = {}
    data: list[str] = []


@event_type("dev.sluice.model.trained.v1")
class ModelTrained(Data, frozen=True, kw_only=True):
    """A training ended: ``result`` is the model as it was uploaded, ``objects`` is what it learned from.

    ``run`` names the training: its checkpoint, progress and curve lie below ``training/RUN/`` in the lake's own bucket.
    """

    run: str
    agent: str
    repository: str
    name: str
    result: ObjectVersion
    objects: list[ObjectVersion] = []
    parameters: dict[str, Any] = {}
    metrics: dict[str, float] = {}


@event_type("dev.sluice.inference.completed.v1")
class InferenceCompleted(Data, frozen=True, kw_only=True):
    """A map inferred all ``rows`` of ``objects`` with one version of a model (``source`` is its file) and wrote ``result``."""

    repository: str
    name: str
    version: int
    source: ObjectVersion
    objects: list[ObjectVersion]
    result: ObjectVersion
    rows: int = 0
