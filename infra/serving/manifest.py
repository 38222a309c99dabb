"""A KServe InferenceService for a model, with the secret and the service account that let it read the bucket.

The structs below are the part of KServe's own definition that is used here, and strict: an unknown field or a value out of its
range is refused before any cluster sees it, which KServe's Python classes do not do.
Source: KServe ``serving.kserve.io/v1beta1``; the annotations of S3 secrets as its storage initializer reads them.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import msgspec
from msgspec import UNSET, Meta, UnsetType

from events.errors import Reject
from events.ports import Repository
from infra.config import Objects

MODE, S3 = "serving.kserve.io/deploymentMode", "serving.kserve.io/s3-"
#: The port that KServe expects a predictor to listen on.
PORT = 8080
Name = Annotated[str, Meta(pattern=r"^[a-z]([-a-z0-9]*[a-z0-9])?$", max_length=53)]
Quantity = Annotated[str, Meta(pattern=r"^[0-9]+(\.[0-9]+)?(m|Ki|Mi|Gi|Ti|k|M|G|T)?$")]
Count = Annotated[int, Meta(ge=0, le=10_000)]


class _Part(msgspec.Struct, rename="camel", forbid_unknown_fields=True, kw_only=True):
    """A part of a manifest; what is unset is left out."""


class Metadata(_Part):
    """What every object of a cluster has."""

    name: Name
    namespace: Name
    annotations: dict[str, str] | UnsetType = UNSET
    labels: dict[str, str] | UnsetType = UNSET


class Key(_Part):
    """One entry of a secret."""

    name: str
    key: str


class KeySource(_Part):
    """Where a variable's value comes from."""

    secret_key_ref: Key


class Variable(_Part):
    """A variable of a container's environment."""

    name: Annotated[str, Meta(pattern="^[A-Z][A-Z0-9_]*$")]
    value: str | UnsetType = UNSET
    value_from: KeySource | UnsetType = UNSET


class Get(_Part):
    """A request by HTTP."""

    path: Annotated[str, Meta(pattern="^/")]
    port: Annotated[int, Meta(ge=1, le=65535)]


class Probe(_Part):
    """Whether a container is ready."""

    http_get: Get
    period_seconds: Annotated[int, Meta(ge=1)] | UnsetType = UNSET


class Port(_Part):
    """A port of a container."""

    container_port: Annotated[int, Meta(ge=1, le=65535)]
    protocol: Literal["TCP", "UDP"]


class Resources(_Part):
    """What a container asks for, and may take at most."""

    requests: dict[Literal["cpu", "memory"], Quantity]
    limits: dict[Literal["cpu", "memory"], Quantity]


class Capabilities(_Part):
    """Rights of the superuser."""

    drop: list[str]


class Security(_Part):
    """What a container must not do."""

    allow_privilege_escalation: bool
    run_as_non_root: bool
    capabilities: Capabilities


class Container(_Part):
    """Our own server."""

    name: Name
    image: Annotated[str, Meta(min_length=1)]
    command: list[str]
    env: list[Variable]
    ports: list[Port]
    readiness_probe: Probe
    resources: Resources
    security_context: Security


class Format(_Part):
    """What kind of model it is."""

    name: Literal["onnx"]


class Stored(_Part):
    """A model for one of the cluster's own serving runtimes."""

    model_format: Format
    protocol_version: Literal["v2"]
    storage_uri: Annotated[str, Meta(pattern="^s3://[^/]+")]


class Predictor(_Part):
    """Who answers: ``containers`` of ours, or the cluster's own runtime for ``model``."""

    service_account_name: Name
    min_replicas: Count
    max_replicas: Count
    canary_traffic_percent: Annotated[int, Meta(ge=0, le=100)] | UnsetType = UNSET
    containers: Annotated[list[Container], Meta(min_length=1, max_length=1)] | UnsetType = UNSET
    model: Stored | UnsetType = UNSET


class Spec(_Part):
    """What shall be."""

    predictor: Predictor


