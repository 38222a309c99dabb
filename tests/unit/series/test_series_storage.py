"""The embedded store's files: what a crash, a damaged disk, late points and time do to them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import duckdb
import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from events.errors import Retry
from infra.series import segments
from infra.series.batch import Batch, Series, series
from infra.series.buffer import Buffer
from infra.series.embedded import EmbeddedSeries
from infra.series.retention import DAY, HOUR, Retention
from infra.series.run import Run, merge
from infra.series.store import Select

RETENTION = Retention(7, 30, 365)
NOW = time.time_ns() // 1_000_000
START = NOW // HOUR * HOUR - 4 * HOUR
NAME = series("m_x", {"host": "a"})


def batch(*values: float, start: int = START, step: int = 1000, name: Series = NAME) -> Batch:
    return Batch.of([(name, start + place * step, value) for place, value in enumerate(values)])


@pytest.fixture
def opened(objects, tmp_path):
    """Opens the store, again and again; every one is closed at the end."""
    made: list[EmbeddedSeries] = []

    def open_(hot_points: int = 10**6) -> EmbeddedSeries:
        made.append(EmbeddedSeries(objects, "series", tmp_path / "series", RETENTION, hot_points))
        return made[-1]

    yield open_
    for each in made:
        each.close()


def values(store: EmbeddedSeries, name: Series = NAME) -> list[float]:
    return [value for found in store.range(Select(*name), 0, NOW + DAY) for value in found.value.tolist()]


def replayed(folder: Path) -> list[Batch]:
    buffer = Buffer(folder, lambda _: None)
    found = list(buffer.replay())
    buffer.start()
    buffer.close()
    return found


def test_the_buffer_gives_back_what_was_durable(tmp_path):
    applied: list[Batch] = []
    buffer = Buffer(tmp_path, applied.append)
    buffer.start()
    for future in [buffer.append(batch(float(number))) for number in range(20)]:
        future.result(10)
    assert buffer.rotate(lambda: None).result(10) == 1
    buffer.append(batch(99.0)).result(10)
    buffer.close()
    assert [each.value.tolist() for each in applied] == [*([float(number)] for number in range(20)), [99.0]]
    found = replayed(tmp_path)
    assert [each.value.tolist() for each in found] == [each.value.tolist() for each in applied]
    assert found[0].series == [NAME]


@pytest.mark.parametrize("cut", [1, 7, 9, 30])
def test_a_torn_record_ends_the_file_and_nothing_else(tmp_path, cut):
    buffer = Buffer(tmp_path, lambda _: None)
    buffer.start()
    for number in range(3):
        buffer.append(batch(float(number))).result(10)
    buffer.close()
    file = tmp_path / "00000001.log"
    os.truncate(file, file.stat().st_size - cut)
    assert [each.value.tolist() for each in replayed(tmp_path)] == [[0.0], [1.0]]


def test_a_damaged_record_is_no_point(tmp_path):
    buffer = Buffer(tmp_path, lambda _: None)
    buffer.start()
    for number in range(2):
        buffer.append(batch(float(number))).result(10)
    buffer.close()
    file = tmp_path / "00000001.log"
    content = bytearray(file.read_bytes())
    content[-5] ^= 1
    file.write_bytes(content)
    assert [each.value.tolist() for each in replayed(tmp_path)] == [[0.0]]


def test_a_full_disk_is_told_and_the_next_write_goes_on(tmp_path, monkeypatch):
    buffer = Buffer(tmp_path, lambda _: None)
    buffer.start()
    buffer.append(batch(1.0)).result(10)
    real = os.write

    def full(fd: int, data: bytes) -> int:
        real(fd, bytes(data)[:5])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="No space"):
        buffer.append(batch(2.0)).result(10)
    monkeypatch.undo()
    buffer.append(batch(3.0)).result(10)
    buffer.close()
    assert [each.value.tolist() for each in replayed(tmp_path)] == [[1.0], [3.0]]


def test_what_was_written_is_there_after_kill_9(opened, objects, tmp_path):
    script = (
        "import sys, time; from pathlib import Path\n"
        "from infra.series.batch import Batch, Series; from infra.series.buffer import Buffer\n"
        f"buffer = Buffer(Path({str(tmp_path / 'series' / 'buffer')!r}), lambda _: None); buffer.start()\n"
        "for n in range(10**6):\n"
        f"    buffer.append(Batch.of([(Series('m_x', (('host', 'a'),)), {START} + n, float(n))])).result()\n"
        "    print(n, flush=True)"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        for _ in range(200):
            last = int(writer.stdout.readline())
        writer.kill()
        last = max([last, *(int(line) for line in writer.stdout.read().splitlines())])
    found = values(opened())
    assert found == [float(number) for number in range(len(found))]
    assert len(found) > last


def test_a_store_opens_as_it_was(opened):
    store = opened()
    store.write(batch(1.0, 2.0)).result(10)
    store.flush()
    store.write(batch(3.0, start=START + 5000)).result(10)
    store.write(batch(7.0, name=series("other"))).result(10)
    store.close()
    again = opened()
    assert values(again) == [1.0, 2.0, 3.0]
    assert [each.metric for each in again.series()] == ["m_x", "other"]
    assert again.last(Select(*NAME))[0].value.tolist() == [3.0]


def test_segments_are_one_an_hour_and_any_reader_of_parquet_reads_them(opened, objects, tmp_path):
    store = opened()
    written = [0.1, 2.25, 1 / 3, -4.0, 1e-12]
    store.write(batch(*written, step=HOUR // 2)).result(10)
    store.write(batch(5.0, -0.0, name=series("m_y"))).result(10)
    store.flush()
    keys = [each.key for each in objects.list("series", "raw/")]
    assert [key.split("/")[1] for key in keys] == [str(np.datetime64(START + n * HOUR, "ms"))[:13] for n in range(3)]
    for key in keys:
        (tmp_path / Path(key).name).write_bytes(b"".join(objects.stream("series", key)))
    sql = "SELECT metric, tags, coalesce(value, scaled / pow(10, scale)) FROM read_parquet(?) ORDER BY metric, tags, time"
    rows = duckdb.execute(sql, [[str(tmp_path / Path(key).name) for key in keys]]).fetchall()
    assert rows == [*(("m_x", "host=a", value) for value in written), ("m_y", "", 5.0), ("m_y", "", -0.0)]


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.floats(allow_nan=False, allow_infinity=False) | st.decimals(-(10**6), 10**6, places=3).map(float), min_size=1)
)
def test_every_value_is_kept_to_the_last_bit(tmp_path_factory, found):
    value = np.array(found)
    run = Run.of(np.zeros(len(found), np.int64), START + np.arange(len(found)), value)
    file = tmp_path_factory.mktemp("segment") / "one.parquet"
    file.write_bytes(segments.encode(run, [NAME]))
    reader = segments.Reader()
    back = reader.read(file, {NAME: 0})
    reader.close()
    assert back.value.tobytes() == value.tobytes()
    assert back.time.tolist() == run.time.tolist()


def test_tags_of_any_form_have_a_text():
    for tags in ((), (("a", "b"),), (("a,=\\", "\\"), ("ü", "=,,"))):
        assert segments.tags_of(segments.tag_text(tags)) == tags


def test_cold_segments_answer_like_hot_ones(opened):
    random = np.random.default_rng(5)
    hot = opened()
    for host in "abc":
        name = series("m_x", {"host": host, "zone": "ab"[host == "c"]})
        hot.write(batch(*random.normal(size=500).tolist(), name=name, step=20_000)).result(10)
    hot.flush()
    hot.close()
    cold = opened(hot_points=0)
    warm = opened()
    for ask in (
        lambda store: store.range(Select("m_x", (("host", "b"),)), START + HOUR, START + 2 * HOUR),
        lambda store: store.aggregate(Select("m_x"), START, START + 3 * HOUR, 600_000, "avg", ["zone"]),
        lambda store: store.last(Select("m_x")),
        lambda store: store.rate(Select("m_x"), START, START + 3 * HOUR, 600_000),
    ):
        mine, its = ask(cold), ask(warm)
        assert [each.shown() for each in mine] == [each.shown() for each in its] != []


def test_pieces_of_an_hour_are_put_together_and_the_old_ones_go(opened, objects):
    store = opened()
    for piece in range(3):
        store.write(batch(*range(10), start=START + piece * 60_000)).result(10)
        store.flush()
    store.write(batch(99.0)).result(10)  # a point that is there already
    assert store.status()["segments"] == 3
    store.maintain(NOW)
    assert store.status()["segments"] == 1
    assert values(store)[:3] == [99.0, 1.0, 2.0]
    assert len(values(store)) == 30
    store.maintain(NOW)  # the round after
    assert len(list(objects.list("series", "raw/"))) == 1
    assert len(list(objects.list("series", "series/"))) == 1
    store.close()
    assert len(values(opened(0))) == 30


def test_what_is_too_old_is_deleted(opened, objects):
    store = opened()
    store.write(batch(1.0)).result(10)
    store.write(Batch.of([(Series("m_x:1h_sum", NAME.tags), START, 1.0)])).result(10)
    store.maintain(NOW)
    later = START + HOUR + 7 * DAY
    store.maintain(later)
    store.maintain(later)
    assert [each.key.split("/")[0] for each in objects.list("series") if each.key.endswith("parquet")] == ["1h", "series"]
    store.maintain(START + 31 * DAY)
    assert store.status()["segments"] == 0


def test_a_store_that_is_away_loses_nothing(opened, objects, monkeypatch):
    store = opened()
    store.write(batch(1.0)).result(10)

    def away(*_: object, **__: object) -> None:
        raise Retry("the store is away")

    monkeypatch.setattr(objects, "write", away)
    with pytest.raises(Retry):
        store.flush()
    store.write(batch(2.0, start=START + 1000)).result(10)
    assert values(store) == [1.0, 2.0]
    monkeypatch.undo()
    store.flush()
    assert values(store) == [1.0, 2.0]
    store.close()
    assert values(opened()) == [1.0, 2.0]


def test_leftovers_of_a_crash_go_and_strangers_stay(opened, objects):
    store = opened()
    store.write(batch(1.0)).result(10)
    store.flush()
    store.close()
    objects.write("series", "raw/2020-01-01T00/00000099.parquet", b"left")
    objects.write("series", "raw/notes.txt", b"a stranger's")
    again = opened()
    keys = [each.key for each in objects.list("series")]
    assert "raw/2020-01-01T00/00000099.parquet" not in keys
    assert "raw/notes.txt" in keys
    assert values(again) == [1.0]


def test_points_in_a_lost_folder_do_not_take_new_ones_along(opened, objects, tmp_path):
    """The buffer's numbers go on where the manifest says, even in an empty folder."""
    store = opened()
    for number in range(3):
        store.write(batch(float(number), start=START + number)).result(10)
        store.flush()
    store.close()
    for file in (tmp_path / "series" / "buffer").iterdir():
        file.unlink()
    again = opened()
    again.write(batch(9.0, start=START + 10)).result(10)
    again.close()
    assert values(opened()) == [0.0, 1.0, 2.0, 9.0]


def test_runs_that_overlap_keep_the_later_write():
    first = Run.of(np.array([1, 0, 1]), np.array([5, 5, 6]), np.array([1.0, 2.0, 3.0]))
    second = Run.of(np.array([1, 1]), np.array([4, 6]), np.array([8.0, 9.0]))
    both = merge([first, second])
    assert (both.ids.tolist(), both.starts.tolist()) == ([0, 1], [0, 1, 4])
    assert (both.time.tolist(), both.value.tolist()) == ([5, 4, 5, 6], [2.0, 8.0, 1.0, 9.0])


def test_a_batch_survives_its_bytes():
    made = Batch.of([(NAME, -5, 1.5), (series("ü"), 2**52, -0.0), (NAME, 1, 1e300)])
    back = Batch.decode(made.encode())
    assert back.series == made.series
    assert (back.which.tolist(), back.time.tolist(), back.value.tolist()) == ([0, 1, 0], [-5, 2**52, 1], [1.5, -0.0, 1e300])
    with pytest.raises((msgspec.MsgspecError, ValueError)):
        Batch.decode(b"\x94garbage")
