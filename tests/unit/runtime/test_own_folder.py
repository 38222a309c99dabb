"""Temporary folders of processes that were killed are removed, and no others."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.runtime import own_folder

PREFIX = "sluice-test-"
MAKE = f"""
import sys
from infra.runtime import own_folder
print(own_folder.make({PREFIX!r})[0], flush=True)
sys.stdin.read()
"""
LITHOPS = """
import os, signal
from infra.runtime import lithops_folder
if {kill}:
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What is swept."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


class Other:
    """Another process, with a folder of its own."""

    def __init__(self) -> None:
        self.process = subprocess.Popen([sys.executable, "-c", MAKE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.folder = Path(self.process.stdout.readline().strip())

    def kill(self) -> None:
        """Let it leave what it has."""
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def other() -> Iterator[Other]:
    made = Other()
    yield made
    made.kill()


def test_a_folder_goes_with_the_next_process_once_its_own_was_killed(other, temporary) -> None:
    (other.folder / "jobs").mkdir()
    own_folder.sweep(PREFIX)
    assert (other.folder / "jobs").is_dir(), "it is still used"
    other.kill()
    mine, held = own_folder.make(PREFIX)
    own_folder.sweep(PREFIX)
    assert list(temporary.iterdir()) == [mine]
    os.close(held)


def test_a_program_that_outlives_the_process_keeps_its_folder(other) -> None:
    environment = {**os.environ, "TMPDIR": str(other.folder)}
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, env=environment):
        other.kill()
        own_folder.sweep(PREFIX)
        assert other.folder.is_dir()
    own_folder.sweep(PREFIX)
    assert not other.folder.exists()


def test_what_is_not_ours_stays(other, temporary, monkeypatch) -> None:
    other.kill()
    (temporary / f"{PREFIX}new").mkdir()  # somebody is about to put its lock there
    outside = temporary / "outside"
    outside.mkdir()
    (outside / own_folder.LOCK).touch()
    (temporary / f"{PREFIX}link").symlink_to(outside)
    (temporary / f"{PREFIX}file").touch()
    with monkeypatch.context() as patch:
        patch.setattr(os, "geteuid", lambda: os.getuid() + 1)
        own_folder.sweep(PREFIX)
        assert other.folder.is_dir(), "it is another user's"
    own_folder.sweep(PREFIX)
    left = {each.name.removeprefix(PREFIX) for each in temporary.iterdir()}
    assert left == {"new", "outside", "link", "file"}
    assert (outside / own_folder.LOCK).exists()


def test_lithops_has_a_folder_of_that_kind(temporary) -> None:
    for kill in (True, True, False):
        subprocess.run([sys.executable, "-c", LITHOPS.format(kill=kill)], check=not kill)
        assert len(list(temporary.glob("sluice-lithops-*"))) == kill
