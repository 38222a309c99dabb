"""The Redis log's history, settings and stored form, and the commands on it."""

from __future__ import annotations

import subprocess
import sys

import httpx
import pytest
import redis

from events.event import NULL, Event
from infra.log.stored import pack, unpack
from tests.conftest import Sluice, eventually
from tests.contract import redis_log_workers as shared
from tests.contract.redis_log_workers import (
    lake,
    settled,
    work,
)

pytestmark = pytest.mark.server
functions = shared.functions  # fixtures


def test_a_document_that_another_process_has_changed_is_read_again(tmp_path, redis_server):
    with lake(tmp_path / "data", redis_server.url) as made, redis.Redis.from_url(redis_server.url) as client:
        made.append([work(1)]).result()
        made.worker.start()
        eventually(lambda: settled(made))
        table = made.log._server.key("table", "profile")
        client.hset(table, "s1", b'other\n{"ids":["theirs"]}')
        made.append([work(21)]).result()
        eventually(lambda: settled(made))
        assert made.profiles() == {"s1": {"ids": ["theirs", "000021"]}}


def test_the_history_is_cut_but_no_work_is_lost(tmp_path, redis_server):
    with lake(tmp_path / "data", redis_server.url, keep=10) as made:
        made.append([work(number) for number in range(2000)]).result()
        assert len(made.log.tail(0, 10_000)) < 2000
        made.worker.start()
        eventually(lambda: settled(made), 60)
        assert sum(len(found["ids"]) for found in made.profiles().values()) == 2000


def test_a_repetition_is_forgotten_after_the_time_configured(tmp_path, redis_server):
    with lake(tmp_path / "data", redis_server.url, remember_h=0.2 / 3600) as made:
        assert made.append([work(1)]).result() == 1
        assert made.append([work(1)]).result() == 0
        eventually(lambda: made.append([work(1)]).result() == 1)


@pytest.mark.parametrize("data", [None, NULL, b"\x00\xff", "text", {"a": [1, 2.5, None, "ü"]}, [], 0, False, 2**70])
def test_events_are_kept_as_they_came(data):
    kind = "application/octet-stream" if isinstance(data, bytes) else "application/json"
    made = Event(
        id="1", source="/s", type="t", subject="ä\u2028", datacontenttype=None if data is None else kind, data=data,
        extensions={"partitionkey": "k", "flag": True, "number": 5},
    )  # fmt: skip
    assert unpack(pack(made).encode()) == made


@pytest.mark.timeout(120)
def test_sluice_up_on_redis_holds_a_refusal_for_a_second_and_goes_on(tmp_path, redis_server):
    made = Sluice(tmp_path / "data", SLUICE_LOG_URL=redis_server.url)
    try:
        made.start()
        store = made.store()
        store.ensure("raw")
        store.write("raw", "a.csv", b"a,b\n1,2\n")
        eventually(lambda: made.get("/catalog", bucket="raw")["entries"] and made.settled(), 30)
        body = {"specversion": "1.0", "id": "1", "source": "/t", "type": "test.other"}
        headers = {"content-type": "application/cloudevents+json"}
        redis_server.stop()
        refused = httpx.post(made.endpoints["http"], json=body, headers=headers, timeout=30)
        assert refused.status_code == 503
        assert refused.headers["retry-after"] == "1"
        unready = httpx.get(f"{made.endpoints['http']}/readyz", timeout=30)
        assert unready.status_code == 503
        assert "cannot be reached" in unready.json()["status"]
        redis_server.start()
        assert httpx.post(made.endpoints["http"], json=body, headers=headers, timeout=30).json()["new"] == 1
        assert made.get("/readyz") == {"status": "ready"}
        store.write("raw", "b.csv", b"a,b\n1,2\n")
        eventually(lambda: len(made.get("/catalog", bucket="raw")["entries"]) == 2, 30)
        assert made.get("/status")["log"]["dead"] == 0
        store.close()
        assert made.stop() == 0
    finally:
        made.close()


def test_without_its_server_the_commands_say_so_and_sluice_up_stops_in_time(tmp_path, redis_server):
    made = Sluice(tmp_path / "data", SLUICE_LOG_URL=redis_server.url)
    try:
        made.start()
        redis_server.stop()
        for command in (["status"], ["events", "--no-follow"], ["dead-letters"]):
            line = [sys.executable, "-m", "infra.cli", *command, "--data", str(made.folder)]
            done = subprocess.run(line, capture_output=True, text=True, timeout=60, check=False)
            assert done.returncode == 1
            assert f"the event log {redis_server.url} cannot be reached" in done.stderr
            assert "Traceback" not in done.stderr
        assert made.stop() == 0
    finally:
        made.close()
