"""A small graph of stages with one deadline: dealt out by what is known of each, and said to be impossible where it is."""

from __future__ import annotations

import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from events.types import ObjectDerived
from infra.config import Config, Planner
from infra.runtime.lithops import SluiceExecutor
from infra.runtime.pipeline import Pipeline, PipelineRun, Stage
from tests.conftest import Sluice, eventually

ROWS = 2000


def written(lines: list[str], to: str) -> ObjectDerived:
    """The lines as an object below ``to``, named by what it holds: run again, it is there once."""
    import hashlib

    from events.types import ObjectDerived
    from infra.runtime.derived import address, lake, version

    content = "".join(["n,value\n", *lines]).encode()
    bucket, prefix = address(to)
    with lake() as store:
        made = store.write(bucket, f"{prefix}{hashlib.sha256(content).hexdigest()[:16]}.csv", content, content_type="text/csv")
    return ObjectDerived(of=version(made), result=version(made), function="written")


def squares(table: Any, *, to: str) -> ObjectDerived:
    return written([f"{n},{n * n}\n" for n in table.column("n").to_pylist()], to)


def even(table: Any, *, to: str) -> ObjectDerived:
    return written([f"{row['n']},{row['value']}\n" for row in table.to_pylist() if row["n"] % 2 == 0], to)


def odd(table: Any, *, to: str) -> ObjectDerived:
    return written([f"{row['n']},{row['value']}\n" for row in table.to_pylist() if row["n"] % 2], to)


def tripled(table: Any, *, to: str) -> ObjectDerived:
    return written([f"{row['n']},{3 * row['value']}\n" for row in table.to_pylist()], to)


@pytest.fixture
def lake(sluice: Sluice) -> Sluice:
    with closing(sluice.store()) as store:
        store.ensure("lake")
        store.write("lake", "numbers.csv", b"n,x\n" + b"".join(b"%d,0\n" % n for n in range(ROWS)))
    eventually(sluice.settled, 60, "the object to be ingested")
    return sluice


def test_one_deadline_is_dealt_out_over_a_graph_of_stages(lake: Sluice, tmp_path: Path) -> None:
    options = {"slices": 2, "workers": 2}
    first = Stage(squares, "s3://lake/squares/", options=options)
    left = Stage(even, "s3://lake/even/", after=(first,), options=options)
    right = Stage(odd, "s3://lake/odd/", after=(first,), options=options)
    pipeline = Pipeline([first, left, right, Stage(tripled, "s3://lake/tripled/", after=(left, right), options=options)])
    config = Config(data=str(lake.folder), planner=Planner(max_workers=2, memory_mb=[512]))
    with SluiceExecutor(sluice=config, config={"localhost": {"runtime": sys.executable}}, progress=False) as executor:
        run = pipeline.run(executor, "s3://lake/numbers.csv", deadline=400)
        eventually(lake.settled, 60, "the runs to be learnt")
        ahead = pipeline.forecast(executor, "s3://lake/numbers.csv")
        hurried = pipeline.run(executor, "s3://lake/numbers.csv", deadline=0.02)
    assert results(lake, run) == [(n, 3 * n * n) for n in range(ROWS)]
    assert run.feasible
    assert run.deadline_s == 400
    assert [stage.stage.name for stage in run.stages] == ["squares", "even", "odd", "tripled"]
    begun = 0.0
    for number, stage in enumerate(run.stages):
        assert stage.deadline_s is not None
        assert 0 < stage.deadline_s <= 400 - begun, "no stage gets more than what is left"
        assert stage.deadline_s == pytest.approx((400 - begun) / (4 - number), rel=0.5), "nothing is known: about evenly"
        begun += stage.seconds
    assert all(one.bytes > 0 for one in ahead), "each stage's volume, and"
    assert all(one.time_s is not None for one in ahead), "its time, are predicted from the run before"
    assert not hurried.feasible, "an impossible deadline is said to be one"
    assert results(lake, hurried) == results(lake, run), "and the work is done all the same"


def results(lake: Sluice, run: PipelineRun) -> list[tuple[int, int]]:
    """The rows of what the last stage made, sorted."""
    found = []
    with closing(lake.store()) as store:
        for address in run.results:
            bucket, _, key = address.removeprefix("s3://").partition("/")
            lines = b"".join(store.stream(bucket, key)).decode().splitlines()[1:]
            found += [(int(n), int(value)) for n, value in (line.split(",") for line in lines)]
    return sorted(found)
