"""Exactly-once consumption with effects from Redis, beside FastStream's consumers, which acknowledge and no more.

    python -m infra.bench.consumer [--rounds 3] [--events 20000]

Every side decodes the same events and makes the same checks. Ours also keeps a document for each subject in Redis, read,
changed and written for each event in one step with its inbox mark and acknowledgement; the documents are counted afterwards.
``vs_faststream_single`` and ``vs_faststream_batch``: CPU seconds of FastStream's process / of ours, for an event.
``redis_effects_per_core_s``: effects for a second of CPU of our process and the Redis server together. Medians over the rounds.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from events.codec import to_json
from events.event import Event
from events.ports import Profiles
from events.route import on
from infra.bench.load import Unmeasured
from infra.bench.peers import RECORD
from infra.bench.redis_process import Server, redis_process
from infra.bench.table import report
from infra.config import Config, Delivery, EventLog
from infra.lake import Lake
from infra.objects.s3 import S3Store
from infra.runtime.garbage import settle_in
from infra.runtime.silent_recorder import SilentRecorder

ROOT = Path(__file__).parents[2]
FASTSTREAM = "faststream[redis]==0.7.8"
#: None that a function of the suite wants.
TYPE = "bench.object.created"
SUBJECTS = 500
BATCH = 64
CHECK = """
def check(type, data):
    s3 = data["s3"]
    if type != "bench.object.created" or not (s3["bucket"]["name"] and s3["object"]["key"]):
        raise ValueError(type)
    return s3["object"]["size"]
"""
THEIRS = (
    CHECK
    + """
import asyncio, json, logging, sys, time
from faststream.redis import RedisBroker, StreamSub

url, count, batch = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
broker = RedisBroker(url, logger=None)
seen, total, done = 0, 0, asyncio.Event()

def note(sizes):
    global seen, total
    seen += len(sizes)
    total += sum(sizes)
    if seen >= count:
        done.set()

if batch:
    @broker.subscriber(stream=StreamSub("bench", group="g", consumer="c", batch=True, max_records=batch))
    async def handle(messages: list[dict]):
        note([check(message["type"], message["data"]) for message in messages])
else:
    @broker.subscriber(stream=StreamSub("bench", group="g", consumer="c", max_records=64))
    async def handle(message: dict):
        note([check(message["type"], message["data"])])

async def main():
    await broker.connect()
    before = time.process_time()
    await broker.start()
    await asyncio.wait_for(done.wait(), 300)
    print(json.dumps({"cpu": time.process_time() - before, "seen": seen, "total": total}))
    await broker.stop()

asyncio.run(main())
"""
)
PUBLISH = """
import asyncio, json, sys
import redis
from faststream.redis.message import bDATA_KEY
from faststream.redis.parser import BinaryMessageFormatV1 as Format

async def main():
    client = redis.Redis.from_url(sys.argv[1])
    client.xgroup_create("bench", "g", "0", mkstream=True)
    pipe = client.pipeline(transaction=False)
    for line in sys.stdin.buffer:
        event = json.loads(line)
        body = await Format.encode(message=event, reply_to=None, headers=None, correlation_id=event["id"])
        pipe.xadd("bench", {bDATA_KEY: body})
        if len(pipe) >= 500:
            pipe.execute()
    pipe.execute()
    client.close()

