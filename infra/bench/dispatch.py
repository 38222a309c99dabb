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
import statistics
import subprocess
import sys
import tempfile
from contextlib import AbstractContextManager
from pathlib import Path

from infra.bench.load import DONE, Side, Unmeasured, Window, programs, running, wrk
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
"""


def median(side: Side) -> Window:
    """The median of each figure over the rounds."""
    return Window(*map(statistics.median, zip(*side.windows, strict=True)))


def over(side: Side, other: Side) -> float:
    """CPU an event of one side over that of the other: the median over the rounds."""
    return statistics.median(one.cpu / another.cpu for one, another in zip(side.windows, other.windows, strict=True))


def started(name: str, core: int, log: Path) -> AbstractContextManager[Side]:
    """A peer on this core. Raises ``Unmeasured``."""
    try:
        command, folder, environment = prepare(name)
    except subprocess.CalledProcessError as error:
        raise Unmeasured(f"{name} could not be installed: {error}") from error

    def make(port: int) -> tuple[list[str], Path, dict[str, str]]:
        filled = {key: value.format(port=port) for key, value in environment.items()}
        return [part.format(port=port) for part in command], folder, {"PYTHONPATH": f"{folder}{os.pathsep}{ROOT}", **filled}

    return running(name, make, core, log, lambda client, url: client.post(f"{url}/", content=BODY, headers=HEADERS))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=int, default=1, help="length of a window")
    parser.add_argument("--connections", type=int, default=16)
    options = parser.parse_args()
    programs()
    cores = sorted(os.sched_getaffinity(0))
    headers = "\n".join(f"wrk.headers[{json.dumps(name)}] = {json.dumps(value)}" for name, value in HEADERS.items())
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        script = Path(name) / "load.lua"
        script.write_text(_SCRIPT.format(body=json.dumps(BODY), headers=headers) + DONE)
        try:
            sides = [stack.enter_context(started(peer, cores[0], Path(name) / f"{peer}.log")) for peer in PEERS]
            for turn in range(options.rounds):
                for side in sides if turn % 2 else sides[::-1]:
                    side.windows.append(wrk(side, cores[-1], options.connections, options.seconds, "/", script))
        except Unmeasured as reason:
            sys.exit(f"cannot measure: {reason}")
    ours = sides[0]
    ratios = {side.name: over(side, ours) for side in sides[1:]}
    figures = {f"vs_{name}": ratio for name, ratio in ratios.items() if name != "raw_uvicorn"}
    figures["share_of_raw_uvicorn"] = ratios["raw_uvicorn"]
    figures["us_per_event"] = median(ours).cpu * 1e6
    rows = []
    for side in sides:
        cpu, rate, p50, p99 = median(side)
        least = min(window.cpu for window in side.windows)
        row = [f"{cpu * 1e6:.1f}", f"{least * 1e6:.1f}", f"{rate:.0f}", f"{p50:.2f}", f"{p99:.2f}"]
        rows.append([side.name, *row, f"{over(side, ours):.2f}"])
    columns = ["side", "CPU us/event", "least", "events/s", "p50 ms", "p99 ms", "/ ours"]
    report("one event in, one reply out", columns, rows, figures)
    for key, goal in GOALS.items():
        if figures[key] < goal:
            print(f"{key}: {figures[key]:.2f} is below the goal {goal}", file=sys.stderr)


if __name__ == "__main__":
    main()
