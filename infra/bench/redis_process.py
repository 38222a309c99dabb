"""A ``redis-server`` for one benchmark, on a free port, with its files in a folder of the benchmark's."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import redis

from infra.bench.load import PATIENCE, Unmeasured, free_port


class Server:
    """A running server: its address, and what CPU it has used."""

    def __init__(self, port: int, process: subprocess.Popen[bytes]) -> None:
        self.url = f"redis://127.0.0.1:{port}/0"
        self._process = psutil.Process(process.pid)

    def cpu(self) -> float:
        """Seconds of CPU so far."""
        times = self._process.cpu_times()
        return float(times.user + times.system)


@contextmanager
def redis_process(folder: Path, fsync: str) -> Iterator[Server]:
    """Start one with ``appendfsync`` as given; ``Unmeasured`` if that cannot be done here."""
    if shutil.which("redis-server") is None:
        raise Unmeasured("there is no redis-server here: install it with scripts/services")
    folder.mkdir(parents=True)
    port = free_port()
    process = subprocess.Popen(
        ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), "--save", "",
         "--appendonly", "yes", "--appendfsync", fsync, "--logfile", str(folder / "redis.log")]
    )  # fmt: skip
    try:
        with redis.Redis(port=port) as client:
            end = time.monotonic() + PATIENCE
            while True:
                try:
                    client.ping()
                    break
                except redis.exceptions.ConnectionError as error:
                    if time.monotonic() > end or process.poll() is not None:
                        raise Unmeasured(f"redis-server does not answer: {error}") from error
                    time.sleep(0.05)
        yield Server(port, process)
    finally:
        process.terminate()
        process.wait(30)
