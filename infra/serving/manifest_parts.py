"""The parts of an InferenceService that we write, as KServe and Kubernetes call them; ``manifest_check.py`` checks the whole.

Source: KServe ``serving.kserve.io/v1beta1``, Kubernetes ``core/v1``.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from msgspec import UNSET, UnsetType


class _Part(msgspec.Struct, rename="camel", kw_only=True):
    """A part of a manifest; what is unset is left out."""


class Metadata(_Part):
    """What every object of a cluster has."""

    name: str
    namespace: str
    annotations: dict[str, str] | UnsetType = UNSET


class Key(_Part):
    """One entry of a secret."""

    name: str
    key: str


class KeySource(_Part):
    """Where a variable's value comes from."""

    secret_key_ref: Key


class Variable(_Part):
    """A variable of a container's environment."""

    name: str
    value: str | UnsetType = UNSET
    value_from: KeySource | UnsetType = UNSET


class Get(_Part):
    """A request by HTTP."""

    path: str
    port: int


class Probe(_Part):
    """Whether a container is ready."""

    http_get: Get
    period_seconds: int


class Port(_Part):
    """A port of a container; its name says which protocol is spoken there."""

    name: str
    container_port: int
    protocol: Literal["TCP", "UDP"] = "TCP"


class Resources(_Part):
    """What a container asks for, and may take at most."""

    requests: dict[str, str]
    limits: dict[str, str]


class Capabilities(_Part):
    """Rights of the superuser."""

    drop: list[str]


class Security(_Part):
    """What a container must not do."""

    allow_privilege_escalation: bool
    run_as_non_root: bool
    capabilities: Capabilities


class Mount(_Part):
    """A volume within a container."""

    name: str
    mount_path: str
    read_only: bool = True


class Container(_Part):
    """A server of ours."""

    name: str
    image: str
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"]
    command: list[str]
    env: list[Variable]
    ports: list[Port]
    readiness_probe: Probe
    resources: Resources
    security_context: Security
    volume_mounts: list[Mount] | UnsetType = UNSET


class Format(_Part):
    """What kind of model it is."""

    name: Literal["onnx"]


class Stored(_Part):
    """A model for one of the cluster's own serving runtimes."""

    model_format: Format
    protocol_version: Literal["v2"]
    storage_uri: str


class Named(_Part):
    """Another object of the namespace."""

    name: str


class Volume(_Part):
    """Files of a ConfigMap."""

    name: str
    config_map: Named


class Predictor(_Part):
    """Who answers: ``containers`` of ours, or the cluster's own runtime for ``model``."""

    service_account_name: str
    min_replicas: int
    max_replicas: int
    canary_traffic_percent: int | UnsetType = UNSET
    containers: list[Container] | UnsetType = UNSET
    model: Stored | UnsetType = UNSET
    volumes: list[Volume] | UnsetType = UNSET


class Spec(_Part):
    """What shall be."""

    predictor: Predictor


class InferenceService(_Part):
    """The whole."""

    metadata: Metadata
    spec: Spec
    api_version: str = "serving.kserve.io/v1beta1"
    kind: str = "InferenceService"


def written(part: _Part) -> dict[str, Any]:
    """As it is written."""
    document: dict[str, Any] = msgspec.to_builtins(part)
    return document
