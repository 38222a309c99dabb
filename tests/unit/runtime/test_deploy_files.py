"""The deployment files name what exists, and hold together."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import yaml

from infra.config import load

DEPLOY = Path(__file__).parents[3] / "infra" / "deploy"


class Tagged(yaml.SafeLoader):
    """CloudFormation's short functions as ``{name: value}``."""


Tagged.add_multi_constructor("!", lambda loader, name, node: {name: node.value})


def test_the_knative_manifests() -> None:
    found: list[dict[str, Any]] = list(yaml.safe_load_all((DEPLOY / "knative" / "sluice.yaml").read_text()))
    by_kind: dict[str, list[dict[str, Any]]] = {}
    for each in found:
        by_kind.setdefault(each["kind"], []).append(each)
    (service,), (broker,) = by_kind["Service"], by_kind["Broker"]
    (container,) = service["spec"]["template"]["spec"]["containers"]
    importlib.import_module(container["command"][2])
    config = load(None, {each["name"]: each["value"] for each in container["env"]})
    assert all(importlib.import_module(name) for name in config.functions)
    for trigger in by_kind["Trigger"]:
        assert trigger["spec"]["broker"] == broker["metadata"]["name"]
        assert trigger["spec"]["subscriber"]["ref"]["name"] == service["metadata"]["name"]
    (binding,) = by_kind["SinkBinding"]
    assert binding["spec"]["subject"]["name"] == service["metadata"]["name"]


def test_the_lambda_template() -> None:
    found = yaml.load((DEPLOY / "aws" / "template.yaml").read_text(), Tagged)
    resources = found["Resources"]
    function = resources["Functions"]["Properties"]
    module, _, name = function["Handler"].rpartition(".")
    assert callable(getattr(importlib.import_module(module), name))
    variables = function["Environment"]["Variables"]
    config = load(None, {key: value for key, value in variables.items() if isinstance(value, str)})
    assert all(importlib.import_module(name) for name in config.functions)
    queue = function["Events"]["Queue"]["Properties"]
    assert queue["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert resources["Queue"]["Properties"]["VisibilityTimeout"] >= 6 * function["Timeout"]  # as AWS asks
    assert queue["Queue"]["GetAtt"].split(".")[0] in resources


def test_the_compose_file() -> None:
    services = yaml.safe_load((DEPLOY / "compose" / "compose.yaml").read_text())["services"]
    settings = services["lake"]["environment"]
    assert load(None, {"SLUICE_LOG_URL": settings["SLUICE_LOG_URL"]}).log.url.startswith("redis://redis:")
    assert (
        (DEPLOY / "compose" / services["lake"]["build"]["context"] / services["lake"]["build"]["dockerfile"])
        .resolve()
        .is_file()
    )
    assert services["redis"]["image"].startswith("redis:")
