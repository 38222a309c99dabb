"""The configuration: one section, overridden by the environment, misspellings told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from infra.cli import application
from infra.config import Config, ConfigError, load
from infra.objects.door_keys import door_keys


def test_the_file_is_read_and_the_environment_overrides(tmp_path):
    file = tmp_path / "lithops_config.yaml"
    file.write_text("lithops: {backend: localhost}\nsluice: {threads: 3, http: {port: 1, token: t}}\n")
    config = load(file, {"SLUICE_HTTP_PORT": "2", "SLUICE_DATA": "12", "SLUICE_DOOR_NOTIFY": "false"})
    assert (config.threads, config.http.port, config.http.token, config.data) == (3, 2, "t", "12")
    assert config.door.notify is False


@pytest.mark.parametrize(
    "text",
    [
        "sluice: {thread: 3}",
        "sluice: {threads: many}",
        "sluice: {http: {prot: 1}}",
        "sluice: [",
        "sluice: 5",
        "sluice: {http: 5}",
    ],
)
def test_mistakes_name_the_file(tmp_path, text):
    file = tmp_path / "lithops_config.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=r"lithops_config\.yaml"):
        load(file, {})


@pytest.mark.parametrize(
    ("name", "value"), [("SLUICE_MODELS", "[{"), ("SLUICE_HTTP_PORT", "@1"), ("SLUICE_THREADS", "2026-13-13")]
)
def test_a_variable_that_is_no_yaml_is_named_in_one_sentence(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=name):
        load(None, {name: value})
    monkeypatch.setenv("SLUICE_MODELS", "[{")
    done = CliRunner().invoke(application("models"), ["models"])
    assert (done.exit_code, done.stderr.count("\n")) == (1, 1)
    assert done.stderr.startswith("sluice: the environment variable SLUICE_MODELS cannot be read as YAML: ")


def test_a_named_file_must_exist(tmp_path):
    with pytest.raises(ConfigError, match="nowhere"):
        load(tmp_path / "nowhere.yaml", {})


def test_keys_are_made_once_and_only_their_owner_reads_them(tmp_path):
    config = Config(data=str(tmp_path / "data"))
    keys = door_keys(config)
    assert keys == door_keys(config)
    assert (tmp_path / "data" / "credentials").stat().st_mode & 0o777 == 0o600
    assert len(keys[1]) >= 32


NO_TASKS = ({"a/b": "stars:bright"}, {"bright": "stars"}, {"": "stars:bright"}, {"bright": "stars:bright()"}, ["stars:bright"])


@pytest.mark.parametrize("tasks", NO_TASKS)
def test_a_task_that_could_not_be_named_is_an_error(tmp_path: Path, tasks: object) -> None:
    file = tmp_path / "lake.yaml"
    file.write_text(json.dumps({"sluice": {"tasks": tasks}}))
    with pytest.raises(ConfigError, match="tasks"):
        load(file, {})
