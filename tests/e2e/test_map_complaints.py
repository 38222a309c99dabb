"""What people are told of maps from the command line that cannot run, or fail: a sentence, and exit code 1."""

from __future__ import annotations

import signal
import subprocess
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from tests.conftest import Sluice, eventually
from tests.e2e.test_cli import Caller

TASKS = """
import sys, time
from pathlib import Path

def leaves(table):
    sys.exit(0)

def interrupted(table):
    raise KeyboardInterrupt

def hungry(table):
    raise MemoryError

def waits(table):
    Path("begun").touch()
    time.sleep(600)
"""


@pytest.fixture
def call(standing_sluice: Sluice, tmp_path: Path) -> Caller:
    """The command line in a folder with tasks, against a lake with ``s3://complaints/numbers.csv``."""
    (tmp_path / "complaint_tasks.py").write_text(TASKS)
    (tmp_path / "numbers.csv").write_text("n,square\n1,1\n2,4\n")
    called = Caller(standing_sluice, tmp_path)
    called("put", "numbers.csv", "s3://complaints/")
    called.settle()
    return called


DATA = "s3://complaints/numbers.csv"


def complaint(call: Caller, *arguments: str) -> str:
    """The one line that it ends with, and nothing else."""
    assert call(*arguments, "--json", code=1) == ""
    assert call.errors.startswith("sluice: ")
    assert call.errors.count("\n") == 1, call.errors
    return call.errors.removeprefix("sluice: ").rstrip("\n")


@pytest.mark.parametrize(
    ("task", "told"),
    [
        ("leaves", "RuntimeError: SystemExit: 0"),
        ("interrupted", "RuntimeError: KeyboardInterrupt"),
        ("hungry", "MemoryError: memory did not suffice"),
    ],
)
def test_what_a_task_raises_is_told_and_does_not_end_the_command(call: Caller, task: str, told: str) -> None:
    what = f"complaint_tasks:{task} failed in slice 0 of 1: part 0 of 1 of {DATA}: {told}"
    assert complaint(call, "map", f"complaint_tasks:{task}", DATA, "--slices", "1") == what


def test_control_c_ends_a_map_with_its_own_code(call: Caller) -> None:
    running = call.start("map", "complaint_tasks:waits", DATA, "--json")
    eventually((call.folder / "begun").exists, 60.0, "the task to be at work")
    for _ in range(5):  # Python loses an interrupt that comes while it finalizes an object; a person presses again
        running.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            running.wait(20)
            break
    assert running.communicate(timeout=60) == ("", "")
    assert running.returncode == 130


def test_what_is_no_address_is_refused_as_by_plan(call: Caller) -> None:
    told = "'d/a.csv' names no object: write s3://bucket/key"
    assert complaint(call, "plan", "leaves", "d/a.csv") == told
    assert complaint(call, "map", "complaint_tasks:leaves", "d/a.csv") == told
    assert complaint(call, "map", "complaint_tasks:leaves", DATA, "d/a.csv") == told


def test_an_error_in_the_data_of_a_stage_is_told(call: Caller) -> None:
    parquet.write_table(pa.table({"s": [{"x": 1}, {"x": 2}]}), call.folder / "structs.parquet")
    call("put", "structs.parquet", "s3://complaints/")
    call.settle()
    data = "s3://complaints/structs.parquet"
    told = complaint(call, "stage", "filter", data, "--into", "s3://complaints/out", "--where", "s > 3", "--slices", "1")
    assert told.startswith(f"filter failed in slice 0 of 1: part 0 of 1 of {data}: ")
    assert "struct" in told
    assert complaint(call, "stage", "filter", data, "--into", "s3://complaints/out") == "nothing to filter by: give conditions"


@pytest.mark.parametrize("seconds", ["nan", "0"])
@pytest.mark.parametrize(
    "command",
    [
        ["plan", "leaves", DATA],
        ["map", "complaint_tasks:leaves", DATA],
        ["stage", "filter", DATA, "--into", "s3://complaints/out", "--where", "n > 1"],
    ],
    ids=lambda command: command[0],
)
def test_what_is_no_deadline_is_refused(call: Caller, command: list[str], seconds: str) -> None:
    told = f"a deadline of {float(seconds)} s cannot be kept: give seconds from now, more than 0"
    assert complaint(call, *command, "--deadline", seconds) == told
