"""The embedded profile as its users meet it: one process, real clients, real objects."""

from __future__ import annotations

import json
import resource
import signal
import socket
import subprocess
import sys
from http.server import ThreadingHTTPServer

import httpx
import pytest
from blake3 import blake3

from tests.conftest import Sluice, eventually
from tests.plain_http import Silent, answering

CSV = b"city,people\nVenice,250000\nChioggia,48000\n"


def entry(sluice: Sluice, bucket: str, key: str) -> dict | None:
    answer = httpx.get(f"{sluice.endpoints['http']}/catalog/{bucket}/{key}")
    return answer.json() if answer.status_code == 200 else None


def test_an_object_is_catalogued_changed_and_removed(sluice):
    store = sluice.store()
    store.ensure("raw")
    store.write("raw", "a b+c%20/ü/日本.csv", CSV, content_type="text/csv")
    eventually(sluice.settled)
    (found,) = sluice.get("/catalog", format="csv")["entries"]
    assert (found["key"], found["state"], found["metadata"]["rows"]) == ("a b+c%20/ü/日本.csv", "ready", 2)
    assert found["digest"] == "blake3:" + blake3(CSV).hexdigest()
    store.write("raw", "a b+c%20/ü/日本.csv", CSV + b"Burano,2300\n")
    eventually(sluice.settled)
    (found,) = sluice.get("/catalog", where="rows>=3")["entries"]
    assert found["metadata"]["rows"] == 3
    store.delete("raw", "a b+c%20/ü/日本.csv")
    eventually(sluice.settled)
    assert sluice.get("/catalog")["entries"] == []
    types = [item["event"]["data"]["change"] for item in sluice.get("/events", type="*catalog.updated*")["events"]]
    assert types == ["upserted", "upserted", "removed"]
    store.close()


def test_an_offer_to_upgrade_costs_neither_an_event_nor_an_object(sluice):
    """Java's HTTP client makes one with its first request."""
    offer = {"upgrade": "h2c", "http2-settings": "AAEAAEAA", "connection": "Upgrade, HTTP2-Settings"}
    event = {
        "ce-specversion": "1.0",
        "ce-id": "1",
        "ce-source": "/java",
        "ce-type": "com.example.said",
        "content-type": "text/plain",
    }
    assert httpx.post(sluice.endpoints["http"], content=b"all of it", headers=offer | event).status_code == 202
    (item,) = sluice.get("/events", type="com.example.said")["events"]
    assert item["event"]["data"] == "all of it"
    store = sluice.store()
    store.ensure("raw")
    url = store.client.generate_presigned_url("put_object", {"Bucket": "raw", "Key": "java.csv"})
    assert httpx.put(url, content=CSV, headers=offer).status_code == 200
    assert store.read("raw", "java.csv", 0, len(CSV)) == CSV
    store.close()


