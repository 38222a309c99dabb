"""The processes of the crash test: a lake's own, Redis, Ceph, PostgreSQL. All may be killed and started again on their data."""

from __future__ import annotations

import multiprocessing
import os
import random
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import redis

from infra.bench.postgres_process import PostgresProcess, program

ROOT = Path(__file__).parents[2]
CEPH_SCRIPTS = ROOT / "infra" / "deploy" / "ceph"
ACCESS, SECRET = "chaos-access", "chaos-secret"
#: How long anything may take: nothing is timed here, and other programs may have the processors for minutes.
PATIENCE = 300.0
_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["infra.chaos.victim"])
#: The standard library looks after all children whenever one is started, and lanes start and end them at once.
_CHILDREN = threading.Lock()


class Stuck(Exception):
    """Something did not happen in time."""


def until(check: Callable[[], Any], what: str, seconds: float = PATIENCE) -> None:
    """Wait until ``check`` is true. Raises ``Stuck``."""
    end = time.monotonic() + seconds
    while not check():
        if time.monotonic() > end:
            raise Stuck(f"waited {seconds:.0f} s in vain for {what}")
        time.sleep(0.02)


def port() -> int:
    """A free loopback port below those given to outgoing connections: it must still be free after a restart."""
    while True:
        found = random.randrange(12_000, 32_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", found))
            except OSError:
                continue
        return found


class Victim:
    """One process of a lake: ``arguments`` are those of ``infra.chaos.victim``; ``held`` is a socket that it listens on."""

    def __init__(
        self, name: str, armed: Path, arguments: list[str], environment: dict[str, str], log: Path, held: socket.socket | None
    ) -> None:
        self.name = name
        self._given = armed, arguments, environment, log, held
        self._process: ForkServerProcess | None = None
        #: Not to be started again until this time (``time.monotonic``).
        self.away_until = 0.0

    def start(self) -> None:
        """Start it; does not wait until it is ready."""
        self.end()
        with _CHILDREN:
            self._process = _FORKS.Process(target=_run, args=self._given)
            self._process.start()

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        with _CHILDREN:
            return self._process is not None and self._process.is_alive()

    def end(self) -> None:
        """Kill -9, if it runs."""
        with _CHILDREN:
            if self._process is not None:
                self._process.kill()
                self._process.join()
                self._process.close()
                self._process = None


def _run(*given: Any) -> None:
    from infra.chaos.victim import run  # here: only the process that victims are forked from needs all of the lake

    run(*given)


class Redis:
    """A durable ``redis-server``."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self._port, self._folder = port(), folder
        self.url = f"redis://127.0.0.1:{self._port}/0"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it has loaded its data."""
        self._process = subprocess.Popen(
            ["redis-server", "--port", str(self._port), "--bind", "127.0.0.1", "--dir", str(self._folder), "--save", "",
             "--appendonly", "yes", "--appendfsync", "always", "--logfile", str(self._folder / "redis.log")]
        )  # fmt: skip
        with redis.Redis(port=self._port) as client:
            until(lambda: _answers(client), "redis-server")

    def kill(self) -> None:
        """Kill -9."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(20)
            self._process = None

    close = kill


def _answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.exceptions.ConnectionError:
        return False


class Ceph:
    """A single-node Ceph whose data are on the disk: monitor, OSD and RGW."""

    def __init__(self, folder: Path) -> None:
        gateway = port()
        self.url = f"http://127.0.0.1:{gateway}"
        self._environment = {
            **os.environ, "CEPH_DIR": str(folder), "MON_PORT": str(port()), "RGW_PORT": str(gateway), "OSD_SIZE": "2G",
            "S3_ACCESS_KEY": ACCESS, "S3_SECRET_KEY": SECRET,
        }  # fmt: skip

    def start(self) -> None:
        """Start what does not run and wait until it answers."""
        self._run("up.sh")

    def kill(self) -> None:
        """Kill -9, all of it."""
        self._run("down.sh", "--kill")

    def close(self) -> None:
        """Stop it and remove its data."""
        self._run("down.sh", "--kill", "--purge")

    def _run(self, script: str, *arguments: str) -> None:
        done = subprocess.run(
            ["bash", str(CEPH_SCRIPTS / script), *arguments], env=self._environment, capture_output=True, text=True, timeout=150
        )
        if done.returncode:
            raise Stuck(f"{script}: {done.stdout}{done.stderr}")


class Postgres:
    """A PostgreSQL server, with a database for the catalogue of one lake.

    Its data are in a temporary folder of its own: as it does not run as root, it may not be able to reach a given one.
    """

    def __init__(self, _: Path) -> None:
        self._server = PostgresProcess()
        self._server.port = port()
        self.url = self._server.url("sluice")
        self._made = False

    def start(self) -> None:
        """Start it, and wait until it has recovered and answers."""
        self._server.start()
        if not self._made:
            self._server.new(name="sluice")
            self._made = True

    def kill(self) -> None:
        """Kill -9, all of it."""
        self._server.kill()

    def close(self) -> None:
        """Stop it and remove its data."""
        self._server.close()


Server = Redis | Ceph | Postgres
#: The servers by their names, and the program by which one sees that it is installed.
SERVERS: dict[str, tuple[Callable[[Path], Server], str]] = {
    "redis": (Redis, "redis-server"),
    "ceph": (Ceph, "radosgw"),
    "postgres": (Postgres, "postgres"),
}


def installed() -> list[str]:
    """Which of the servers are on this machine."""
    return [name for name, (_, needed) in SERVERS.items() if shutil.which(program(needed) or needed)]
