"""Maps in which something goes wrong: workers killed, slow, out of memory. Every slice has exactly one result all the same."""

from __future__ import annotations

import os
import socket
import threading
from pathlib import Path
from typing import Any

import pytest

from infra.objects.s3 import S3Store
from infra.runtime.lithops import SluiceExecutor
from infra.runtime.planner_client import Ports
from tests.conftest import eventually
from tests.e2e.test_lithops_map import (
    CONTENT,
    ROWS,
    WHOLE,
    catalog,
    configured,
    executor,
    known,
    objects,
    profiles,
    started,
    total,
)

__all__ = ["catalog", "executor", "known", "objects", "profiles", "started"]
pytestmark = pytest.mark.filterwarnings("ignore:Exception ignored in")  # pipes of Lithops' runner, when it is killed


def dies_once(table: Any, folder: str, victim: str) -> int:
    import os
    import signal
    import time
    from pathlib import Path

    if 0 in table.column("a").to_pylist():
        try:
            (Path(folder) / "died").touch(exist_ok=False)
        except FileExistsError:
            return total(table)
        os.kill(os.getpid() if victim == "worker" else os.getppid(), signal.SIGKILL)
        time.sleep(0.2)
    return total(table)


@pytest.mark.parametrize("victim", ["worker", "its parent"])
def test_a_worker_killed_in_mid_map_costs_nothing_but_time(executor: SluiceExecutor, tmp_path: Path, victim: str) -> None:
    planned = executor.map(dies_once, "s3://data/one.csv", slices=4, workers=2, extra_args=[str(tmp_path), victim])
    results = planned.result()
    assert (tmp_path / "died").exists()
    assert len(results) == 4
    assert sum(results) == WHOLE
    assert planned.statistics is not None
    assert sum(ran.slices for ran in planned.statistics.ran) == 4
    if victim == "worker":
        assert any(ran.lost for ran in planned.statistics.ran)
        assert sum(wave.failed for wave in planned.statistics.waves) == 1
        assert any(ran.retries for ran in planned.statistics.ran)


def fails_once(table: Any, folder: str) -> int:
    from pathlib import Path

    try:
        (Path(folder) / str(table.column("a")[0])).touch(exist_ok=False)
    except FileExistsError:
        return total(table)
    raise OSError("a network that is not there for a moment")


def test_a_slice_that_fails_once_is_run_again(executor: SluiceExecutor, tmp_path: Path) -> None:
    assert sum(executor.map(fails_once, "s3://data/one.csv", slices=2, extra_args=[str(tmp_path)]).result()) == WHOLE