def test_a_full_disk_is_told_and_what_was_accepted_before_and_after_it_is_there(sluice):
    """No file may grow beyond what it has: as on a full disk, a commit fails in its midst."""

    def post(number: int) -> httpx.Response:
        events = [{"specversion": "1.0", "id": f"{number}-{n}", "source": "/s", "type": "com.example.fat", "pad": "x" * 900}
                  for n in range(200)]  # fmt: skip
        headers = {"content-type": "application/cloudevents-batch+json"}
        return httpx.post(sluice.endpoints["http"], json=events, headers=headers, timeout=30)

    assert post(0).status_code == 202
    most, hard = resource.prlimit(sluice.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(sluice.process.pid, resource.RLIMIT_FSIZE, (1 << 20, hard))
    accepted, number = [0], 1
    while (answer := post(number)).status_code == 202:
        accepted.append(number)
        number += 1
        assert number < 100
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert "send it again" in answer.json()["error"]
    assert sluice.get("/status")["log"]["events"] == 200 * len(accepted)
    resource.prlimit(sluice.process.pid, resource.RLIMIT_FSIZE, (most, hard))
    assert post(number).json()["new"] == 200
    assert post(0).json()["new"] == 0
    assert sluice.stop() == 0
    sluice.start()
    assert sluice.get("/status")["log"]["events"] == 200 * (len(accepted) + 1)


def test_broken_objects_are_dead_letters_with_causes_and_shown_as_failed(sluice):
    store = sluice.store()
    store.ensure("raw")
    store.write("raw", "empty.csv", b"")
    store.write("raw", "folder/", b"")
    store.write("raw", "half.fits", b"SIMPLE  =                    T".ljust(2880))
    eventually(lambda: sluice.settled() and sluice.get("/status")["log"]["dead"] == 2)
    letters = sluice.get("/dead-letters")["dead_letters"]
    assert any("s3://raw/empty.csv is empty" in letter["cause"] for letter in letters)
    eventually(lambda: len(sluice.get("/catalog", state="failed")["entries"]) == 2)
    failed = {found["key"]: found["cause"] for found in sluice.get("/catalog", state="failed")["entries"]}
    assert failed.keys() == {"empty.csv", "half.fits"}
    store.write("raw", "empty.csv", CSV)
    eventually(lambda: (entry(sluice, "raw", "empty.csv") or {})["state"] == "ready")
    store.close()


class Sink(Silent):
    """An HTTP subscriber that fails as often as it is told, then takes events."""

    received: list[tuple[dict, dict]]
    failures: list[int]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        status = self.failures.pop(0) if self.failures else 204
        if status == 204:
            self.received.append((dict(self.headers), json.loads(body)))
        self.send_response(status)
        self.send_header("content-length", "0")
        self.end_headers()


@pytest.fixture
def sink():
    Sink.received, Sink.failures = [], []
    with answering(ThreadingHTTPServer(("127.0.0.1", 0), Sink)) as url:
        yield f"{url}/hook"


def test_a_subscriber_gets_the_matching_events_despite_failures(sluice, sink):
    Sink.failures = [503, 500]
    wanted = {
        "sink": sink, "types": ["dev.sluice.catalog.updated.v1"],
        "filters": [{"prefix": {"subject": "raw/in/"}}, {"suffix": {"subject": ".csv"}}],
    }  # fmt: skip
    made = httpx.post(sluice.endpoints["http"] + "/subscriptions", json=wanted)
    assert made.status_code == 201
    store = sluice.store()
    store.ensure("raw")
    for key in ("in/1.csv", "in/2.txt", "out/3.csv"):
        store.write("raw", key, CSV)
    eventually(lambda: sluice.settled() and Sink.received)
    ((headers, data),) = Sink.received
    assert (headers["ce-type"], headers["ce-subject"], data["key"]) == (
        "dev.sluice.catalog.updated.v1",
        "raw/in/1.csv",
        "in/1.csv",
    )
    url = f"{sluice.endpoints['http']}/subscriptions/{made.json()['id']}"
    assert httpx.get(url).json()["sink"] == sink
    assert httpx.delete(url).status_code == 204
    assert httpx.get(url).status_code == 404
    store.close()


@pytest.mark.parametrize(
    "wanted",
    [
        {},
        {"sink": "ftp://x"},
        {"sink": "http://[::1"},
        {"sink": "http://x:99999"},
        {"sink": "http://x", "filters": [{"likes": {"a": "b"}}]},
        {"sink": "http://x", "sin": 1},
    ],
)
def test_a_subscription_that_makes_no_sense_is_refused(standing_sluice, wanted):
    answer = httpx.post(standing_sluice.endpoints["http"] + "/subscriptions", json=wanted)
    assert answer.status_code == 400
    assert answer.json()["error"]


def test_events_come_in_by_http_once(sluice):
    url = sluice.endpoints["http"]
    headers = {
        "ce-id": "1",
        "ce-source": "/me",
        "ce-type": "my.event",
        "ce-specversion": "1.0",
        "content-type": "application/json",
    }
    assert httpx.post(url, headers=headers, json={"x": 1}).json() == {"accepted": 1, "new": 1, "rejected": 0}
    assert httpx.post(url + "/events", headers=headers, json={"x": 1}).json()["new"] == 0
    (kept,) = sluice.get("/events", type="my.event")["events"]
    assert kept["event"]["data"] == {"x": 1}


GARBAGE = [
    ({}, b""),
    ({}, b"\x00\xff" * 100),
    ({"content-type": "application/json"}, b"{"),
    ({"content-type": "application/json"}, b"[" * 100_000),
    ({"content-type": "application/cloudevents+json"}, b'{"id": 1}'),
    ({"content-type": "application/cloudevents+json"}, b'{"specversion":"1.0","id":"1","source":"s","type":"t","time":"now"}'),
    ({"content-type": "application/cloudevents+json; charset=utf-7"}, b"{}"),
    ({"content-type": "application/cloudevents-batch+json"}, b"{}"),
    ({"content-type": "application/cloudevents+xml"}, b"<x/>"),
    ({"content-type": "text/html"}, b"<html>"),
    ({"content-type": ";;;"}, b"x"),
    ({"ce-id": "1", "ce-specversion": "9"}, b""),
    ({"ce-id": "%ff", "ce-source": "s", "ce-type": "t", "ce-specversion": "1.0"}, b""),
    ({"content-type": "application/json"}, b"x" * 10_000_000),
    ({"x-large": "y" * 200_000}, b""),
    ({"content-type": "application/json", "content-length": "abc"}, b""),
]


@pytest.mark.parametrize("case", range(len(GARBAGE)))
def test_garbage_gets_a_clear_answer_and_the_service_goes_on(standing_sluice, case):
    headers, body = GARBAGE[case]
    try:
        answer = httpx.post(standing_sluice.endpoints["http"], headers=headers, content=body)
    except httpx.TransportError:
        assert "content-length" in headers  # a request that is no HTTP may simply be cut off
    else:
        assert 400 <= answer.status_code < 500, answer.text
        assert "Traceback" not in answer.text
        assert answer.headers["content-type"].startswith(("application/json", "text/plain"))
    assert standing_sluice.get("/healthz") == {"status": "ok"}
    assert standing_sluice.get("/readyz") == {"status": "ready"}


def test_broken_http_is_survived(standing_sluice):
    host, port = standing_sluice.endpoints["http"].removeprefix("http://").split(":")
    for data in (
        b"\r\n\r\n",
        b"GET",
        b"POST / HTTP/1.1\r\nContent-Length: 100\r\n\r\nhalf",
        b"\x16\x03\x01" * 50,
        b"POST / HTTP/9\r\n\r\n",
    ):
        with socket.create_connection((host, int(port)), 5) as connection:
            connection.sendall(data)
    assert standing_sluice.get("/healthz") == {"status": "ok"}


@pytest.mark.parametrize("wanted", [{"ids": [2**64]}, {"ids": [-1]}, {"ids": ["x"]}, {"is": [1]}, [1]])
def test_a_replay_that_makes_no_sense_is_refused(standing_sluice, wanted):
    answer = httpx.post(standing_sluice.endpoints["http"] + "/dead-letters/replay", json=wanted)
    assert answer.status_code == 400
    assert answer.json()["error"]


@pytest.mark.parametrize(
    "path",
    [
        "/nothing",
        "/catalog?limit=x",
        "/catalog?limit=0",
        "/catalog?where=a",
        "/catalog?where=a=99999999999999999999",
        "/catalog?since=yesterday",
        "/catalog?colour=red",
        "/events?after=-1",
        "/catalog/b/k",
    ],
)
def test_wrong_questions_get_clear_answers(standing_sluice, path):
    answer = httpx.get(standing_sluice.endpoints["http"] + path)
    assert answer.status_code in (400, 404)
    assert answer.json()["error"]


def test_two_cannot_run_on_one_folder(sluice, tmp_path):
    other = Sluice(sluice.folder)
    log = tmp_path / "other.log"
    with log.open("wb") as out:
        other.process = subprocess.Popen(
            [sys.executable, "-m", "infra.cli", "up"], env=other.environment, stdout=out, stderr=out
        )
        assert other.process.wait(30) == 1
    assert "another sluice is running" in " ".join(log.read_text().split())
    assert "Traceback" not in log.read_text()
    assert sluice.get("/readyz") == {"status": "ready"}


def test_it_stops_cleanly_and_continues(sluice):
    store = sluice.store()
    store.ensure("raw")
    for number in range(20):
        store.write("raw", f"{number}.csv", CSV)
    store.close()
    assert sluice.stop(signal.SIGTERM) == 0
    sluice.start()
    eventually(lambda: len(sluice.get("/catalog")["entries"]) == 20)


def test_a_token_guards_everything_but_the_probes(tmp_path):
    sluice = Sluice(tmp_path / "data", SLUICE_HTTP_TOKEN="s3cret").start()
    try:
        url = sluice.endpoints["http"]
        assert httpx.get(url + "/healthz").status_code == 200
        assert httpx.get(url + "/status").status_code == 401
        assert httpx.post(url, json={}).status_code == 401
        assert httpx.get(url + "/status", headers={"authorization": "Bearer s3cret"}).status_code == 200
    finally:
        sluice.close()
