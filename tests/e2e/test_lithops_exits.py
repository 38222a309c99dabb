"""Tasks that end their process, or seem to have been interrupted: errors of their slices, never the end of who runs the map."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from infra.runtime.lanes import Options
from infra.runtime.lithops import SluiceExecutor
from tests.conftest import eventually
from tests.e2e.test_lithops_map import ROWS, catalog, executor, known, objects, profiles, started

__all__ = ["catalog", "executor", "known", "objects", "profiles", "started"]


class Enough(BaseException):
    """What ``except Exception`` does not catch."""


def raised(kind: str) -> BaseException:
    return {"exit": SystemExit(0), "empty": SystemExit(), "interrupt": KeyboardInterrupt(), "own": Enough("of this")}[kind]


def leaves(table: Any, kind: str, folder: str) -> int:
    import uuid
    from pathlib import Path

    if 0 in table.column("a").to_pylist():
        (Path(folder) / str(uuid.uuid4())).touch()
        raise raised(kind)
    return int(table.num_rows)


@pytest.mark.parametrize(
    ("kind", "told"),
    [("exit", "SystemExit: 0"), ("empty", "SystemExit"), ("interrupt", "KeyboardInterrupt"), ("own", "Enough: of this")],
)
def test_a_task_that_ends_its_process_fails_its_slice(executor: SluiceExecutor, tmp_path: Path, kind: str, told: str) -> None:
    planned = executor.map(leaves, "s3://data/one.csv", slices=2, workers=1, extra_args=[kind, str(tmp_path)])
    with pytest.raises(RuntimeError) as caught:
        planned.result()
    assert str(caught.value) == told
    assert caught.value.__notes__[0].startswith("in slice 0 of 2: ")
    assert "in leaves" in caught.value.__notes__[1], "where in the task"
    assert len(list(tmp_path.iterdir())) == 2, "it is tried once more"
    assert planned.statistics is not None, "the planner is told"
    assert planned.statistics.error == f"RuntimeError: {told}"
    assert planned.statistics.waves[0].failed == 1


def leaves_once(table: Any, folder: str) -> int:
    import sys
    from pathlib import Path

    try:
        (Path(folder) / str(table.column("a")[0])).touch(exist_ok=False)
    except FileExistsError:
        return int(table.num_rows)
    sys.exit("not yet")


def test_a_slice_whose_task_exits_once_is_run_again(executor: SluiceExecutor, tmp_path: Path) -> None:
    assert sum(executor.map(leaves_once, "s3://data/one.csv", slices=2, extra_args=[str(tmp_path)]).result()) == ROWS


@pytest.mark.parametrize("kind", ["exit", "interrupt"])
def test_a_reducer_that_ends_its_process_is_an_error(executor: SluiceExecutor, kind: str) -> None:
    def reduce(results: list[int]) -> None:
        raise raised(kind)

    with pytest.raises(RuntimeError, match="SystemExit: 0" if kind == "exit" else "KeyboardInterrupt"):
        executor.map_reduce(len, "s3://data/one.csv", reduce, slices=2).result()


class Exits:
    """A task that ends the process that is about to load it."""

    def __reduce__(self) -> Any:
        return sys.exit, (3,)

    def __call__(self, table: Any) -> None:
        """Is never reached."""


def test_a_task_that_exits_as_it_is_loaded_fails_its_slice(executor: SluiceExecutor) -> None:
    with pytest.raises(RuntimeError, match="SystemExit: 3"):
        executor.map(Exits(), "s3://data/one.csv", slices=1, name="exits").result()


@pytest.mark.parametrize("error", [SystemExit(0), KeyboardInterrupt()], ids=["exit", "interrupt"])
def test_a_worker_that_exits_outside_of_a_task_is_one_that_died(executor: SluiceExecutor, error: BaseException) -> None:
    def work(error: BaseException) -> None:
        raise error

    (future,) = executor.lanes.submit(work, [(error,)], Options(), None)
    ended: Any = eventually(lambda: executor.lanes.poll([future]), 60.0, "the worker to end")
    (died,) = ended.values()
    assert isinstance(died, RuntimeError)
    assert str(died).startswith(type(error).__name__)
