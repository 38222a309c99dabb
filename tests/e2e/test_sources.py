"""Sources as people use them: the commands on the embedded door, the configured stream, and a socket that outlives the lake."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading

import httpx
import pytest

from tests.conftest import Sluice, eventually

CSV = b"a,b\n1,2\n"


@pytest.fixture
def following(tmp_path):
    """A lake that follows the stream of one bucket, whose notifications are off."""
    made = Sluice(tmp_path / "data", SLUICE_DOOR_NOTIFY="false", SLUICE_SOURCES_LISTEN="[s3://raw]")
    try:
        yield made.start()
    finally:
        made.close()


def run(lake: Sluice, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "infra.cli", *arguments]
    return subprocess.run(command, env=lake.environment, capture_output=True, text=True, timeout=60)


def keys(lake: Sluice) -> set[str]:
    return {each["key"] for each in lake.get("/catalog")["entries"]}


def test_notifications_on_the_door_are_ended_and_begun_by_command(sluice):
    store = sluice.store()
    store.ensure("raw")
    assert "1 configurations removed" in run(sluice, "notifications", "disable", "s3://raw").stdout
    assert "tells nobody" in run(sluice, "notifications", "status", "s3://raw").stdout
    store.write("raw", "lost.csv", CSV)
    assert "arn:sluice:sns:::lake" in run(sluice, "notifications", "enable", "s3://raw", "--suffix", ".csv").stdout
    store.write("raw", "told.csv", CSV)
    eventually(lambda: keys(sluice) == {"told.csv"})
    eventually(sluice.settled)
    assert "1 missed, 0 changed, 0 removed (nothing was done)" in run(sluice, "reconcile", "--dry-run").stdout
    told = run(sluice, "reconcile", "s3://raw")
    assert (told.stdout, told.stderr) == ("s3://raw/: 2 objects, 1 missed, 0 changed, 0 removed; 1 new events\n", "")
    eventually(lambda: keys(sluice) == {"lost.csv", "told.csv"})
    eventually(sluice.settled)
    found = json.loads(run(sluice, "reconcile", "s3://raw", "--json").stdout)["sweeps"][0]
    assert (found["listed"], found["missed"], found["new"], found["done"]) == (2, 0, 0, True)
    store.close()


def test_what_cannot_be_is_said_in_one_line(sluice):
    for arguments, text in [
        (("reconcile", "s3://missing"), "s3://missing/ does not exist"),
        (("reconcile", "s3://sluice"), "own bucket"),
        (("reconcile", "raw"), "no address"),
        (("notifications", "enable", "s3://missing"), "s3://missing/ does not exist"),
        (("notifications", "enable", "s3://raw/in/"), "--prefix in/"),
    ]:
        done = run(sluice, *arguments)
        assert done.returncode == 1
        assert text in done.stderr
        assert done.stderr.count("\n") == 1


def test_a_configured_stream_is_followed_and_swept(following):
    store = following.store()
    store.ensure("raw")
    store.write("raw", "first.csv", CSV)
    eventually(lambda: keys(following) == {"first.csv"}, 40)
    store.write("raw", "second.csv", CSV)
    eventually(lambda: keys(following) == {"first.csv", "second.csv"})
    store.delete("raw", "first.csv")
    eventually(lambda: keys(following) == {"second.csv"})
    store.close()
    assert following.stop() == 0


def test_a_held_socket_refuses_nobody_while_the_lake_restarts(tmp_path):
    lake = Sluice(tmp_path / "data")
    with socket.create_server(("127.0.0.1", 0), backlog=64) as held:
        os.set_inheritable(held.fileno(), True)
        url = f"http://127.0.0.1:{held.getsockname()[1]}"
        command = [sys.executable, "-m", "infra.cli", "up", "--fd", str(held.fileno())]

        def begin() -> None:
            lake.process = subprocess.Popen(
                command, env=lake.environment, pass_fds=[held.fileno()], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )

        answers: list[int] = []

        def ask() -> None:
            event = {"specversion": "1.0", "id": "between", "source": "/me", "type": "com.example.hello"}
            headers = {"content-type": "application/cloudevents+json"}
            answers.append(httpx.post(url, content=json.dumps(event), headers=headers, timeout=60).status_code)

        try:
            begin()
            assert httpx.get(f"{url}/healthz", timeout=60).status_code == 200
            assert lake.stop() == 0
            waiting = threading.Thread(target=ask)
            waiting.start()
            begin()
            waiting.join(60)
            assert answers == [202]
        finally:
            lake.close()
