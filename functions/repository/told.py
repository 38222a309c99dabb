"""What whoever uploads a model tells of it beside the file: user metadata of the object, as JSON. Every S3 client can set it.

``sluice-metrics``   {"accuracy": 0.97}
``sluice-datasets``  ["s3://raw/digits.parquet"]: what it was trained on, objects or data sets
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import msgspec

from events.errors import Reject

METRICS, DATASETS = "sluice-metrics", "sluice-datasets"
_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
_Metrics = Annotated[dict[_Name, float], msgspec.Meta(max_length=100)]
_Datasets = Annotated[list[Annotated[str, msgspec.Meta(min_length=1, max_length=1500)]], msgspec.Meta(max_length=100)]


def written(metrics: Mapping[str, float], datasets: list[str]) -> dict[str, str]:
    """The user metadata that tells this."""
    told = {METRICS: dict(metrics), DATASETS: datasets}
    return {name: _ascii(each) for name, each in told.items() if each}


def read(user: Mapping[str, str]) -> tuple[dict[str, float], list[str]]:
    """Metrics and data sets. Raises ``Reject`` for what is none."""
    try:
        metrics = msgspec.json.decode(user.get(METRICS, "{}"), type=_Metrics)
        datasets = msgspec.json.decode(user.get(DATASETS, "[]"), type=_Datasets)
    except msgspec.MsgspecError as error:
        raise Reject(f"its metadata {METRICS} must be a JSON object of numbers, {DATASETS} a list of texts: {error}") from error
    return metrics, datasets


def _ascii(value: object) -> str:
    """As JSON that a header can carry."""
    text = msgspec.json.encode(value).decode()
    return "".join(each if each < "\x7f" else "".join(f"\\u{unit:04x}" for unit in _units(each)) for each in text)


def _units(character: str) -> list[int]:
    data = character.encode("utf-16-be")
    return [int.from_bytes(data[at : at + 2], "big") for at in range(0, len(data), 2)]
