"""Time series of a running lake: over HTTP, by events, on the command line, after a crash."""

from __future__ import annotations

import gzip
import json
import os
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

import cramjam
import httpx
import pytest

from tests.conftest import Sluice, eventually

NOW = time.time_ns() // 1_000_000


@pytest.fixture
def sluice(tmp_path: Path):
    """A running lake that makes segments every second."""
    made = Sluice(tmp_path / "data", SLUICE_SERIES_EVERY_S="1", SLUICE_DELIVERY_ATTEMPTS="1")
    try:
        yield made.start()
    finally:
        made.close()


def post(sluice: Sluice, path: str, content: bytes | str, **headers: str) -> httpx.Response:
    return httpx.post(sluice.endpoints["http"] + path, content=content, headers=headers, timeout=30)


def points(sluice: Sluice, metric: str, **asked: object) -> list[list[float]]:
    found = sluice.get("/series/query", metric=metric, fn="raw", **asked)["series"]
    return [point for each in found for point in each["points"]]


def event(number: int, **data: object) -> str:
    return json.dumps({
        "specversion": "1.0", "id": str(number), "source": "/sensors", "type": "dev.sluice.observation.recorded.v1",
        "time": "2020-01-01T00:00:00Z", "data": data,
    })  # fmt: skip


def test_lines_of_both_versions_come_back(sluice):
    assert post(sluice, "/write?db=x&precision=ms", f"m,a=b x=1.5 {NOW}").status_code == 204
    packed = gzip.compress(f"m,a=b x=2.5 {NOW // 1000 - 60}".encode())
    answer = post(sluice, "/api/v2/write?org=o&bucket=b&precision=s", packed, **{"content-encoding": "gzip"})
    assert answer.status_code == 204
    assert points(sluice, "m_x") == [[(NOW // 1000 - 60) * 1000, 2.5], [NOW, 1.5]]
    assert sluice.get("/series")["series"] == [{"metric": "m_x", "tags": {"a": "b"}}]
    assert sluice.get("/series/query", metric="m_x", tag="a=b")["series"][0]["points"] == [[NOW, 1.5]]
    mean = sluice.get("/series/query", metric="m_x", fn="avg", interval="1h", by="", start=NOW - 60_000, end=NOW + 1)
    assert sum(value for each in mean["series"] for _, value in each["points"]) in (2.0, 4.0)  # in one hour, or in two
    text = httpx.get(sluice.endpoints["http"] + "/series/query?metric=m_x&fn=raw&format=csv").text
    assert text.splitlines()[0] == "metric,a,time,value"
    assert text.splitlines()[-1] == f"m_x,b,{NOW},1.5"


def test_a_bad_line_is_told_and_the_others_are_taken(sluice):
    answer = post(sluice, "/write", 'm x=1\nm x=oops\nm y="text",z=2\nm x=1 1\n')
    told = answer.json()
    assert answer.status_code == 400
    assert (told["line"], told["accepted"], told["code"]) == (2, 2, "invalid")
    assert told["error"].startswith("partial write: line 2: ")
    assert [each["line"] for each in told["errors"]] == [2, 3, 4]
    assert {each["metric"] for each in sluice.get("/series")["series"]} == {"m_x", "m_z"}


def test_bodies_that_are_none(standing_sluice):
    for path, content, headers, status in (
        ("/write?precision=years", "m x=1", {}, 400),
        ("/write", b"no gzip", {"content-encoding": "gzip"}, 400),
        ("/write", gzip.compress(b"m x=1")[:-5], {"content-encoding": "gzip"}, 400),
        ("/write", gzip.compress(b"m" * (40 << 20)), {"content-encoding": "gzip"}, 413),
        ("/write", b"m" * (33 << 20), {}, 413),
        ("/write", "m x=1", {"content-encoding": "br"}, 415),
        ("/write", "", {}, 204),
        ("/api/v1/write", b"garbage", {}, 400),
        ("/api/v1/write", b"", {}, 400),
        ("/api/v1/write", bytes(cramjam.snappy.compress_raw(b"\xff\xff\xff")), {}, 400),
    ):
        answer = post(standing_sluice, path, content, **headers)
        assert answer.status_code == status, answer.text
        assert status == 204 or answer.json()["error"]


def test_questions_that_make_no_sense(standing_sluice):
    for asked in (
        "", "metric=m&fn=magic", "metric=m&tag=novalue", "metric=m&fn=raw&start=yesterday", "metric=m&x=1",
        "metric=m&fn=avg&interval=0s", "metric=m&fn=avg&interval=1ms&start=-7d", "metric=m&fn=avg&start=-1h&end=-2h",
        "metric=m&fn=last&interval=1m&by=a", "metric=m&fn=rate&interval=five", "metric=m&fn=raw&start=2020-01-01T00:00:00",
    ):  # fmt: skip
        answer = httpx.get(f"{standing_sluice.endpoints['http']}/series/query?{asked}")
        assert answer.status_code == 400, (asked, answer.text)
        assert answer.json()["error"]


def field(number: int, body: bytes) -> bytes:
    """A protocol buffer's field of bytes (up to 127)."""
    return bytes([number << 3 | 2, len(body)]) + body


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def test_prometheus_remote_write(standing_sluice):
    labels = b"".join(field(1, field(1, name) + field(2, value)) for name, value in ((b"__name__", b"up"), (b"job", b"x")))
    stale = struct.unpack("<d", struct.pack("<Q", 0x7FF0000000000002))[0]
    samples = b"".join(
        field(2, b"\x09" + struct.pack("<d", value) + b"\x10" + varint(at))
        for at, value in ((NOW - 5, 1.0), (NOW, 0.5), (NOW + 1, stale))
    )
    body = bytes(cramjam.snappy.compress_raw(field(1, labels + samples)))
    assert post(standing_sluice, "/api/v1/write", body).status_code == 204
    assert points(standing_sluice, "up", end=NOW + 10) == [[NOW - 5, 1.0], [NOW, 0.5]]
    old = field(1, labels + field(2, b"\x09" + struct.pack("<d", 1.0) + b"\x10" + varint(5)))
    answer = post(standing_sluice, "/api/v1/write", bytes(cramjam.snappy.compress_raw(old)))
    assert answer.status_code == 400
    assert "too old" in answer.json()["error"]


def test_observations_are_recorded_once_and_bad_ones_are_dead_letters(sluice):
    moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    headers = {"content-type": "application/cloudevents+json"}
    for number in (1, 1, 2):
        sent = event(number, metric="water_level", value=1.25 + number, tags={"quay": "7"}, time=moment)
        assert post(sluice, "/", sent, **headers).status_code == 202
    wrong: list[dict] = [{"value": 1.0}, {"metric": "", "time": moment}, {"time": "soon"}]
    for number, bad in enumerate(wrong):
        bad = {"metric": "w", "value": 1.0, **bad}
        assert post(sluice, "/", event(10 + number, **bad), **headers).status_code == 202
    eventually(lambda: points(sluice, "water_level"), what="the observation to be recorded")
    eventually(sluice.settled)
    eventually(lambda: [value for _, value in points(sluice, "water_level")] == [3.25], what="the second one, of the same time")
    letters = sluice.get("/dead-letters")["dead_letters"]
    assert len([letter for letter in letters if letter["function"] == "observation"]) == 3


def test_series_appear_in_the_catalogue(sluice):
    post(sluice, "/write", "sensor,host=a temperature=20\nsensor,host=b,zone=z temperature=21")

    def catalogued() -> list[dict]:
        entries = sluice.get("/catalog", bucket="series", format="parquet")["entries"]
        return [each for each in entries if each["key"] == "metrics/sensor_temperature.parquet"]

    eventually(catalogued, what="the metric in the catalogue")
    [found] = catalogued()
    assert found["metadata"]["rows"] == 2
    assert list(found["metadata"]["columns"]) == ["metric", "tag.host", "tag.zone"]
    entries = sluice.get("/catalog", bucket="series")["entries"]
    assert any(each["key"].startswith("raw/") and each["metadata"]["rows"] == 2 for each in entries)


def test_what_was_answered_is_there_after_kill_9(sluice):
    for number in range(40):
        assert post(sluice, "/write?precision=ms", f"m x={number} {NOW + number}").status_code == 204
        if number % 13 == 12:
            time.sleep(1.1)  # a round of segments
    sluice.stop(signal.SIGKILL)
    sluice.start()
    assert points(sluice, "m_x", end=NOW + 1000) == [[NOW + number, float(number)] for number in range(40)]


def test_the_command_line_lists_and_asks(standing_sluice):
    post(standing_sluice, "/write?precision=ms", f"m,host=a x=1.5 {NOW}")

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "infra.cli", "series", *arguments, "--data", str(standing_sluice.folder)]
        return subprocess.run(command, capture_output=True, text=True, env=dict(os.environ), timeout=60)

    assert "host=a" in run("ls").stdout
    assert "1.5" in run("query", "m_x", "--tag", "host=a").stdout
    assert (
        json.loads(run("query", "m_x", "--fn", "max", "--interval", "1h", "--json").stdout)["series"][0]["points"][0][1] == 1.5
    )
    failed = run("query")
    assert failed.returncode == 1
    assert failed.stderr.startswith("sluice: which metric?")
