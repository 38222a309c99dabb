"""The deployment files name what exists, and hold together."""

from __future__ import annotations

import importlib
import importlib.util
import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.cli import COMMANDS as CONSOLE
from infra.config import load
from infra.serving.manifest import COMMANDS

ROOT = Path(__file__).parents[3]
DEPLOY = ROOT / "infra" / "deploy"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def image(folder: str) -> dict[str, list[str]]:
    """The instructions of a Dockerfile: what follows each word, in order."""
    found: dict[str, list[str]] = {}
    text = re.sub(r"\\\n\s*", "", (DEPLOY / folder / "Dockerfile").read_text())
    for line in text.splitlines():
        if line and not line.startswith("#"):
            word, _, rest = line.partition(" ")
            found.setdefault(word, []).append(rest)
    return found


def environment(folder: str) -> dict[str, str]:
    """The variables that an image sets."""
    return dict(each.split("=", 1) for line in image(folder)["ENV"] for each in line.split())


def can_run(command: list[str]) -> bool:
    """Whether a command line starts something of ours."""
    if command[0] == "sluice":
        return "sluice" in PROJECT["scripts"] and command[1] in CONSOLE
    return command[:2] == ["python", "-m"] and importlib.util.find_spec(command[2]) is not None


@pytest.mark.parametrize("folder", ["compose", "kserve"])
def test_the_images_are_built_of_what_is_there_and_sent(folder: str) -> None:
    every, *others = [each for each in (ROOT / ".dockerignore").read_text().splitlines() if not each.startswith("#")]
    sent = {each[1:] for each in others if each.startswith("!")}
    copied = {name for line in image(folder)["COPY"] for name in line.split()[:-1]}
    assert every == "*"
    assert all((ROOT / name).exists() for name in copied)
    assert {Path(name).parts[0] for name in copied} <= sent
    assert all((ROOT / name).exists() for name in sent)


@pytest.mark.parametrize("folder", ["compose", "kserve"])
def test_the_images_run_what_is_there_as_somebody_who_is_not_root(folder: str) -> None:
    (command,), (user,) = image(folder)["CMD"], image(folder)["USER"]
    assert can_run(json.loads(command))
    assert int(user) > 0  # by its number: a cluster that refuses root cannot tell who a name is
    assert folder != "kserve" or json.loads(command) == COMMANDS["kserve"]
    assert can_run(COMMANDS["sluice"])
    assert environment(folder)["PYTHONPATH"] == image(folder)["WORKDIR"][-1]  # where functions of one's own are looked for


def test_the_image_of_the_lake_has_the_extras_it_names() -> None:
    ((name, _, extras),) = [each.partition("=") for each in image("compose")["ARG"]]
    assert name == "EXTRAS"
    assert set(extras.split(",")) <= PROJECT["optional-dependencies"].keys()


def test_both_images_have_the_same_versions_of_what_our_code_uses() -> None:
    ours = dict(each.split("==") for each in PROJECT["dependencies"])
    lines = (DEPLOY / "kserve" / "requirements.txt").read_text().splitlines()
    theirs = dict(each.split("==") for each in lines if not each.startswith("#"))
    assert theirs.pop("kserve")
    assert theirs == {name: ours[name] for name in theirs}


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
    assert can_run(container["command"])
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
    built, started = resources["Functions"]["Metadata"], function["ImageConfig"]
    assert (DEPLOY / "aws" / built["DockerContext"] / built["Dockerfile"]).resolve() == DEPLOY / "compose" / "Dockerfile"
    assert can_run(started["EntryPoint"])  # Lambda's runtime client, which that image has
    assert "lambda" in image("compose")["ARG"][0]
    ((module, _, name),) = [each.rpartition(".") for each in started["Command"]]
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
    lake, told = services["lake"], environment("compose")
    built = DEPLOY / "compose" / lake["build"]["context"]
    assert built.resolve() == ROOT
    assert built / lake["build"]["dockerfile"] == built / "infra/deploy/compose/Dockerfile"
    config = load(None, {**told, **lake["environment"]})
    assert config.log.url.startswith("redis://redis:")
    assert services["redis"]["image"].startswith("redis:")
    assert (config.http.host, config.door.host) == ("0.0.0.0", "0.0.0.0")
    inside = [int(each.split(":")[1]) for each in lake["ports"]]
    assert inside == [config.http.port, config.door.port] == [int(each) for each in image("compose")["EXPOSE"][0].split()]
    assert [each.split(":")[1] for each in lake["volumes"]] == [told["SLUICE_DATA"]]
    assert f"127.0.0.1:{config.http.port}/readyz" in lake["healthcheck"]["test"][-1]
