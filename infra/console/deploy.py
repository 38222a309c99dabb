"""``sluice deploy``: a model as a KServe InferenceService."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated, Literal

import typer
import yaml

from infra.console.client import Complaint
from infra.console.session import Session, command


class Mode(StrEnum):
    """How KServe runs it."""

    KNATIVE = "knative"
    STANDARD = "standard"


class Runtime(StrEnum):
    """Who serves it."""

    SLUICE = "sluice"
    CLUSTER = "cluster"


@command
def deploy(
    session: Session,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The model.")],
    image: Annotated[str, typer.Option(help="The image that has `sluice`.")] = "sluice:latest",
    mode: Annotated[Mode, typer.Option(help="Only knative scales to zero and splits traffic.")] = Mode.KNATIVE,
    runtime: Annotated[Runtime, typer.Option(help="Our own server, or the cluster's runtime for ONNX.")] = Runtime.SLUICE,
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
    apply: Annotated[bool, typer.Option("--apply", help="Post it to the configured cluster instead of printing it.")] = False,
) -> None:
    """Write the InferenceService of a model, with the service account and the secret that let it read the bucket.

    Everything is checked here first. The keys themselves are never printed: --apply posts them.
    """
    from infra.serving.kubernetes import Cluster
    from infra.serving.manifest import Wanted, manifests, shown

    config = session.config
    found = [each for each in config.models if not repository or each.name == repository]
    if len(found) != 1:
        names = ", ".join(each.name for each in config.models) or "none; set sluice.models"
        raise Complaint(f"say which model repository with --repository: {names}")
    kserve: Literal["Knative", "Standard"] = "Knative" if mode is Mode.KNATIVE else "Standard"
    wanted = Wanted(
        name=name,
        service=service or re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-"),
        namespace=config.kubernetes.namespace,
        image=image,
        mode=kserve,
        runtime="sluice" if runtime is Runtime.SLUICE else "cluster",
        alias=alias,
        canary=canary,
        min_replicas=(0 if mode is Mode.KNATIVE else 1) if min_replicas is None else min_replicas,
        max_replicas=max_replicas,
    )
    made = manifests(wanted, found[0], config.objects)
    if not apply:
        if session.json:
            session.answer([shown(each) for each in made])
        else:
            typer.echo(yaml.safe_dump_all([shown(each) for each in made], sort_keys=False), nl=False)
        return
    with Cluster(config.kubernetes) as cluster:
        for each in made:
            done = cluster.apply(each)
            told = {"kind": each["kind"], "name": each["metadata"]["name"], "done": done}
            session.line(told) if session.json else typer.echo(f"{told['kind']} {told['name']} {done}")
