"""Staging over a running lake, by real Lithops: what comes out is what went in, worked on; all of it or nothing."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from events.errors import Reject
from functions.tables.aggregate import value_of
from infra.config import Config, Planner
from infra.console.client import Client
from infra.runtime.journal import Written
from infra.runtime.lithops import SluiceExecutor
from infra.staging import operations
from infra.staging.inputs import objects_of, schema_of
from infra.staging.operations import Output
from tests.conftest import eventually

ROWS = 3000
CSV = b"n,band,flux\n" + b"".join(b"%d,%s,%d.25\n" % (n, b"gr"[n % 2 : n % 2 + 1], n) for n in range(ROWS))
LINES = b"".join(b'{"n": %d, "extra": true}\n' % n for n in range(ROWS, ROWS + 10))


@pytest.fixture
def executor(sluice: Any) -> Iterator[SluiceExecutor]:
    store = sluice.store()
    store.ensure("lake")
    store.write("lake", "in/a.csv", CSV)
    store.write("lake", "in/b.jsonl", LINES)
    store.close()
    eventually(lambda: sluice.settled() and len(sluice.get("/catalog", bucket="lake")["entries"]) == 2, what="the inputs")
    config = Config(data=str(sluice.folder), planner=Planner(max_workers=2, memory_mb=[512]))
    with SluiceExecutor(sluice=config, config={"localhost": {"runtime": sys.executable}}, progress=False) as executor:
        yield executor


def rows(executor: SluiceExecutor, made: list[Written]) -> list[dict[str, Any]]:
    read = [executor.objects.read(one.bucket, one.key, 0, one.size, etag=one.etag) for one in made]
    return [row for data in read for row in parquet.read_table(pa.BufferReader(data)).to_pylist()]


def test_every_operation_over_a_lake(executor: SluiceExecutor, sluice: Any) -> None:
    a, both = ["s3://lake/in/a.csv"], ["s3://lake/in/a.csv", "s3://lake/in/b.jsonl"]
    out = Output("s3://lake/out", dataset="some")
    with Client(sluice.endpoints["http"]) as api:
        assert objects_of(api, ["s3://lake/in/"]) == both
        bright = operations.filter(executor, a, out, where=[("flux", ">=", 1000.0)], sql="n % 3 = 0", slices=3)
        assert [row["n"] for row in rows(executor, bright.objects)] == [n for n in range(1000, ROWS) if n % 3 == 0]
        assert objects_of(api, ["some"]) == [f"s3://lake/{one.key}" for one in bright.objects]

        few = operations.repartition(executor, objects_of(api, ["some"]), out, parts=4)
        assert [one.rows for one in few.objects] == [166, 167, 166, 167]
        assert rows(executor, few.objects) == rows(executor, bright.objects)
        assert objects_of(api, ["some"]) == [f"s3://lake/{one.key}" for one in few.objects], "the data set has the new objects"
        assert not list(executor.objects.list("sluice", "staging/"))

        (made,) = operations.aggregate(
            executor, a, Output("s3://lake/out"), values=[value_of("n=count(*)"), value_of("avg(flux)")], by=["band"], slices=3
        ).objects
        assert rows(executor, [made]) == [
            {"band": "g", "n": 1500, "avg_flux": 1499.25},
            {"band": "r", "n": 1500, "avg_flux": 1500.25},
        ]
        united = operations.union(executor, both, Output("s3://lake/out"), schema=schema_of(api, both), slices=2)
        assert rows(executor, united.objects)[-1] == {"n": ROWS + 9, "band": None, "flux": None, "extra": True}
        assert united.rows == ROWS + 10

        eventually(lambda: _origin(sluice, few.objects[0]), what="lineage")
        (activity,) = _origin(sluice, few.objects[0])
        assert activity["function"] == "repartition"
        assert {used["entity"] for used in activity["used"]} <= {f"s3://lake/{one.key}" for one in bright.objects}


def _origin(sluice: Any, one: Written) -> list[Any]:
    return [each for each in sluice.get(f"/lineage/{one.bucket}/{one.key}")["origin"] if each["function"] == "repartition"]


def test_what_fails_leaves_nothing(executor: SluiceExecutor, sluice: Any) -> None:
    with pytest.raises(Reject, match="the query fails"):
        operations.filter(
            executor, ["s3://lake/in/a.csv"], Output("s3://lake/half", dataset="half"), sql="flux / nothing", slices=2
        )
    assert not list(executor.objects.list("lake", "half/"))
    assert not sluice.get("/data-sets", filter="name = 'half'")["resources"]
