"""What the tests of the Redis log share: lakes and workers on it, and what to wait for."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from events.event import Event
from infra.config import CatalogStore, Config, Delivery, EventLog
from infra.lake import Lake
from infra.objects.s3 import S3Store

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
MODULE = "redis_log_functions"
QUICK = Delivery(attempts=3, backoff_s=0.01, backoff_max_s=0.02, lease_s=1.0)
WORK = """
import sys, time
from infra.config import CatalogStore, Config, Delivery, EventLog
from infra.lake import Lake
from infra.objects.s3 import S3Store

lake = Lake(Config(data=sys.argv[1], functions=["redis_log_functions"], log=EventLog(url=sys.argv[2]),
                   catalog=CatalogStore(url=sys.argv[3]), delivery=Delivery(lease_s=1.0, attempts=3)),
            S3Store("http://127.0.0.1:9", "a", "b"))
lake.worker.start()
print("ready", flush=True)
sys.stdin.read()
lake.close()
"""
EVENTS, DUPLICATES, KILLS = 1500, 500, 4


@pytest.fixture(autouse=True)
def functions(monkeypatch):
    monkeypatch.syspath_prepend(str(HERE))


@contextmanager
def lake(folder: Path, url: str, catalog: str = "", **more):
    """A lake of this process on that log, and on that PostgreSQL's catalogue if one is given."""
    store = S3Store("http://127.0.0.1:9", "a", "b")
    log, place = EventLog(url=url, **more), CatalogStore(url=catalog)
    made = Lake(Config(data=str(folder), functions=[MODULE], delivery=QUICK, log=log, catalog=place), store)
    try:
        yield made
    finally:
        made.close()
        store.close()


class Workers:
    """Processes with a worker each."""

    def __init__(self, folder: Path, url: str, catalog: str) -> None:
        self.folder, self.url, self.catalog = folder, url, catalog
        self.running: list[subprocess.Popen[bytes]] = []
        self.environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(HERE)])}

    def start(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-c", WORK, str(self.folder), self.url, self.catalog]
        made = subprocess.Popen(command, env=self.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.running.append(made)
        return made

    def kill(self, which: int = 0) -> None:
        self._end(self.running.pop(which), signal.SIGKILL)

    def close(self) -> None:
        for each in self.running:
            self._end(each, signal.SIGKILL)

    @staticmethod
    def _end(process: subprocess.Popen[bytes], number: int) -> None:
        process.send_signal(number)
        process.wait(20)
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        process.stdout.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def catalog(request):
    """The URL of the catalogue: none, or a new PostgreSQL database."""
    return "" if request.param == "sqlite" else request.getfixturevalue("postgres").new()


@pytest.fixture
def workers(request, tmp_path, redis_server):
    catalog = request.getfixturevalue("catalog") if "catalog" in request.fixturenames else ""
    made = Workers(tmp_path / "data", redis_server.url, catalog)
    yield made
    made.close()


def work(number: int) -> Event:
    return Event(id=f"{number:06d}", source="/t", type="test.count", subject=f"s{number % 20}", data={"n": number})


def settled(made: Lake) -> bool:
    return bool(made.log.counts()["waiting"] == 0)


def progress(made: Lake, waiting: float) -> bool:
    return made.log.counts()["waiting"] < waiting
