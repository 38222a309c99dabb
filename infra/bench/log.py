"""Durable appends to the event log: many waiting senders, whose appends go in one flush, beside one sender after the other.

    python -m infra.bench.log [--rounds 5] [--seconds 1.0]

``sqlite_durable_per_s``: appends/s of 64 senders that each wait for their own answer, ``synchronous=FULL``, over those of
one sender. ``redis_always_group`` and ``redis_everysec_group``: the same on Redis with ``appendfsync`` always and everysec.
Medians over rounds in which the two sides take turns; wall time, because waiting for the disk is what grouping saves.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path

from events.event import Event
from infra.bench.load import Unmeasured
from infra.bench.peers import RECORD
from infra.bench.redis_process import redis_process
from infra.bench.table import report
from infra.config import Config, EventLog
from infra.lake import Lake
from infra.log.log import Log
from infra.objects.s3 import S3Store
from infra.runtime.garbage import settle_in

SENDERS = 64
_numbers = count()


def event() -> Event:
    """An event nobody has sent before and no function wants."""
    number = next(_numbers)
    return Event(
        id=f"4f3c2e1d-0000-4444.{number}", source="ceph:s3.default.lake", type="bench.object.created",
        subject=f"raw/{number}", time="2026-05-01T10:00:00.123456Z", datacontenttype="application/json", data=RECORD,
    )  # fmt: skip


class Sender:
    """Has one append on the way at any time: the answer to one sends the next."""

    def __init__(self, log: Log, end: float) -> None:
        self._log, self._end = log, end
        self.sent = 0
        self.done: Future[None] = Future()

    def send(self, answer: Future[int] | None = None) -> None:
        """Count the answer and send the next event, until the time is up."""
        try:
            self.sent += answer.result() if answer else 0
            if time.perf_counter() < self._end:
                self._log.append([event()]).add_done_callback(self.send)
            else:
                self.done.set_result(None)
        except Exception as error:
            self.done.set_exception(error)


def rate(log: Log, senders: int, seconds: float) -> tuple[float, float]:
    """Durable appends a second, and microseconds of CPU for one."""
    before, cpu = time.perf_counter(), time.process_time()
    sending = [Sender(log, before + seconds) for _ in range(senders)]
    for sender in sending:
        sender.send()
    for sender in sending:
        sender.done.result()
    accepted = sum(sender.sent for sender in sending)
    if not accepted:
        raise Unmeasured("nothing was accepted")
    return accepted / (time.perf_counter() - before), (time.process_time() - cpu) / accepted * 1e6


@contextmanager
def lake_on(folder: Path, log: EventLog) -> Iterator[Lake]:
    """A lake without a worker."""
    store = S3Store("http://127.0.0.1:9", "none", "none")
    lake = Lake(Config(data=str(folder), log=log), store)
    try:
        yield lake
    finally:
        lake.close()
        store.close()


def measure(log: Log, rounds: int, seconds: float) -> dict[int, tuple[float, float]]:
    """Rate and CPU by how many senders there are: medians."""
    samples: dict[int, list[tuple[float, float]]] = {1: [], SENDERS: []}
    rate(log, SENDERS, 0.2)
    settle_in()  # as the processes of a lake do
    for turn in range(rounds):
        for senders in (1, SENDERS) if turn % 2 else (SENDERS, 1):
            samples[senders].append(rate(log, senders, seconds))
    middle: Callable[[list[float]], float] = statistics.median
    return {n: (middle([each[0] for each in found]), middle([each[1] for each in found])) for n, found in samples.items()}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0, help="length of one sample")
    options = parser.parse_args()
    rows: list[list[object]] = []
    figures: dict[str, float] = {}
    sides = {"sqlite_durable_per_s": "", "redis_always_group": "always", "redis_everysec_group": "everysec"}
    try:
        with tempfile.TemporaryDirectory() as name:
            for key, fsync in sides.items():
                with ExitStack() as stack:
                    url = stack.enter_context(redis_process(Path(name) / f"redis-{fsync}", fsync)).url if fsync else ""
                    lake = stack.enter_context(lake_on(Path(name) / key, EventLog(url=url)))
                    found = measure(lake.log, options.rounds, options.seconds)
                for senders, (speed, cpu) in found.items():
                    rows.append([f"Redis, {fsync}" if fsync else "SQLite, FULL", senders, f"{speed:.0f}", f"{cpu:.0f}"])
                figures[key] = found[SENDERS][0] / found[1][0]
    except Unmeasured as reason:
        sys.exit(f"cannot measure: {reason}")
    report("durable appends", ["log", "senders", "events/s", "CPU us/event"], rows, figures)


if __name__ == "__main__":
    main()
