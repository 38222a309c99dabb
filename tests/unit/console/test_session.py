"""The options all commands share, and how errors are told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from events.errors import Reject
from events.ports import NotFound
from infra.cli import application
from infra.config import ConfigError
from infra.console.client import Complaint
from infra.console.session import configured, telling


def call(*arguments: str) -> Any:
    return CliRunner().invoke(application(arguments[0]), list(arguments))


@pytest.mark.parametrize("error", [Complaint("it is\nso"), ConfigError("it is so"), Reject("it is so"), NotFound("it is so")])
def test_errors_for_people_are_one_line_and_exit_code_1(error: Exception, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as told, telling():
        raise error
    assert told.value.exit_code == 1
    assert capsys.readouterr() == ("", "sluice: it is so\n")


def test_control_c_ends_without_a_word(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as told, telling():
        raise KeyboardInterrupt
    assert told.value.exit_code == 130
    assert capsys.readouterr() == ("", "")


def test_our_own_mistakes_are_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError), telling():
        raise ZeroDivisionError


@pytest.mark.parametrize("command", application().registered_commands, ids=lambda command: command.name)
def test_every_command_has_help_and_the_common_options(command: Any) -> None:
    shown = call(command.name, "--help")
    assert shown.exit_code == 0
    assert all(option in shown.output for option in ("--data", "--config", "--url", "--json"))


@pytest.mark.parametrize(
    "arguments",
    [
        ["status"], ["env"], ["ls"], ["find"], ["show", "s3://lake/a"], ["events"], ["models"], ["subscriptions"],
        ["unsubscribe", "one"], ["dead-letters"], ["replay", "--all"], ["plan", "task", "s3://lake/a"],
        ["subscribe", "http://127.0.0.1:1/"],
    ],
    ids=lambda arguments: arguments[0],
)  # fmt: skip
@pytest.mark.parametrize("json", [False, True], ids=["people", "json"])
def test_without_a_lake_every_command_says_so(arguments: list[str], json: bool, tmp_path: Path) -> None:
    done = call(*arguments, "--data", str(tmp_path), *(["--json"] if json else []))
    assert done.exit_code == 1
    assert done.stdout == ""
    assert done.stderr == f"sluice: no lake is running on {tmp_path}: start one with `sluice up`\n"


def test_what_a_dead_lake_left_behind_is_no_lake(tmp_path: Path) -> None:
    (tmp_path / "endpoints.json").write_text('{"http":"http://127.0.0.1:9","s3":"http://127.0.0.1:9","pid":1}')
    done = call("status", "--data", str(tmp_path))
    assert (done.exit_code, "no lake is running" in done.stderr) == (1, True)


def test_a_url_without_a_lake_is_named() -> None:
    done = call("status", "--url", "http://127.0.0.1:9")
    assert (done.exit_code, done.stderr) == (1, "sluice: no lake answers at http://127.0.0.1:9\n")


@pytest.mark.parametrize(
    "arguments", [["nonsense"], ["show"], ["up", "--http-port", "70000"], ["ls", "--limit", "-1"], ["events", "--nonsense"]]
)
def test_wrong_calls_are_exit_code_2(arguments: list[str]) -> None:
    done = call(*arguments)
    assert (done.exit_code, done.stdout) == (2, "")


def test_a_configuration_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    file = tmp_path / "lithops_config.yaml"
    file.write_text("sluice: {nonsense: 1}\n")
    done = call("status", "--config", str(file))
    assert (done.exit_code, "nonsense" in done.stderr, str(file) in done.stderr) == (1, True, True)


def test_the_folder_on_the_command_line_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SLUICE_DATA", "elsewhere")
    assert configured(None, None).data == "elsewhere"
    assert configured(None, "here").data == "here"
