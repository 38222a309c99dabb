"""CPU per event over a socket, event in and reply out: our function runtime beside the peers and bare uvicorn.

    python -m infra.bench.dispatch [--rounds 9] [--seconds 1] [--connections 16]

Every side runs the same handler over the same payload (a CloudEvent in binary mode), on one core; wrk loads it from another.
CPU is that of all the server's processes over the requests of a window. The sides take turns, in changing order, and what is
compared is what was measured within one round: ``vs_...`` is the median over the rounds of theirs / ours,
``share_of_raw_uvicorn`` that of the CPU of uvicorn answering 204 without reading the request / ours. functions-framework
cannot reply with an event: it answers "OK". FastStream takes HTTP by a route of its ASGI application.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import httpx
import psutil

from infra.bench.peers import BODY, HEADERS, PEERS, ROOT, prepare
from infra.bench.table import report

GOALS = {
    "vs_functions_framework": 8, "vs_functions_framework_asgi": 2.2, "vs_func_python": 6, "vs_starlette_sdk": 3,
    "share_of_raw_uvicorn": 0.45,
}  # fmt: skip
_SCRIPT = """
wrk.method = "POST"
wrk.body = {body}
{headers}
function done(summary, latency, requests)
  local errors = summary.errors
  local bad = errors.status + errors.connect + errors.read + errors.write + errors.timeout
  io.write(string.format('\\n{{"requests": %d, "bad": %d, "us": %d, "p50": %d, "p99": %d}}\\n',
    summary.requests, bad, summary.duration, latency:percentile(50), latency:percentile(99)))
end
"""


class Unmeasured(Exception):
    """A side could not be measured; the text says why."""


class Window(NamedTuple):
    """What was measured of a side at one go: CPU seconds an event, events a second, milliseconds."""

    cpu: float
    rate: float
    p50: float
    p99: float


@dataclass
class Side:
    """A running server and its windows, one a round."""

    name: str
    process: subprocess.Popen[bytes]
    port: int
    windows: list[Window] = field(default_factory=list)

    @property
    def median(self) -> Window:
        """The median of each figure."""
        return Window(*map(statistics.median, zip(*self.windows, strict=True)))

    def over(self, other: Side) -> float:
        """CPU an event of this side over that of the other: the median over the rounds."""
        return statistics.median(mine.cpu / theirs.cpu for mine, theirs in zip(self.windows, other.windows, strict=True))

    def spent(self) -> float:
        """CPU seconds of all its processes so far."""
        root = psutil.Process(self.process.pid)
        times = [each.cpu_times() for each in (root, *root.children(recursive=True))]
        return float(sum(each.user + each.system for each in times))


@contextlib.contextmanager
def running(name: str, core: int, log: Path) -> Iterator[Side]:
    """A side, started on this core; raises ``Unmeasured`` unless it answers a POST with 2xx."""
    try:
        command, folder, environment = prepare(name)
    except subprocess.CalledProcessError as error:
        raise Unmeasured(f"{name} could not be installed: {error}") from error
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    filled = {key: value.format(port=port) for key, value in environment.items()}
    names = {**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{ROOT}", **filled}
    with log.open("wb") as out:
        process = subprocess.Popen(
            ["taskset", "-c", str(core), *(part.format(port=port) for part in command)],
            cwd=folder, env=names, stdout=out, stderr=out, start_new_session=True,
        )  # fmt: skip
    try:
        end = time.monotonic() + 30
        answer = None
        while time.monotonic() < end and process.poll() is None and not (answer and answer.is_success):
            with contextlib.suppress(httpx.TransportError):
                answer = httpx.post(f"http://127.0.0.1:{port}/", content=BODY, headers=HEADERS)
            time.sleep(0.1)
        if answer is None or not answer.is_success:
            raise Unmeasured(f"{name} does not answer: {answer and answer.text[:300]} {log.read_text()[-1000:]}")
        yield Side(name, process, port)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def window(side: Side, core: int, connections: int, seconds: float, script: Path) -> None:
    """Load a side for some seconds and keep what was measured."""
    command = ["taskset", "-c", str(core), "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", str(script)]
    before = side.spent()
    done = subprocess.run([*command, f"http://127.0.0.1:{side.port}/"], capture_output=True, text=True)
    cpu = side.spent() - before
    if done.returncode:
        raise Unmeasured(f"wrk failed: {done.stderr}")
    found = json.loads(done.stdout.strip().splitlines()[-1])
    if found["bad"] or not found["requests"]:
        raise Unmeasured(f"{side.name}: {found['bad']} of {found['requests']} requests failed")
    rate = found["requests"] / found["us"] * 1e6
    side.windows.append(Window(cpu / found["requests"], rate, found["p50"] / 1000, found["p99"] / 1000))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=int, default=1, help="length of a window")
    parser.add_argument("--connections", type=int, default=16)
    options = parser.parse_args()
    for program in ("wrk", "taskset"):
        if shutil.which(program) is None:
            sys.exit(f"cannot measure: {program} is missing (scripts/services installs it)")
    cores = sorted(os.sched_getaffinity(0))
    headers = "\n".join(f"wrk.headers[{json.dumps(name)}] = {json.dumps(value)}" for name, value in HEADERS.items())
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        script = Path(name) / "load.lua"
        script.write_text(_SCRIPT.format(body=json.dumps(BODY), headers=headers))
        try:
            sides = [stack.enter_context(running(peer, cores[0], Path(name) / f"{peer}.log")) for peer in PEERS]
            for turn in range(options.rounds):
                for side in sides if turn % 2 else sides[::-1]:
                    window(side, cores[-1], options.connections, options.seconds, script)
        except Unmeasured as reason:
            sys.exit(f"cannot measure: {reason}")
    ours = sides[0]
    ratios = {side.name: side.over(ours) for side in sides[1:]}
    figures = {f"vs_{name}": ratio for name, ratio in ratios.items() if name != "raw_uvicorn"}
    figures["share_of_raw_uvicorn"] = ratios["raw_uvicorn"]
    figures["us_per_event"] = ours.median.cpu * 1e6
    rows = []
    for side in sides:
        cpu, rate, p50, p99 = side.median
        least = min(window.cpu for window in side.windows)
        row = [f"{cpu * 1e6:.1f}", f"{least * 1e6:.1f}", f"{rate:.0f}", f"{p50:.2f}", f"{p99:.2f}"]
        rows.append([side.name, *row, f"{side.over(ours):.2f}"])
    columns = ["side", "CPU us/event", "least", "events/s", "p50 ms", "p99 ms", "/ ours"]
    report("one event in, one reply out", columns, rows, figures)
    for key, goal in GOALS.items():
        if figures[key] < goal:
            print(f"{key}: {figures[key]:.2f} is below the goal {goal}", file=sys.stderr)


if __name__ == "__main__":
    main()
