"""What every store of series must do: the embedded one, and VictoriaMetrics."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest

from events.errors import Reject
from infra.series.batch import Batch, Series, series
from infra.series.embedded import EmbeddedSeries
from infra.series.retention import DAY, HOUR, Retention
from infra.series.rollup import Rollup
from infra.series.store import Points, Select, SeriesStore
from infra.series.victoria import VictoriaSeries
from infra.series.windows import Function
from tests.conftest import eventually, free_port, need

RETENTION = Retention(7, 30, 365)
NOW = time.time_ns() // 1_000_000
#: A whole hour, some hours ago: where the points of these tests start.
START = NOW // HOUR * HOUR - 4 * HOUR


@pytest.fixture(scope="module")
def victoria(tmp_path_factory) -> Iterator[str]:
    """The URL of a VictoriaMetrics of its own."""
    need("victoria-metrics")
    folder, port = tmp_path_factory.mktemp("victoria"), free_port()
    command = [
        "victoria-metrics", f"-storageDataPath={folder}", f"-httpListenAddr=127.0.0.1:{port}", "-retentionPeriod=365d",
        "-search.latencyOffset=0s", "-dedup.minScrapeInterval=1ms", "-loggerLevel=ERROR",
    ]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"

    def up() -> bool:
        try:
            return httpx.get(f"{url}/health", trust_env=False).is_success
        except httpx.HTTPError:
            return False

    try:
        eventually(up, 20, "VictoriaMetrics to start")
        yield url
    finally:
        process.terminate()
        process.wait(10)


@pytest.fixture(params=["embedded", pytest.param("victoria", marks=pytest.mark.server)])
def store(request, tmp_path: Path) -> Iterator[SeriesStore]:
    """An open store. The server is one for all tests, so each test has metrics of its own."""
    made: SeriesStore
    if request.param == "victoria":
        made = VictoriaSeries(request.getfixturevalue("victoria"), RETENTION)
    else:
        made = EmbeddedSeries(request.getfixturevalue("objects"), "series", tmp_path, RETENTION)
    yield made
    made.close()


def write(store: SeriesStore, *points: tuple[Series, int, float]) -> None:
    """Written and visible."""
    store.write(Batch.of(list(points))).result(30)
    store.flush()


def plain(found: list[Points]) -> list[tuple[dict, list]]:
    return [
        (dict(each.tags), [(int(at) - START, pytest.approx(value)) for at, value in zip(each.time, each.value, strict=True)])
        for each in found
    ]


def line(metric: str, host: str, values: list[float], step: int = 10_000) -> list[tuple[Series, int, float]]:
    """A series with a value every ``step`` ms."""
    return [(series(metric, {"host": host}), START + place * step, value) for place, value in enumerate(values)]


def test_points_come_back_as_they_were_written(store):
    values = [1.5, -2.25, 0.0, 1e-7, 123456.789]
    write(store, *line("whole", "a", values), *line("whole", "b", [7.0]))
    found = store.range(Select("whole"), START, START + DAY)
    assert plain(found) == [
        ({"host": "a"}, [(place * 10_000, value) for place, value in enumerate(values)]),
        ({"host": "b"}, [(0, 7.0)]),
    ]
    assert plain(store.range(Select("whole", (("host", "a"),)), START + 10_000, START + 20_000)) == [
        ({"host": "a"}, [(10_000, -2.25)])
    ]
    assert store.range(Select("whole", (("host", "z"),)), START, START + DAY) == []


def test_names_of_any_form(store):
    odd = series('odd "name" ü=,\\', {"a tag-1": 'v="1",\\', "9é": "日本"})
    write(store, (odd, START, 1.0), (series('odd "name" ü=,\\', {"a tag-1": "other"}), START, 2.0))
    select = Select(odd.metric, odd.tags)
    assert [(each.metric, each.tags) for each in store.range(select, START, START + 1)] == [(odd.metric, odd.tags)]
    assert store.series(odd.metric, odd.tags) == [odd]
    found = store.aggregate(Select(odd.metric), START, START + HOUR, HOUR, "max", ["9é"])
    assert plain(found) == [({}, [(0, 2.0)]), ({"9é": "日本"}, [(0, 1.0)])]


def test_a_point_written_again_counts_once(store):
    write(store, *line("again", "a", [1.0, 2.0, 3.0]))
    write(store, *line("again", "a", [1.0, 2.0, 3.0]))
    assert plain(store.aggregate(Select("again"), START, START + HOUR, HOUR, "count")) == [({"host": "a"}, [(0, 3.0)])]
    assert len(store.range(Select("again"), START, START + HOUR)[0].time) == 3


def test_the_last_value_is_that_of_the_latest_time(store):
    write(store, *line("latest", "a", [1.0, 2.0, 3.0]), *line("latest", "b", [9.0]))
    write(store, (series("latest", {"host": "a"}), START + 5_000, 77.0))
    assert plain(store.last(Select("latest"))) == [({"host": "a"}, [(20_000, 3.0)]), ({"host": "b"}, [(0, 9.0)])]
    assert store.last(Select("latest", (("host", "c"),))) == []


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        ("avg", [2.0, 4.5]),
        ("min", [1.0, 4.0]),
        ("max", [3.0, 5.0]),
        ("sum", [6.0, 9.0]),
        ("count", [3.0, 2.0]),
        ("last", [3.0, 5.0]),
    ],
)
def test_intervals_are_closed_on_the_left(store, function, expected):
    write(store, *line(f"steps_{function}", "a", [1.0, 2.0, 3.0, 4.0, 5.0]))
    found = store.aggregate(Select(f"steps_{function}"), START + 1, START + 40_001, 30_000, function)
    assert plain(found) == [({"host": "a"}, [(0, expected[0]), (30_000, expected[1])])]


@pytest.mark.parametrize(("function", "expected"), [("avg", 2.25), ("min", 1.0), ("max", 4.0), ("sum", 9.0), ("count", 4.0)])
def test_groups_are_of_all_points_with_the_tag(store, function, expected):
    metric = f"zones_{function}"
    points = [("a", "1", [1.0, 2.0, 4.0]), ("b", "1", [2.0]), ("c", "2", [8.0])]
    write(store, *((series(metric, {"host": host, "zone": zone}), START + place * 1000, value)
                   for host, zone, values in points for place, value in enumerate(values)))  # fmt: skip
    found = store.aggregate(Select(metric), START, START + HOUR, HOUR, function, ["zone"])
    assert plain(found)[0] == ({"zone": "1"}, [(0, expected)])
    assert [dict(each.tags) for each in found] == [{"zone": "1"}, {"zone": "2"}]


def test_a_moving_average_looks_back(store):
    write(store, *line("moving", "a", [1.0, 2.0, 3.0, 4.0]))
    found = store.moving_average(Select("moving"), START, START + 60_000, 20_000, 10_000)
    assert plain(found) == [({"host": "a"}, [(0, 1.0), (10_000, 1.5), (20_000, 2.5), (30_000, 3.5), (40_000, 4.0)])]


def test_a_rate_survives_a_counter_that_begins_again(store):
    write(store, *line("counter", "a", [0.0, 10.0, 20.0, 5.0, 15.0, 25.0]))
    found = store.rate(Select("counter"), START, START + 60_000, 30_000)
    assert plain(found) == [({"host": "a"}, [(0, 1.0), (30_000, 25 / 30)])]


def test_what_makes_no_sense_is_refused(store):
    write(store, *line("sense", "a", [1.0]))
    for ask in (
        lambda: store.aggregate(Select("sense"), START, START + HOUR, 0, "avg"),
        lambda: store.aggregate(Select("sense"), START + HOUR, START, 1000, "avg"),
        lambda: store.aggregate(Select("sense"), START, START + DAY, 1, "avg"),
        lambda: store.aggregate(Select("sense"), START, START + HOUR, HOUR, "last", ["host"]),
        lambda: store.moving_average(Select("sense"), START, START + HOUR, 1000, 0),
    ):
        with pytest.raises(Reject):
            ask()


def test_series_are_listed(store):
    write(store, *line("listed", "a", [1.0]), *line("listed", "b", [1.0]), (series("listed_too"), START, 1.0))
    assert store.series("listed") == [series("listed", {"host": "a"}), series("listed", {"host": "b"})]
    assert store.series("listed", (("host", "b"),)) == [series("listed", {"host": "b"})]
    assert {each.metric for each in store.series()} >= {"listed", "listed_too"}


def test_late_points_take_their_place(store):
    write(store, *line("late", "a", [1.0, 2.0], 60_000))
    write(store, (series("late", {"host": "a"}), START + 30_000, 9.0), (series("late", {"host": "a"}), START - HOUR, 5.0))
    assert plain(store.range(Select("late"), START - DAY, START + DAY)) == [
        ({"host": "a"}, [(-HOUR, 5.0), (0, 1.0), (30_000, 9.0), (60_000, 2.0)])
    ]


def test_random_points_give_what_numpy_computes(store):
    random = np.random.default_rng(3)
    hosts, count, step = 20, 400, 30_000
    values = np.round(random.normal(50, 20, (hosts, count)), 3)
    points = [
        (series("random", {"host": f"h{host:02d}", "zone": f"z{host % 3}"}), START + place * step, float(values[host, place]))
        for place in range(count)
        for host in range(hosts)
    ]
    for part in range(0, len(points), 1500):
        store.write(Batch.of(points[part : part + 1500])).result(30)
    store.flush()
    found = store.aggregate(Select("random"), START, START + count * step, 600_000, "avg", ["zone"])
    for zone, each in enumerate(found):
        expected = values[zone::3].reshape(-1, count // 20, 20).mean(axis=(0, 2))
        assert each.value == pytest.approx(expected)
    one = store.range(Select("random", (("host", "h07"),)), START, START + count * step)[0]
    assert one.value.tolist() == values[7].tolist()


def test_rollups_answer_for_what_is_too_old(store):
    rollup = Rollup(store, RETENTION)
    write(store, *line("rolled", "a", [1.0, 2.0, 6.0], 1_200_000), *line("rolled", "b", [4.0]))
    assert rollup.run(NOW) > 0
    rollup.run(NOW)
    assert plain(store.range(Select("rolled:1h_sum"), START, START + HOUR)) == [
        ({"host": "a"}, [(0, 9.0)]),
        ({"host": "b"}, [(0, 4.0)]),
    ]
    later = NOW + 8 * DAY  # the points themselves are too old by then
    expected: dict[Function, float] = {"avg": 13 / 4, "count": 4.0, "min": 1.0, "max": 6.0, "sum": 13.0}
    for function, value in expected.items():
        found = rollup.aggregate(Select("rolled"), START, START + HOUR, 60_000, function, [], later)
        assert plain(found) == [({}, [(0, value)])], function
