"""A PostgreSQL server of its own for benchmarks and tests: in a temporary folder, or one that is kept, on loopback."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from pathlib import Path

import psycopg

from infra.runtime.listen import listen

FOLDERS = sorted(Path("/usr/lib/postgresql").glob("*/bin")) if Path("/usr/lib/postgresql").exists() else []


def program(name: str) -> str | None:
    """One of the server's programs: Debian keeps them apart from the PATH, by version."""
    return shutil.which(name) or (str(FOLDERS[-1] / name) if FOLDERS else None)


class PostgresProcess:
    """A server that may be killed and started again on the same data. PostgreSQL does not run as root: then as ``postgres``.

    Its folder is temporary unless one is given, whose data are kept.
    """

    def __init__(self, *options: str, folder: Path | None = None) -> None:
        self._kept = folder is not None
        self.folder = folder or Path(tempfile.mkdtemp(prefix="sluice-pg-"))
        self.folder.mkdir(parents=True, exist_ok=True)
        with listen("127.0.0.1", 0) as bound:
            self.port: int = bound.getsockname()[1]
        self._as = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        if self._as:
            shutil.chown(self.folder, "postgres")
        self._options = [f"-c{option}" for option in options]
        self._data = self.folder / "data"
        self.process: subprocess.Popen[bytes] | None = None
        if not self._data.exists():
            self._run("initdb", "-D", str(self._data), "-U", "sluice", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "-N")

    def _run(self, name: str, *arguments: str) -> None:
        done = subprocess.run([*self._as, str(program(name)), *arguments], capture_output=True, text=True, cwd="/", timeout=100)
        if done.returncode:
            raise RuntimeError(done.stdout + done.stderr)

    def start(self) -> PostgresProcess:
        """Start it and wait until it answers."""
        log = (self.folder / "log").open("ab")
        command = [
            *self._as, str(program("postgres")), "-D", str(self._data), "-p", str(self.port),
            "-c", "listen_addresses=127.0.0.1", "-c", f"unix_socket_directories={self.folder}", *self._options,
        ]  # fmt: skip
        with log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, cwd="/")
        for _ in range(600):
            if self._answers():
                return self
            time.sleep(0.1)
        raise TimeoutError(f"PostgreSQL does not answer; see {log.name}")

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.url("postgres")).close()
        except psycopg.OperationalError:
            return False
        return True

    def url(self, database: str) -> str:
        """Where one of its databases is."""
        return f"postgresql://sluice@127.0.0.1:{self.port}/{database}"

    def new(self, template: str = "template0", name: str = "") -> str:
        """The URL of a new database."""
        name = name or f"t{uuid.uuid4().hex[:12]}"
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}".encode())
        return self.url(name)

    def stop(self, how: int = signal.SIGQUIT) -> None:
        """End it: at once, as in a crash, unless another signal is given (SIGINT is a clean stop)."""
        if self.process is None or self.process.poll() is not None:
            return
        number = int((self._data / "postmaster.pid").read_text().split()[0])
        os.kill(number, how)
        self.process.wait(120)  # a clean stop writes down what is in memory

    def kill(self) -> None:
        """Kill -9, all of its processes: one that is left would keep the data from the next server."""
        if self.process is None or self.process.poll() is not None:
            return
        number = int((self._data / "postmaster.pid").read_text().split()[0])
        os.kill(number, signal.SIGSTOP)  # it starts no more
        backends = Path(f"/proc/{number}/task/{number}/children").read_text().split()
        for each in (number, *map(int, backends)):
            os.kill(each, signal.SIGKILL)
        while self.process.poll() is None:  # runuser stops with what it runs, and may do so only now
            self.process.send_signal(signal.SIGCONT)
            time.sleep(0.01)

    def close(self) -> None:
        """End it and remove its folder, unless that is kept."""
        self.stop(signal.SIGINT if self._kept else signal.SIGQUIT)
        if self._kept:
            return
        time.sleep(0.05)
        shutil.rmtree(self.folder, ignore_errors=True)
