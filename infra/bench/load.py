"""Servers under load: each a process on a core of its own, loaded by wrk from another core."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import httpx
import psutil

#: Seconds a server has to answer.
PATIENCE = 60.0
#: The end of every wrk script: what was counted, as a line of JSON.
DONE = """
function done(summary, latency, requests)
  local errors = summary.errors
  local bad = errors.status + errors.connect + errors.read + errors.write + errors.timeout
  io.write(string.format('\\n{"requests": %d, "bad": %d, "us": %d, "p50": %d, "p99": %d}\\n',
    summary.requests, bad, summary.duration, latency:percentile(50), latency:percentile(99)))
end
"""


class Unmeasured(RuntimeError):
    """A side that cannot be measured here, and why."""


def free_port() -> int:
    """A port of the loopback interface that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


class Window(NamedTuple):
    """What was measured of a side at one go: CPU seconds a request, requests a second, milliseconds."""

    cpu: float
    rate: float
    p50: float
    p99: float


@dataclass
class Side:
    """A running server, the seconds from its start to its first answer, and its windows as they were measured."""

    name: str
    process: subprocess.Popen[bytes]
    port: int
    start: float = 0.0
    windows: list[Window] = field(default_factory=list)

    def spent(self) -> float:
        """CPU seconds of all its processes so far."""
        root = psutil.Process(self.process.pid)
        times = [each.cpu_times() for each in (root, *root.children(recursive=True))]
        return float(sum(each.user + each.system for each in times))


def programs() -> None:
    """End the process unless what the benchmark needs is installed."""
    for program in ("wrk", "taskset"):
        if shutil.which(program) is None:
            sys.exit(f"cannot measure: {program} is missing (scripts/services installs it)")


@contextlib.contextmanager
def running(
    name: str,
    make: Callable[[int], tuple[list[str], Path, Mapping[str, str]]],
    core: int,
    log: Path,
    ask: Callable[[httpx.Client, str], httpx.Response],
) -> Iterator[Side]:
    """A side on this core, until it is left. Raises ``Unmeasured`` unless its first question is answered with 2xx in time.

    ``make`` gives command, folder and environment for a port; ``ask`` asks at the URL that it gets.
    """
    port = free_port()
    command, folder, environment = make(port)
    began = time.monotonic()
    with log.open("wb") as out:
        process = subprocess.Popen(
            ["taskset", "-c", str(core), *command],
            cwd=folder, env={**os.environ, **environment}, stdout=out, stderr=out, start_new_session=True,
        )  # fmt: skip
    try:
        answer = None
        with httpx.Client(trust_env=False) as client:
            while time.monotonic() < began + PATIENCE and process.poll() is None and not (answer and answer.is_success):
                time.sleep(0.0005)
                with contextlib.suppress(OSError, httpx.TransportError):
                    socket.create_connection(("127.0.0.1", port), 1).close()  # a try costs less than one of httpx's
                    answer = ask(client, f"http://127.0.0.1:{port}")
        if answer is None or not answer.is_success:
            raise Unmeasured(f"{name} does not answer: {answer and answer.text[:300]} {log.read_text()[-1000:]}")
        yield Side(name, process, port, time.monotonic() - began)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def wrk(side: Side, core: int, connections: int, seconds: float, path: str, script: Path) -> Window:
    """Load a side for some seconds. Raises ``Unmeasured`` when a request failed."""
    command = ["taskset", "-c", str(core), "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", str(script)]
    before = side.spent()
    done = subprocess.run([*command, f"http://127.0.0.1:{side.port}{path}"], capture_output=True, text=True)
    cpu = side.spent() - before
    if done.returncode:
        raise Unmeasured(f"wrk failed: {done.stderr}")
    found = json.loads(done.stdout.strip().splitlines()[-1])
    if found["bad"] or not found["requests"]:
        raise Unmeasured(f"{side.name}{path}: {found['bad']} of {found['requests']} requests failed")
    rate = found["requests"] / found["us"] * 1e6
    return Window(cpu / found["requests"], rate, found["p50"] / 1000, found["p99"] / 1000)
