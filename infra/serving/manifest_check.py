"""Check manifests without a cluster: against the schema in ``infra/deploy/kserve/schema.yaml``, and for what no schema can say.

KServe's own classes take unknown fields and values out of their range; a cluster drops or misunderstands them without a word.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from events.errors import Reject

MODE = "serving.kserve.io/deploymentMode"
#: What stands in printed manifests where a secret belongs: whoever applies them replaces it.
PLACEHOLDER = "REPLACE-WITH-"
#: The longest step of a host's name.
LABEL = 63
_SCHEMA = Path(__file__).parents[1] / "deploy" / "kserve" / "schema.yaml"


def faults(document: Any) -> list[str]:
    """What is wrong with one manifest, each with its path, such as ``spec.predictor.minReplicas``."""
    from jsonschema import ValidationError

    def path(error: ValidationError) -> str:
        steps = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in error.absolute_path)
        return steps.removeprefix(".") or "the manifest"

    found = sorted(_validator().iter_errors(document), key=lambda error: [str(step) for step in error.absolute_path])
    told = [f"{path(error)}: {error.message[:300]}" for error in found]
    if told:
        return told
    if document["kind"] == "InferenceService":
        return list(_unlike_kserve(document))
    secrets = document.get("stringData", {}) if document["kind"] == "Secret" else {}
    return [f"stringData.{name}: still a placeholder" for name, value in secrets.items() if value.startswith(PLACEHOLDER)]


def check(document: Any) -> None:
    """Raises ``Reject`` with the first fault of a manifest."""
    for fault in faults(document):
        raise Reject(f"this is no manifest that KServe would take as it is meant: {fault}")


def check_file(file: Path) -> list[str]:
    """What is wrong with a file of manifests, each with the object it is in. Raises ``Reject`` for a file that is none."""
    try:
        documents = [each for each in yaml.safe_load_all(file.read_text(encoding="utf-8")) if each is not None]
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise Reject(f"{file} cannot be read: {' '.join(str(error).split())[:300]}") from error
    if not documents:
        raise Reject(f"{file} has no manifest in it")
    return [f"{_called(each)}: {fault}" for each in documents for fault in faults(each)] + list(_missing(documents))


@cache
def _validator() -> Any:
    from jsonschema import Draft202012Validator

    return Draft202012Validator(yaml.safe_load(_SCHEMA.read_text(encoding="utf-8")))


def _called(document: Any) -> str:
    """An object as people call it."""
    if not isinstance(document, dict):
        return "a document"
    metadata = document.get("metadata")
    name = metadata.get("name", "") if isinstance(metadata, dict) else ""
    return f"{document.get('kind', 'a document')} {name}".strip()


def _unlike_kserve(service: dict[str, Any]) -> Iterable[str]:
    """What an InferenceService has that its fields alone would allow."""
    predictor, mode = service["spec"]["predictor"], service["metadata"]["annotations"][MODE]
    least, most = predictor["minReplicas"], predictor["maxReplicas"]
    name, space = service["metadata"]["name"], service["metadata"]["namespace"]
    host = f"{name}-predictor-{space}" if mode == "Standard" else f"{name}-{space}"  # as KServe makes it, unless told otherwise
    if len(host) > LABEL:
        yield f"metadata.name: KServe would call its host {host}, which is longer than a name on the network may be ({LABEL})"
    if most and most < least:
        yield f"spec.predictor.maxReplicas: {most} is less than minReplicas {least}"
    if mode == "Standard" and (least == 0 or "canaryTrafficPercent" in predictor):
        yield (
            "spec.predictor: only Knative can scale to zero or split traffic: use --mode knative, or --min-replicas 1 and no "
            "--canary"
        )
    for number, container in enumerate(predictor.get("containers", [])):
        if mode == "Knative" and len(container["ports"]) > 1:
            yield f"spec.predictor.containers[{number}].ports: Knative takes one port only"
        known = {each["name"] for each in predictor.get("volumes", [])}
        for mount in container.get("volumeMounts", []):
            if mount["name"] not in known:
                yield f"spec.predictor.containers[{number}].volumeMounts: no volume is called {mount['name']}"


def _missing(documents: list[Any]) -> Iterable[str]:
    """What an InferenceService of a file names, but the file does not have: a secret's keys."""
    kept = {
        each["metadata"]["name"]: {**each.get("stringData", {}), **each.get("data", {})}
        for each in documents
        if isinstance(each, dict) and each.get("kind") == "Secret" and not faults({**each, "stringData": {}})
    }
    for each in documents:
        if not isinstance(each, dict) or each.get("kind") != "InferenceService" or faults(each):
            continue
        for container in each["spec"]["predictor"].get("containers", []):
            for variable in container["env"]:
                wanted = variable.get("valueFrom", {}).get("secretKeyRef")
                if wanted and wanted["name"] in kept and wanted["key"] not in kept[wanted["name"]]:
                    yield f"{_called(each)}: {variable['name']}: the secret {wanted['name']} has no key {wanted['key']}"