asyncio.run(main())
"""
_names: dict[str, Callable[[str, object], int]] = {}
exec(CHECK, _names)
check = _names["check"]


@on(TYPE)
def total(event: Event, profiles: Profiles) -> None:
    """How many objects a subject has had, and their bytes."""
    size = check(event.type, event.data)
    key = str(event.subject)
    known = profiles.get(key) or {"objects": 0, "bytes": 0}
    profiles.put(key, {"objects": known["objects"] + 1, "bytes": known["bytes"] + size})


def events(count: int) -> list[Event]:
    """So many different events about ``SUBJECTS`` subjects."""
    return [
        Event(
            id=f"4f3c2e1d-0000-4444.{number}", source="ceph:s3.default.lake", type=TYPE, time="2026-05-01T10:00:00.123456Z",
            subject=f"raw/observation-{number % SUBJECTS:04d}.fits", datacontenttype="application/json", data=RECORD,
        )
        for number in range(count)
    ]  # fmt: skip


def consume(url: str, count: int) -> None:
    """In a process of its own: work on what is in the log, then print the CPU that took and what the effects add up to."""
    with tempfile.TemporaryDirectory() as folder:
        store = S3Store("http://127.0.0.1:9", "none", "none")
        keep = Delivery(retain_days=0)  # there is no object store to tidy
        lake = Lake(Config(data=folder, functions=["infra.bench.consumer"], log=EventLog(url=url), delivery=keep), store)
        recorder = SilentRecorder(lake)  # as every worker has it
        settle_in()
        before = time.process_time()
        recorder.start()
        lake.worker.start()
        while lake.log.counts()["waiting"]:
            time.sleep(0.1)  # asking costs both sides
        lake.worker.stop()
        recorder.stop()
        cpu = time.process_time() - before
        effects = lake.profiles()
        lake.log.close()
        lake.close()
        store.close()
    print(json.dumps({"cpu": cpu, "seen": sum(document["objects"] for document in effects.values())}))


def faststream() -> str:
    """The Python of an environment with FastStream, made if it is missing."""
    folder = ROOT / "build" / "peers" / "faststream"
    python = folder / "bin" / "python"
    if not (folder / "ready").exists():
        try:
            subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
            subprocess.run([str(python), "-m", "pip", "install", "-q", FASTSTREAM, "hiredis"], check=True)
        except subprocess.CalledProcessError as error:
            raise Unmeasured(f"FastStream cannot be installed: {error}") from error
        (folder / "ready").touch()
    return str(python)


def fill_ours(url: str, made: list[Event]) -> None:
    """Append them to the log."""
    with tempfile.TemporaryDirectory() as folder:
        store = S3Store("http://127.0.0.1:9", "none", "none")
        lake = Lake(Config(data=folder, functions=["infra.bench.consumer"], log=EventLog(url=url)), store)
        for first in range(0, len(made), 500):
            lake.append(made[first : first + 500]).result()
        lake.close()
        store.close()


def fill_theirs(url: str, made: list[Event]) -> None:
    """Publish them in FastStream's own message format."""
    lines = b"\n".join(to_json(event) for event in made)
    subprocess.run([faststream(), "-c", PUBLISH, url], input=lines, check=True)


def measure(side: str, made: list[Event], folder: Path) -> tuple[float, float, float]:
    """CPU seconds of the consumer and of Redis, and seconds of wall, for all events. ``Unmeasured`` if any is missing."""
    with redis_process(folder, "everysec") as server:
        if side == "ours":
            fill_ours(server.url, made)
            command = [sys.executable, "-m", "infra.bench.consumer", "--consume", server.url, "--events", str(len(made))]
        else:
            fill_theirs(server.url, made)
            batch = BATCH if side == "faststream batch" else 0
            command = [faststream(), "-c", THEIRS, server.url, str(len(made)), str(batch)]
        return _run(server, command, side, len(made))


def _run(server: Server, command: list[str], side: str, count: int) -> tuple[float, float, float]:
    before, start = server.cpu(), time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wall = time.perf_counter() - start
    if done.returncode:
        raise Unmeasured(f"{side} failed: {done.stderr[-2000:]}")
    answer = json.loads(done.stdout.splitlines()[-1])
    if answer["seen"] != count:
        raise Unmeasured(f"{side} has worked on {answer['seen']} of {count} events")
    return answer["cpu"], server.cpu() - before, wall


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--consume", metavar="URL", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.consume:
        consume(options.consume, options.events)
        return
    sides = ["ours", "faststream single", "faststream batch"]
    samples: dict[str, list[tuple[float, float, float]]] = {side: [] for side in sides}
    made = events(options.events)
    try:
        faststream()
        with tempfile.TemporaryDirectory() as name:
            for turn in range(options.rounds):
                for side in sides if turn % 2 else reversed(sides):
                    samples[side].append(measure(side, made, Path(name) / f"{turn}-{side.replace(' ', '-')}"))
    except Unmeasured as reason:
        sys.exit(f"cannot measure: {reason}")
    middle = statistics.median
    cpu = {side: middle([sample[0] for sample in found]) for side, found in samples.items()}
    served = {side: middle([sample[1] for sample in found]) for side, found in samples.items()}
    count = options.events
    rows = [
        [
            side,
            f"{cpu[side] / count * 1e6:.1f}",
            f"{served[side] / count * 1e6:.1f}",
            f"{count / (cpu[side] + served[side]):.0f}",
        ]
        for side in sides
    ]
    figures = {
        "vs_faststream_single": cpu["faststream single"] / cpu["ours"],
        "vs_faststream_batch": cpu["faststream batch"] / cpu["ours"],
        "redis_effects_per_core_s": count / (cpu["ours"] + served["ours"]),
    }
    columns = ["consumer", "its CPU us/event", "Redis CPU us/event", "events/s per core, both"]
    report("consumers of a Redis stream; ours with an effect for each event", columns, rows, figures)


if __name__ == "__main__":
    main()
