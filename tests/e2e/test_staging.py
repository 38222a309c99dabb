"""Staging over a running lake, by real Lithops: what comes out is what went in, worked on; all of it or nothing."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from io import BytesIO
from pathlib import Path
from typing import Any

import cloudpickle
import pyarrow as pa
import pytest
from pyarrow import parquet

from events.errors import Reject
from events.types import ObjectVersion
from functions.formats.format import Slice
from functions.tables.aggregate import value_of
from infra.config import Config, Planner
from infra.console.client import Client, Complaint, Unanswered
from infra.runtime.journal import Place, Written
from infra.runtime.lithops import SluiceExecutor
from infra.runtime.pipeline_lake import Lake
from infra.runtime.results import Target
from infra.staging import operations, parts
from infra.staging.inputs import objects_of, schema_of
from infra.staging.operations import Output
from infra.staging.parts import Gather
from tests.conftest import Sluice, eventually

ROWS = 3000
CSV = b"n,band,flux\n" + b"".join(b"%d,%s,%d.25\n" % (n, b"gr"[n % 2 : n % 2 + 1], n) for n in range(ROWS))
BANDS = b"band,length\ng,477\nz,913\n"
LINES = b"".join(b'{"n": %d, "extra": true}\n' % n for n in range(ROWS, ROWS + 10))


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sluice]:
    """A running lake with the inputs."""
    made = Sluice(tmp_path_factory.mktemp("staging") / "data")
    try:
        made.start()
        store = made.store()
        store.ensure("lake")
        store.write("lake", "in/a.csv", CSV)
        store.write("lake", "in/b.jsonl", LINES)
        store.write("lake", "bands.csv", BANDS)
        store.close()
        eventually(lambda: made.settled() and len(made.get("/catalog", bucket="lake")["entries"]) == 3, what="the inputs")
        yield made
        assert made.stop() == 0
    finally:
        made.close()


@pytest.fixture(scope="module")
def executor(lake: Sluice) -> Iterator[SluiceExecutor]:
    config = Config(data=str(lake.folder), planner=Planner(max_workers=2, memory_mb=[512]))
    with SluiceExecutor(sluice=config, config={"localhost": {"runtime": sys.executable}}, progress=False) as executor:
        yield executor


def rows(executor: SluiceExecutor, made: list[Written]) -> list[dict[str, Any]]:
    read = [executor.objects.read(one.bucket, one.key, 0, one.size, etag=one.etag) for one in made]
    return [row for data in read for row in parquet.read_table(pa.BufferReader(data)).to_pylist()]


def test_data_sets_are_filtered_repartitioned_aggregated_and_united(executor: SluiceExecutor, lake: Sluice) -> None:
    a, both = ["s3://lake/in/a.csv"], ["s3://lake/in/a.csv", "s3://lake/in/b.jsonl"]
    out = Output("s3://lake/out", dataset="some")
    with Client(lake.endpoints["http"]) as api:
        assert objects_of(api, ["s3://lake/in/"]) == both
        bright = operations.filter(executor, a, out, where=[("flux", ">=", 1000.0)], sql="n % 3 = 0", slices=2)
        assert [row["n"] for row in rows(executor, bright.objects)] == [n for n in range(1000, ROWS) if n % 3 == 0]
        assert objects_of(api, ["some"]) == [f"s3://lake/{one.key}" for one in bright.objects]

        few = operations.repartition(executor, objects_of(api, ["some"]), out, parts=4)
        assert [one.rows for one in few.objects] == [166, 167, 166, 167]
        assert rows(executor, few.objects) == rows(executor, bright.objects)
        assert objects_of(api, ["some"]) == [f"s3://lake/{one.key}" for one in few.objects], "the data set has the new objects"
        assert not list(executor.objects.list("sluice", "staging/"))

        (made,) = operations.aggregate(
            executor, a, Output("s3://lake/out"), values=[value_of("n=count(*)"), value_of("avg(flux)")], by=["band"], slices=2
        ).objects
        assert rows(executor, [made]) == [
            {"band": "g", "n": 1500, "avg_flux": 1499.25},
            {"band": "r", "n": 1500, "avg_flux": 1500.25},
        ]
        united = operations.union(executor, both, Output("s3://lake/out"), schema=schema_of(api, both), slices=2)
        assert rows(executor, united.objects)[-1] == {"n": ROWS + 9, "band": None, "flux": None, "extra": True}
        assert united.rows == ROWS + 10

        eventually(lambda: _origin(lake, few.objects[0]), what="lineage")
        (activity,) = _origin(lake, few.objects[0])
        assert activity["function"] == "repartition"
        assert {used["entity"] for used in activity["used"]} <= {f"s3://lake/{one.key}" for one in bright.objects}


def test_tables_are_joined_selected_and_converted(executor: SluiceExecutor) -> None:
    a, out = ["s3://lake/in/a.csv"], Output("s3://lake/out")
    few = operations.join(executor, a, ["s3://lake/bands.csv"], out, on=["band"], slices=2)
    assert few.rows == ROWS // 2
    assert rows(executor, few.objects)[-1] == {"n": ROWS - 2, "band": "g", "flux": ROWS - 1.75, "length": 477}
    names = operations.select(executor, a, Output("s3://lake/out", form="csv"), columns=["flux", "n * 2 AS twice"], slices=1)
    (one,) = names.objects
    assert executor.objects.read(one.bucket, one.key, 0, one.size).splitlines()[:2] == [b'"flux","twice"', b"0.25,0"]
    converted = operations.convert(executor, ["s3://lake/bands.csv"], Output("s3://lake/out", form="jsonl"), slices=1)
    (one,) = converted.objects
    assert executor.objects.read(one.bucket, one.key, 0, one.size) == b'{"band":"g","length":477}\n{"band":"z","length":913}\n'


class DiesOnce(Gather):
    """The second pass of a repartition, one of whose workers is killed."""

    @contextmanager
    def opened(self, place: Place, part: Slice, store: Any) -> Iterator[pa.Table]:
        try:
            (Path(os.environ["DIES_ONCE"]) / "died").touch(exist_ok=False)
        except FileExistsError:
            with super().opened(place, part, store) as table:
                yield table
        else:
            os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.filterwarnings("ignore:Exception ignored in")  # pipes of Lithops' runner, when a worker is killed
def test_a_worker_killed_in_the_second_pass_of_a_repartition_costs_nothing(
    executor: SluiceExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    executor.objects.write("sluice", "staging/abandoned/part-00000.parquet", b"of a client that was killed")
    executor.discard(Target("sluice", "staging/"), until="2026-01-01")
    assert list(executor.objects.list("sluice", "staging/")), "it may still be in use"
    monkeypatch.setattr(operations, "ABANDONED", timedelta(0))
    monkeypatch.setattr(parts, "Gather", DiesOnce)
    cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers have no tests to import it from
    few = operations.repartition(
        executor, ["s3://lake/in/a.csv"], Output("s3://lake/few"), size=4000, slices=1, extra_env={"DIES_ONCE": str(tmp_path)}
    )
    assert (tmp_path / "died").exists()
    assert len(few.objects) > 1
    assert [row["n"] for row in rows(executor, few.objects)] == list(range(ROWS))
    assert len(list(executor.objects.list("lake", "few/"))) == len(few.objects)
    assert not list(executor.objects.list("sluice", "staging/"))


def test_slices_without_rows_make_no_json_lines(executor: SluiceExecutor, lake: Sluice) -> None:
    a, out = ["s3://lake/in/a.csv"], Output("s3://lake/lines", dataset="lines", form="jsonl")
    staged = operations.filter(executor, a, out, where=[("n", ">=", ROWS - 9)], slices=3)
    (one,) = staged.objects
    assert (one.rows, staged.rows, one.key.rpartition("/")[2]) == (9, 9, "part-00002.jsonl"), "parts keep their names"
    with Client(lake.endpoints["http"]) as api:
        assert objects_of(api, ["lines"]) == [f"s3://lake/{one.key}"]
        with pytest.raises(Reject, match="no rows, and jsonl without rows is no object: choose parquet"):
            operations.filter(executor, a, out, where=[("n", "<", 0)], slices=2)
        assert objects_of(api, ["lines"]) == [f"s3://lake/{one.key}"], "the data set is as it was"
    assert [each.key for each in executor.objects.list("lake", "lines/")] == [one.key]
    spread = operations.repartition(executor, ["s3://lake/bands.csv"], Output("s3://lake/spread", form="jsonl"), parts=3)
    assert [each.rows for each in spread.objects] == [1, 1], "of two rows"
    eventually(lambda: lake.get(f"/lineage/lake/{one.key}")["origin"], what="lineage")
    (activity,) = lake.get(f"/lineage/lake/{one.key}")["origin"]
    assert (activity["function"], [used["entity"] for used in activity["used"]]) == ("filter", a)


def test_empty_results_of_any_map_are_no_objects(executor: SluiceExecutor, lake: Sluice) -> None:
    cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers have no tests to import it from
    made = executor.map(nothing_but_late, "s3://lake/in/a.csv", slices=2, into="s3://lake/late", dataset="late").result()
    assert [one.size for one in made] == [0, 4]
    assert [one.key for one in executor.objects.list("lake", "late/")] == [made[1].key]
    with Client(lake.endpoints["http"]) as api:
        assert objects_of(api, ["late"]) == [f"s3://lake/{made[1].key}"]
    with pytest.raises(Reject, match="no object to make the data set never of: all results are empty"):
        executor.map(nothing, "s3://lake/in/a.csv", slices=2, into="s3://lake/never", dataset="never").result()


def nothing_but_late(table: pa.Table) -> bytes:
    return b"" if table["n"][0].as_py() == 0 else b"late"


def nothing(_: pa.Table) -> bytes:
    return b""


def test_columns_without_a_common_type_are_combined_as_text(executor: SluiceExecutor, lake: Sluice) -> None:
    contents = {
        "a.csv": b"w,x,y\n1,1.50,2026-01-01\n20,3,2026-01-02\n",
        "b.csv": b"w,x,y\nmany,2,true\nfew,4,false\n",
        "c.jsonl": b'{"w": [1, 2], "x": 5, "y": null}\n',
    }
    for name, content in contents.items():
        executor.objects.write("lake", f"mixed/{name}", content)
    inputs = [f"s3://lake/mixed/{name}" for name in contents]
    eventually(lambda: len(lake.get("/catalog", bucket="lake", prefix="mixed/", state="ready")["entries"]) == 3, what="inputs")
    with Client(lake.endpoints["http"]) as api:
        for number in range(3):  # in any order
            turned = inputs[number:] + inputs[:number]
            assert [str(one.type) for one in schema_of(api, turned)] == ["string", "double", "string"]
        united = operations.union(executor, inputs, Output("s3://lake/out"), schema=schema_of(api, inputs))
    assert [tuple(row.values()) for row in rows(executor, united.objects)] == [
        ("1", 1.5, "2026-01-01"),
        ("20", 3.0, "2026-01-02"),
        ("many", 2.0, "true"),
        ("few", 4.0, "false"),
        ("[1, 2]", 5.0, None),
    ]


def test_columns_of_any_type_are_combined(executor: SluiceExecutor, lake: Sluice) -> None:
    kinds = pa.schema(
        [
            ("points", pa.list_(pa.int64())),
            ("band", pa.dictionary(pa.int8(), pa.string())),
            ("at", pa.timestamp("us", "UTC")),
            ("price", pa.decimal128(10, 2)),
            ("tags", pa.map_(pa.string(), pa.int8())),
            ("place", pa.struct([("ra", pa.float64())])),
        ]
    )
    row = {
        "points": [1, 2],
        "band": "g",
        "at": datetime(2026, 1, 1, tzinfo=UTC),
        "price": Decimal("1.50"),
        "tags": [("a", 1)],
        "place": {"ra": 0.5},
    }
    for name, rows_ in (("one", [row]), ("two", [row, dict.fromkeys(row)])):
        out = BytesIO()
        parquet.write_table(pa.Table.from_pylist(rows_, kinds), out)
        executor.objects.write("lake", f"deep/{name}.parquet", out.getvalue())
    executor.objects.write("lake", "deep/zoo.jsonl", b'{"points": [3], "place": {"ra": 1, "dec": 2}}\n')
    inputs = [f"s3://lake/deep/{name}" for name in ("one.parquet", "two.parquet", "zoo.jsonl")]
    eventually(lambda: len(lake.get("/catalog", bucket="lake", prefix="deep/", state="ready")["entries"]) == 3, what="inputs")
    with Client(lake.endpoints["http"]) as api:
        united = operations.union(executor, inputs, Output("s3://lake/out"), schema=schema_of(api, inputs))
    nothing = dict.fromkeys(row)
    place = {"place": {"ra": 0.5, "dec": None}}
    assert rows(executor, united.objects) == [
        row | place,
        row | place,
        nothing,
        nothing | {"points": [3], "place": {"ra": 1.0, "dec": 2}},
    ]


def _origin(lake: Sluice, one: Written) -> list[Any]:
    return [each for each in lake.get(f"/lineage/{one.bucket}/{one.key}")["origin"] if each["function"] == "repartition"]


def test_what_fails_leaves_nothing(executor: SluiceExecutor, lake: Sluice) -> None:
    with pytest.raises(Reject, match="the query fails"):
        operations.filter(
            executor, ["s3://lake/in/a.csv"], Output("s3://lake/half", dataset="half"), sql="flux / nothing", slices=2
        )
    assert not list(executor.objects.list("lake", "half/"))
    assert not lake.get("/data-sets", filter="name = 'half'")["resources"]


class Refuses(Lake):
    """A lake that takes no data set."""

    error: Exception = Complaint("no data set of this name")

    def define(self, name: str, results: Sequence[ObjectVersion]) -> None:
        raise self.error


def test_what_the_lake_refuses_is_removed(executor: SluiceExecutor, lake: Sluice, monkeypatch: pytest.MonkeyPatch) -> None:
    cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers have no tests to import it from
    a = ["s3://lake/in/a.csv"]
    with pytest.raises(Reject, match="the lake refused s3://lake/no/"):
        executor.map(cut_off, a, slices=2, into="s3://lake/no", dataset="no").result()
    monkeypatch.setattr(executor, "lake", lambda: Refuses(executor.sluice))
    out = Output("s3://lake/no", dataset="no")
    with pytest.raises(Complaint, match="no data set"):
        operations.aggregate(executor, a, out, values=[value_of("count(*)")])
    with pytest.raises(Complaint, match="no data set"):
        operations.repartition(executor, a, out, parts=2)
    with pytest.raises(Complaint, match="no data set"):
        operations.convert(executor, a, out)
    assert not list(executor.objects.list("lake", "no/"))
    monkeypatch.setattr(Refuses, "error", Unanswered("no answer"))
    with pytest.raises(Unanswered):
        operations.convert(executor, a, out, slices=1)
    assert len(list(executor.objects.list("lake", "no/"))) == 1, "the data set may consist of it"


def cut_off(_: pa.Table) -> bytes:
    return b"PAR1 and no footer"