class InferenceService(_Part):
    """The whole."""

    api_version: Literal["serving.kserve.io/v1beta1"]
    kind: Literal["InferenceService"]
    metadata: Metadata
    spec: Spec


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What ``sluice deploy`` was asked for. ``canary`` is the share of the newest revision in percent (``None``: all)."""

    name: str
    service: str
    namespace: str
    image: str = "sluice:latest"
    mode: Literal["Knative", "Standard"] = "Knative"
    runtime: Literal["sluice", "cluster"] = "sluice"
    alias: str = "champion"
    canary: int | None = None
    min_replicas: int = 0
    max_replicas: int = 10


def check(document: dict[str, Any]) -> InferenceService:
    """The InferenceService in ``document``. Raises ``Reject`` that names the first field at fault."""
    try:
        made = msgspec.convert(document, InferenceService)
    except msgspec.ValidationError as error:
        raise Reject(f"this is no InferenceService that KServe would take as it is meant: {error}") from error
    predictor, mode = made.spec.predictor, (made.metadata.annotations or {}).get(MODE)
    if mode not in ("Knative", "Standard"):
        raise Reject(f"the annotation {MODE} must be Knative or Standard, not {mode!r}")
    if (predictor.containers is UNSET) == (predictor.model is UNSET):
        raise Reject("the predictor must have either containers or a model")
    if predictor.max_replicas and predictor.max_replicas < predictor.min_replicas:
        raise Reject(f"maxReplicas {predictor.max_replicas} is less than minReplicas {predictor.min_replicas}")
    if mode == "Standard" and (predictor.min_replicas == 0 or predictor.canary_traffic_percent is not UNSET):
        raise Reject("only Knative can scale to zero or split traffic: use --mode knative, or --min-replicas 1 and no --canary")
    return made


def manifests(wanted: Wanted, repository: Repository, objects: Objects) -> list[dict[str, Any]]:
    """The secret (with the keys of ``objects``), the service account and the InferenceService, in the order to apply them.

    Raises ``Reject`` for what KServe would not take.
    """
    if not objects.endpoint:
        raise Reject("a cluster cannot read this machine's own objects: set sluice.objects to a store that it reaches")
    place, secret = urlsplit(objects.endpoint), f"{wanted.service}-objects"
    if not place.netloc or place.scheme not in ("http", "https"):
        raise Reject(f"sluice.objects.endpoint {objects.endpoint!r} is no http or https URL")
    shared = {"name": secret, "namespace": wanted.namespace}
    annotations = {
        f"{S3}endpoint": place.netloc,
        f"{S3}usehttps": "1" if place.scheme == "https" else "0",
        f"{S3}verifyssl": "1",
        f"{S3}region": objects.region,
        f"{S3}usevirtualbucket": "false",
    }
    keys = {"AWS_ACCESS_KEY_ID": objects.access_key, "AWS_SECRET_ACCESS_KEY": objects.secret_key}
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": shared, "secrets": [{"name": secret}]}
    predictor = Predictor(
        service_account_name=secret,
        min_replicas=wanted.min_replicas,
        max_replicas=wanted.max_replicas,
        canary_traffic_percent=UNSET if wanted.canary is None else wanted.canary,
        containers=[_container(wanted, repository, objects, secret)] if wanted.runtime == "sluice" else UNSET,
        model=_stored(repository) if wanted.runtime == "cluster" else UNSET,
    )
    service = InferenceService(
        api_version="serving.kserve.io/v1beta1",
        kind="InferenceService",
        metadata=Metadata(name=wanted.service, namespace=wanted.namespace, annotations={MODE: wanted.mode}),
        spec=Spec(predictor=predictor),
    )
    document: dict[str, Any] = msgspec.to_builtins(service)
    check(document)
    return [
        {"apiVersion": "v1", "kind": "Secret", "metadata": {**shared, "annotations": annotations}, "stringData": keys},
        account,
        document,
    ]


def shown(document: dict[str, Any]) -> dict[str, Any]:
    """A manifest as people may see it: without the content of a secret."""
    return {name: value for name, value in document.items() if name not in ("data", "stringData")}


def _stored(repository: Repository) -> Stored:
    """The whole repository: its ``NAME/VERSION/model.onnx`` is what runtimes of this format look for."""
    uri = f"s3://{repository.bucket}/{repository.prefix}".rstrip("/")
    return Stored(model_format=Format(name="onnx"), protocol_version="v2", storage_uri=uri)


def _container(wanted: Wanted, repository: Repository, objects: Objects, secret: str) -> Container:
    place = {name: getattr(repository, name) for name in ("name", "bucket", "prefix", "digest", "keys", "signed")}
    plain = {
        "SLUICE_SERVING_HOST": "0.0.0.0",  # noqa: S104 - a container is reached from outside of it
        "SLUICE_SERVING_PORT": str(PORT),
        "SLUICE_SERVING_MODELS": json.dumps([wanted.name]),
        "SLUICE_SERVING_ALIAS": wanted.alias,
        "SLUICE_MODELS": json.dumps([place]),
        "SLUICE_OBJECTS_ENDPOINT": objects.endpoint,
        "SLUICE_OBJECTS_REGION": objects.region,
        "SLUICE_RUNTIME_LOG_FORMAT": "json",
    }
    hidden = {"SLUICE_OBJECTS_ACCESS_KEY": "AWS_ACCESS_KEY_ID", "SLUICE_OBJECTS_SECRET_KEY": "AWS_SECRET_ACCESS_KEY"}
    return Container(
        name="kserve-container",
        image=wanted.image,
        command=["sluice", "serve"],
        env=[
            *(Variable(name=name, value=value) for name, value in plain.items()),
            *(
                Variable(name=name, value_from=KeySource(secret_key_ref=Key(name=secret, key=key)))
                for name, key in hidden.items()
            ),
        ],
        ports=[Port(container_port=PORT, protocol="TCP")],
        readiness_probe=Probe(http_get=Get(path="/v2/health/ready", port=PORT), period_seconds=2),
        resources=Resources(requests={"cpu": "250m", "memory": "256Mi"}, limits={"memory": "2Gi"}),
        security_context=Security(
            allow_privilege_escalation=False, run_as_non_root=True, capabilities=Capabilities(drop=["ALL"])
        ),
    )
