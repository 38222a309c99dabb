"""A KServe InferenceService for a model, with the secret and the service account that let it read the bucket.

Source: KServe ``serving.kserve.io/v1beta1``; the annotations of S3 secrets as its storage initializer reads them.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import ipaddress
import json
import re
import secrets
from collections.abc import Iterable
from typing import Any, Literal
from urllib.parse import SplitResult, quote, urlsplit

import msgspec
from msgspec import UNSET

from events.errors import Reject
from events.models import Repository
from functions.repository.layout import is_alias
from infra.config import Objects
from infra.models.loader import within
from infra.serving.manifest_check import MODE, PLACEHOLDER, check
from infra.serving.manifest_parts import (
    Capabilities,
    Container,
    Format,
    Get,
    InferenceService,
    Key,
    KeySource,
    Metadata,
    Mount,
    Named,
    Port,
    Predictor,
    Probe,
    Resources,
    Security,
    Spec,
    Stored,
    Variable,
    Volume,
    written,
)

S3 = "serving.kserve.io/s3-"
_SERVICE = re.compile(r"[a-z]([-a-z0-9]{0,51}[a-z0-9])?")
#: The ports that KServe expects a predictor to listen on: for HTTP, and for gRPC.
PORT, GRPC = 8080, 8081
#: Where KServe itself puts an authority's certificate, and what it calls the file.
CA_FOLDER, CA_FILE = "/etc/ssl/custom-certs", "cabundle.crt"
#: Runtime -> the image that has it, and the program in it. Where a cluster's own runtime serves, nothing of ours is started.
IMAGES = {"sluice": "sluice:latest", "kserve": "sluice-kserve:latest"}
COMMANDS = {
    "sluice": ["sluice", "serve"],
    "kserve": ["python", "-m", "infra.serving.kserve_model", "--http_port", str(PORT), "--grpc_port", str(GRPC)],
}
#: What a secret holds -> what people put there.
SECRETS = {
    "AWS_ACCESS_KEY_ID": "THE-ACCESS-KEY-OF-THE-BUCKET",
    "AWS_SECRET_ACCESS_KEY": "THE-SECRET-KEY-OF-THE-BUCKET",
    "SLUICE_SERVING_TOKEN": "A-TOKEN-FOR-WHO-MAY-LOAD-AND-UNLOAD",
}


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What ``sluice deploy`` was asked for. ``canary`` is the share of the newest revision in percent (``None``: all).

    ``token`` is who may change what is served; one is made if it is empty. ``ca`` is the certificate (PEM) of the authority
    that the object store's own is signed by, if it is none that everybody knows.
    """

    name: str
    service: str
    namespace: str
    image: str = ""
    mode: Literal["Knative", "Standard"] = "Knative"
    runtime: Literal["sluice", "kserve", "cluster"] = "sluice"
    alias: str = "champion"
    canary: int | None = None
    min_replicas: int = 0
    max_replicas: int = 10
    token: str = ""
    ca: str = ""
    verify: bool = True


def manifests(
    wanted: Wanted, repository: Repository, objects: Objects, others: Iterable[Repository] = ()
) -> list[dict[str, Any]]:
    """The secret (with the keys of ``objects``), the service account and the InferenceService, in the order to apply them.

    The container is told which of the ``others`` that are configured lie within the repository: it serves nothing of theirs.
    Raises ``Reject`` for what KServe would not take.
    """
    if not objects.endpoint:
        raise Reject(
            "a cluster cannot read this machine's own objects: say with --endpoint by which URL it reaches them, or set "
            "sluice.objects to a store that it reaches"
        )
    place, secret = _place(objects.endpoint), f"{wanted.service}-objects"
    if not _SERVICE.fullmatch(wanted.service):
        raise Reject(
            f"{wanted.service!r} cannot be a service's name: give another with --service, of at most 53 lower-case letters, "
            "digits and dashes, which begins with a letter"
        )
    if wanted.alias and not is_alias(wanted.alias):
        raise Reject(f"{wanted.alias[:60]!r} is no alias: use lower-case letters, digits and dashes, such as champion")
    if not wanted.verify and wanted.runtime != "cluster":
        raise Reject("our own servers never talk to a store whose certificate they cannot verify: give --ca-file instead")
    if wanted.runtime == "kserve" and "/" in wanted.name:
        raise Reject(f"KServe's own server cannot serve {wanted.name!r}: names have no slash there; use --runtime sluice")
    shared, known = {"name": secret, "namespace": wanted.namespace}, [repository, *within(repository, others)]
    annotations = {
        f"{S3}endpoint": place.netloc,
        f"{S3}usehttps": "1" if place.scheme == "https" else "0",
        f"{S3}verifyssl": "1" if wanted.verify else "0",
        f"{S3}region": objects.region,
        f"{S3}usevirtualbucket": "false",
    }
    if wanted.ca:
        annotations |= {f"{S3}cabundle-configmap": _ca(wanted), f"{S3}cabundle": f"{CA_FOLDER}/{CA_FILE}"}
    predictor = Predictor(
        service_account_name=secret,
        min_replicas=wanted.min_replicas,
        max_replicas=wanted.max_replicas,
        canary_traffic_percent=UNSET if wanted.canary is None else wanted.canary,
        containers=UNSET if wanted.runtime == "cluster" else [_container(wanted, known, objects, secret)],
        model=_stored(repository) if wanted.runtime == "cluster" else UNSET,
        volumes=[Volume(name="ca", config_map=Named(name=_ca(wanted)))] if wanted.ca and wanted.runtime != "cluster" else UNSET,
    )
    service = InferenceService(
        metadata=Metadata(name=wanted.service, namespace=wanted.namespace, annotations={MODE: wanted.mode}),
        spec=Spec(predictor=predictor),
    )
    made: list[dict[str, Any]] = [
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {**shared, "annotations": annotations},
            "stringData": _secrets(wanted, objects),
        },
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": shared, "secrets": [{"name": secret}]},
        written(service),
    ]
    if wanted.ca:
        metadata = {"name": _ca(wanted), "namespace": wanted.namespace}
        made.insert(0, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {CA_FILE: wanted.ca}})
    for each in made:
        check(each)
    return made