def hungry(table: Any, rows: int) -> int:
    import resource
    from pathlib import Path

    limit = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize() + (64 << 20)
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (limit, before[1]))
    try:
        bytearray((128 << 20) * table.num_rows // rows)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
    return total(table)


def test_a_slice_that_runs_out_of_memory_is_cut(executor: SluiceExecutor) -> None:
    planned = executor.map(hungry, "s3://data/one.csv", workers=1, extra_args=[ROWS // 4])
    before = len(planned)
    results = planned.result()
    assert sum(results) == WHOLE
    assert len(results) == len(planned) > before
    assert sum(part.units for part in planned.slices) == ROWS
    assert "ran out of memory and cut into" in planned.plan.explanation
    assert planned.statistics is not None
    assert sum(wave.out_of_memory for wave in planned.statistics.waves) > 0
    with pytest.raises(MemoryError):
        executor.map(hungry, "s3://data/one.csv", slices=1, extra_args=[ROWS // 4]).result()


def killed_when_large(table: Any, rows: int) -> int:
    import os
    import signal

    if table.num_rows > rows:  # as the system does to what takes too much memory
        os.kill(os.getpid(), signal.SIGKILL)
    return total(table)


def test_a_slice_that_workers_are_killed_at_is_cut_and_its_size_is_learnt(executor: SluiceExecutor) -> None:
    planned = executor.map(killed_when_large, "s3://data/one.csv", workers=1, extra_args=[ROWS // 4])
    assert sum(planned.result()) == WHOLE
    assert sum(part.units for part in planned.slices) == ROWS
    assert "ran out of memory and cut into" in planned.plan.explanation
    assert planned.statistics is not None
    dead = [wave for wave in planned.statistics.waves if wave.out_of_memory]
    assert dead
    assert all(wave.slice_bytes > len(CONTENT) // 8 for wave in dead), "what it died of, not what others lived with"


def test_a_reduction_is_planned_by_the_same_arguments_and_sees_a_map_that_fails(executor: SluiceExecutor) -> None:
    one = "s3://data/one.csv"
    reduced = executor.map_reduce(
        total, one, sum, map_runtime_memory=1024, slices=3, workers=1, deadline=500.0, objective="cost", spawn_reducer=20
    )
    assert (reduced.plan.memory_mb, reduced.plan.slices, reduced.plan.workers) == (1024, 3, 1)
    assert (reduced.plan.deadline_s, reduced.plan.objective, reduced.plan.feasible) == (500.0, "cost", True)
    assert executor.get_result(reduced) == WHOLE
    cut = executor.map_reduce(hungry, one, sum, extra_args=[ROWS // 4], workers=1)
    assert cut.result() == WHOLE
    assert len(cut) > 1
    with pytest.raises(ValueError, match="seven"):
        executor.map_reduce(seven, one, len, slices=2).result()
    late = executor.map_reduce(total, one, sum, slices=2, deadline=0.001)
    assert not late.plan.feasible
    assert late.result() == WHOLE


def test_reductions_without_a_planner_run_unplanned(objects: S3Store, catalog: Any, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with SluiceExecutor(sluice=configured(objects, tmp_path), config={}, url=url, progress=False) as silenced:
            reduced = silenced.map_reduce(total, "s3://data/one.csv", sum)
            assert reduced.plan.basis == "unplanned"
            assert reduced.result() == WHOLE


def hangs_once(table: Any, folder: str) -> int:
    import os
    import time
    from pathlib import Path

    if 0 in table.column("a").to_pylist():
        try:
            with (Path(folder) / "hung").open("x") as file:
                file.write(str(os.getpid()))
        except FileExistsError:
            return total(table)
        time.sleep(600)
    return total(table)


def test_a_straggler_is_overtaken_and_ended(executor: SluiceExecutor, tmp_path: Path) -> None:
    results = executor.map(hangs_once, "s3://data/one.csv", slices=4, workers=2, extra_args=[str(tmp_path)]).result()
    assert len(results) == 4
    assert sum(results) == WHOLE
    process = int((tmp_path / "hung").read_text())
    eventually(lambda: _gone(process), what="the straggler to be gone")


def sleeps(table: Any, folder: str) -> None:
    import os
    import time
    from pathlib import Path

    (Path(folder) / str(os.getpid())).touch()
    time.sleep(600)


def test_a_map_that_is_given_up_leaves_nobody_at_work_and_nothing_behind(
    objects: S3Store, catalog: Any, profiles: Any, tmp_path: Path
) -> None:
    config, folder = configured(objects, tmp_path / "lake"), tmp_path / "at-work"
    folder.mkdir()
    ports = Ports(catalog, profiles, objects, config.settings)
    with SluiceExecutor(sluice=config, config={}, ports=ports, progress=False) as executor:
        executor.map(sleeps, "s3://data/one.csv", slices=2, workers=2, extra_args=[str(folder)], into="s3://made/given-up")
        eventually(lambda: len(list(folder.iterdir())) == 2, what="both workers to be at work")
        storage, bucket = executor.storage, executor.storage.bucket
    processes = [int(file.name) for file in folder.iterdir()]
    eventually(lambda: all(map(_gone, processes)), what="the workers to be gone")
    assert not [key for key in storage.list_keys(bucket, "lithops.jobs") if executor.executor_id in key]


def _gone(process: int) -> bool:
    """Whether it has ended, if only as a zombie."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def waits(table: Any, folder: str) -> int:
    import time
    from pathlib import Path

    while 0 in table.column("a").to_pylist() and not (Path(folder) / "go").exists():
        time.sleep(0.02)
    return int(table.num_rows)


def test_results_come_as_slices_end(executor: SluiceExecutor, tmp_path: Path) -> None:
    planned = executor.map(waits, "s3://data/one.csv", slices=4, workers=2, extra_args=[str(tmp_path)])
    streamed = planned.as_completed()
    part, rows = next(streamed)
    assert part.number > 0
    assert not planned.done
    (tmp_path / "go").touch()
    assert rows + sum(rows for _, rows in streamed) == ROWS
    assert list(planned) == planned.result()


def table_of(table: Any) -> Any:
    return table


def test_results_become_objects_or_none_of_them(executor: SluiceExecutor, objects: S3Store, tmp_path: Path) -> None:
    written = executor.map(
        table_of, "s3://data/one.csv", slices=2, columns=["b"], where=[("a", "<", 100)], into="s3://made/x"
    ).result()
    assert [one.rows for one in written] == [100, 0]
    assert [one.key for one in written] == sorted(info.key for info in objects.list("made", "x/"))
    with pytest.raises(ValueError, match="seven"):
        executor.map(seven, "s3://data/one.csv", slices=4, into="s3://made/y").result()
    assert not list(objects.list("made", "y/"))


def seven(table: Any) -> Any:
    if 7 in table.column("a").to_pylist():
        raise ValueError("seven")
    return table


def test_reductions_run_in_a_worker_for_all_or_each_object(executor: SluiceExecutor) -> None:
    def where(results: list[int], more: int) -> tuple[int, int]:
        import os

        return os.getpid(), sum(results) + more

    pair = ["s3://data/one.csv", "s3://data/more/two.csv"]
    reduced = executor.map_reduce(total, pair[0], where, None, None, [1], slices=2)
    process, value = executor.get_result()
    assert reduced.result() == (process, value)
    assert (process != os.getpid(), value) == (True, WHOLE + 1)
    by_key = executor.map_reduce(total, pair, where, extra_args_reduce=[0], obj_reduce_by_key=True, slices=2).result()
    assert [value for _, value in by_key] == [WHOLE, WHOLE]


def test_a_planner_that_does_not_answer_does_not_hold_up_the_map_and_nothing_is_left(
    objects: S3Store, catalog: Any, tmp_path: Path
) -> None:
    threads = threading.active_count()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with SluiceExecutor(sluice=configured(objects, tmp_path), config={}, url=url, progress=False) as silenced:
            planned = silenced.map(total, "s3://data/one.csv")
            assert planned.plan.basis == "unplanned"
            assert sum(planned.result()) == WHOLE
            storage, bucket = silenced.storage, silenced.storage.bucket
    assert not [key for key in storage.list_keys(bucket, "lithops.jobs") if silenced.executor_id in key]
    eventually(lambda: threading.active_count() <= threads, what="Lithops' threads to end")
