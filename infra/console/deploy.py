"""``sluice deploy``: a model as a KServe InferenceService."""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import typer
import yaml

from infra.config import Config, Objects
from infra.console.client import Complaint
from infra.console.session import Session, command
from infra.objects.door_keys import door_keys

REPLACE = "# Replace what begins with REPLACE-WITH-, or print this with --with-secrets.\n"


class Mode(StrEnum):
    """How KServe runs it."""

    KNATIVE = "knative"
    STANDARD = "standard"


class Runtime(StrEnum):
    """Who serves it."""

    SLUICE = "sluice"
    KSERVE = "kserve"
    CLUSTER = "cluster"


@command
def deploy(
    session: Session,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The model.", show_default=False)] = "",
    image: Annotated[
        str, typer.Option(help="The image, if not sluice:latest or sluice-kserve:latest.", show_default=False)
    ] = "",
    mode: Annotated[Mode, typer.Option(help="Only knative scales to zero and splits traffic.")] = Mode.KNATIVE,
    runtime: Annotated[
        Runtime, typer.Option(help="Our own server, KServe's with our models, or the cluster's runtime for ONNX.")
    ] = Runtime.SLUICE,
    repository: Annotated[str, typer.Option(help="The repository, if there are several.", show_default=False)] = "",
    alias: Annotated[str, typer.Option(help="The alias that answers.")] = "champion",
    canary: Annotated[
        int | None, typer.Option(min=0, max=100, metavar="PERCENT", help="The newest revision's share.", show_default=False)
    ] = None,
    min_replicas: Annotated[
        int | None, typer.Option(min=0, help="Else 0 with knative, 1 with standard.", show_default=False)
    ] = None,
    max_replicas: Annotated[int, typer.Option(min=1)] = 10,
    service: Annotated[str, typer.Option(help="The service's name, if not the model's.", show_default=False)] = "",
    endpoint: Annotated[
        str, typer.Option(metavar="URL", help="Where the cluster reaches the objects, if elsewhere.", show_default=False)
    ] = "",
    ca_file: Annotated[
        Path | None, typer.Option(help="The authority (PEM) behind the object store's certificate.", show_default=False)
    ] = None,
    verify: Annotated[bool, typer.Option(help="Whether the cluster's runtime verifies that certificate.")] = True,
    with_secrets: Annotated[bool, typer.Option("--with-secrets", help="Print the keys, not placeholders for them.")] = False,
    apply: Annotated[bool, typer.Option("--apply", help="Post it to the configured cluster instead of printing it.")] = False,
    check: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Check manifests, perhaps edited, and do nothing.", show_default=False)
    ] = None,
) -> None:
    """Write the InferenceService of a model, with the service account and the secret that let it read the bucket.

    Everything is checked here first. The keys are printed as placeholders unless asked for; --apply posts them.
    """
    from infra.serving.kubernetes import Cluster
    from infra.serving.manifest import Wanted, manifests, shown

    if check is not None:
        _check(session, check)
        return
    config = session.config
    found = [each for each in config.models if not repository or each.name == repository]
    if not name or len(found) != 1:
        names = ", ".join(each.name for each in config.models) or "none; set sluice.models"
        raise Complaint(f"say which model repository with --repository: {names}" if name else "say which model: its NAME")
    kserve: Literal["Knative", "Standard"] = "Knative" if mode is Mode.KNATIVE else "Standard"
    served: dict[Runtime, Literal["sluice", "kserve", "cluster"]] = {
        Runtime.SLUICE: "sluice",
        Runtime.KSERVE: "kserve",
        Runtime.CLUSTER: "cluster",
    }
    wanted = Wanted(
        name=name,
        service=service or re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-"),
        namespace=config.kubernetes.namespace,
        image=image,
        mode=kserve,
        runtime=served[runtime],
        alias=alias,
        canary=canary,
        min_replicas=(0 if mode is Mode.KNATIVE else 1) if min_replicas is None else min_replicas,
        max_replicas=max_replicas,
        token=config.serving.token,
        ca=_text(ca_file) if ca_file else "",
        verify=verify,
    )
    objects = _objects(config, endpoint)
    if (apply or with_secrets) and not (objects.access_key and objects.secret_key):
        raise Complaint("the cluster needs the keys of the object store: set sluice.objects.access_key and secret_key")
    made = manifests(wanted, found[0], objects, config.models)
    if not apply:
        told = made if with_secrets else [shown(each) for each in made]
        if session.json:
            session.answer(told)
        else:
            typer.echo(("" if with_secrets else REPLACE) + yaml.safe_dump_all(told, sort_keys=False), nl=False)
        return
    with Cluster(config.kubernetes) as cluster:
        for each in made:
            done = cluster.apply(each)
            line = {"kind": each["kind"], "name": each["metadata"]["name"], "done": done}
            session.line(line) if session.json else typer.echo(f"{line['kind']} {line['name']} {done}")


def _objects(config: Config, endpoint: str) -> Objects:
    """The store that the cluster shall read: the configured one, or this lake's own door, as it is reached from there."""
    if not endpoint:
        return config.objects
    if config.objects.endpoint:
        return msgspec.structs.replace(config.objects, endpoint=endpoint)
    access, secret = door_keys(config)
    return Objects(endpoint=endpoint, region=config.door.region, access_key=access, secret_key=secret)


def _check(session: Session, file: Path) -> None:
    from infra.serving.manifest_check import check_file

    found = check_file(file)
    if session.json:
        session.answer({"file": str(file), "faults": found})
    if found:
        raise Complaint(f"{file}: " + "; ".join(found))
    if not session.json:
        typer.echo(f"{file} can be applied")


def _text(file: Path) -> str:
    try:
        text = file.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise Complaint(f"{file} cannot be read: {error}") from error
    if "-----BEGIN CERTIFICATE-----" not in text:
        raise Complaint(f"{file} has no certificate as PEM")
    return text