def _place(endpoint: str) -> SplitResult:
    """The parts of an object store's URL. Raises ``Reject`` for one that no container could use."""
    try:
        place = urlsplit(endpoint)
        whole = place.scheme in ("http", "https") and bool(place.hostname) and place.port != 0
    except ValueError:
        whole = False
    if not whole:
        raise Reject(f"sluice.objects.endpoint {endpoint!r} is no http or https URL")
    if place.username is not None or place.path.strip("/") or place.query or place.fragment:
        raise Reject(f"sluice.objects.endpoint must be no more than scheme, host and port, but it is {place.geturl()!r}")
    if place.hostname == "localhost" or _loopback(place.hostname or ""):
        raise Reject(
            f"{endpoint} is a container's own address in a cluster: say with --endpoint by which URL it reaches the store"
        )
    return place


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def shown(document: dict[str, Any]) -> dict[str, Any]:
    """A manifest as people may see it: with placeholders that say what belongs there in the place of what is secret."""
    if document["kind"] != "Secret":
        return document
    return {**document, "stringData": {name: f"{PLACEHOLDER}{SECRETS[name]}" for name in document["stringData"]}}


def _secrets(wanted: Wanted, objects: Objects) -> dict[str, str]:
    """The secret's content. A token that nobody chose follows from the secret key, so that it stays the same."""
    found = {"AWS_ACCESS_KEY_ID": objects.access_key, "AWS_SECRET_ACCESS_KEY": objects.secret_key}
    if wanted.runtime == "sluice":
        about = f"sluice serving token of {wanted.namespace}/{wanted.service}".encode()
        made = hmac.new(objects.secret_key.encode() or secrets.token_bytes(), about, hashlib.sha256).digest()
        found["SLUICE_SERVING_TOKEN"] = wanted.token or base64.urlsafe_b64encode(made).decode().rstrip("=")
    return found


def _ca(wanted: Wanted) -> str:
    return f"{wanted.service}-ca"


def _stored(repository: Repository) -> Stored:
    """The whole repository: its ``NAME/VERSION/model.onnx`` is what runtimes of this format look for."""
    uri = f"s3://{repository.bucket}/{repository.prefix}".rstrip("/")
    return Stored(model_format=Format(name="onnx"), protocol_version="v2", storage_uri=uri)


def _container(wanted: Wanted, repositories: list[Repository], objects: Objects, secret: str) -> Container:
    """The container: it serves the first of these repositories, as any server does that is not told which."""
    told = ("name", "bucket", "prefix", "digest", "operators", "keys", "signed")
    places = [{name: getattr(repository, name) for name in told} for repository in repositories]
    plain = {
        "SLUICE_SERVING_HOST": "0.0.0.0",  # noqa: S104 - a container is reached from outside of it
        "SLUICE_SERVING_PORT": str(PORT),
        "SLUICE_SERVING_MODELS": json.dumps([wanted.name]),
        "SLUICE_SERVING_ALIAS": wanted.alias,
        "SLUICE_MODELS": json.dumps(places),
        "SLUICE_OBJECTS_ENDPOINT": objects.endpoint,
        "SLUICE_OBJECTS_REGION": objects.region,
        "SLUICE_RUNTIME_LOG_FORMAT": "json",
    }
    if wanted.ca:
        plain["AWS_CA_BUNDLE"] = f"{CA_FOLDER}/{CA_FILE}"
    hidden = {"SLUICE_OBJECTS_ACCESS_KEY": "AWS_ACCESS_KEY_ID", "SLUICE_OBJECTS_SECRET_KEY": "AWS_SECRET_ACCESS_KEY"}
    if wanted.runtime == "sluice":  # of KServe's own server the doors to load and unload are shut
        hidden["SLUICE_SERVING_TOKEN"] = "SLUICE_SERVING_TOKEN"  # noqa: S105 - a name
    ports = [Port(name="http1", container_port=PORT)]
    if wanted.runtime == "kserve" and wanted.mode == "Standard":  # Knative takes one port only
        ports.append(Port(name="h2c", container_port=GRPC))
    return Container(
        name="kserve-container",
        image=wanted.image or IMAGES[wanted.runtime],
        image_pull_policy="IfNotPresent",  # an image that was loaded into the cluster is in no registry
        command=COMMANDS[wanted.runtime],
        env=[
            *(Variable(name=name, value=value) for name, value in plain.items()),
            *(
                Variable(name=name, value_from=KeySource(secret_key_ref=Key(name=secret, key=key)))
                for name, key in hidden.items()
            ),
        ],
        ports=ports,
        readiness_probe=Probe(http_get=Get(path=f"/v2/models/{quote(wanted.name)}/ready", port=PORT), period_seconds=2),
        resources=Resources(requests={"cpu": "250m", "memory": "256Mi"}, limits={"memory": "2Gi"}),
        security_context=Security(
            allow_privilege_escalation=False, run_as_non_root=True, capabilities=Capabilities(drop=["ALL"])
        ),
        volume_mounts=[Mount(name="ca", mount_path=CA_FOLDER)] if wanted.ca else UNSET,
    )
