"""The worlds that faults happen in: a lake of real processes on free loopback ports, and the servers it needs.

embedded   one process on its SQLite log, objects in its own door
redis      two that work, two that accept, the log on Redis, objects in the door
ceph       the same with objects in Ceph, which tells by an ephemeral topic (bucket ``raw``) and a persistent one (``queued``)
postgres   as ``redis``, the catalogue in PostgreSQL: effects, inbox mark and the events that follow are one transaction there
"""

from __future__ import annotations

import os
import socket
import threading
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx

from infra.chaos.effects import SENT
from infra.chaos.processes import ACCESS, PATIENCE, ROOT, SECRET, Server, Stuck, Victim, port, until
from infra.chaos.sink import Sink
from infra.chaos.steps import Trap
from infra.config import Config
from infra.objects.s3 import S3Store
from infra.sources.dialect import CEPH
from infra.sources.notifications import EVENTS, Wish, enable
from infra.sources.token import push_token

WORLDS = {"embedded": (), "redis": ("redis",), "ceph": ("redis", "ceph"), "postgres": ("redis", "postgres")}
#: A bucket whose notifications go to ``Sink.records``, one whose notifications go to the second process that accepts, and one
#: whose arrive when Ceph's queue gets to it: checked at the end.
SHUFFLED, PUSHED, QUEUED = "shuffled", "pushed", "queued"
SINK_ATTEMPTS = 5
#: How long a dead worker keeps its shards. Where other programs have the processors, a living one loses them too, and whoever
#: takes them cannot tell: a delivery may be lost so many times, in one round, before it counts as what kills its workers.
LEASE_S, LOSSES = 2.0, 20


class World:
    """One lake. ``servers`` are those of ``WORLDS``, running."""

    def __init__(self, name: str, folder: Path, servers: dict[str, Server]) -> None:
        self.name, self.folder, self.servers = name, folder, servers
        self.several, self.ceph = name != "embedded", name == "ceph"
        (folder / "armed").mkdir(parents=True)
        self.trap, self.sink, self.client = Trap(folder / "armed"), Sink(), httpx.Client(timeout=10.0)
        self._held = socket.create_server(("127.0.0.1", 0), backlog=512) if self.ceph else None
        http, door = self._held.getsockname()[1] if self._held else port(), port()
        self.fronts = [f"http://127.0.0.1:{http}", *([f"http://127.0.0.1:{port()}"] if self.several else [])]
        self.endpoint = servers["ceph"].url if self.ceph else f"http://127.0.0.1:{door}"
        self.store = S3Store(self.endpoint, ACCESS, SECRET)
        self._environment = self._settings(http, door)
        self.victims = {each.name: each for each in self._victims()}
        self.mark, self.letters = 0, set[int]()
        #: Set by another thread: give up, soon.
        self.stopping = threading.Event()
        #: What the catalogue must hold of ``QUEUED`` in the end: key -> ETag, ``None`` for what was removed.
        self.owed: dict[str, str | None] = {}

    def _settings(self, http: int, door: int) -> dict[str, str]:
        targets = {"network": f"{self.sink.url}/records"}
        if self.several:
            targets["second"] = f"{self.fronts[1]}/events"
        settings: dict[str, Any] = {
            "DATA": self.folder / "data", "HTTP_PORT": http, "DOOR_PORT": door, "DOOR_ENABLED": not self.ceph,
            "DOOR_ACCESS_KEY": ACCESS, "DOOR_SECRET_KEY": SECRET, "DOOR_TARGETS": targets,
            "OBJECTS_ENDPOINT": self.endpoint, "OBJECTS_ACCESS_KEY": ACCESS, "OBJECTS_SECRET_KEY": SECRET,
            "FUNCTIONS": ["infra.chaos.effects"], "DELIVERY_LEASE_S": LEASE_S, "DELIVERY_ATTEMPTS": LOSSES,
            "DELIVERY_BACKOFF_S": 0.05, "DELIVERY_BACKOFF_MAX_S": 0.2, "DELIVERY_SINK_ATTEMPTS": SINK_ATTEMPTS,
        }  # fmt: skip
        if "redis" in self.servers:
            settings |= {"LOG_URL": self.servers["redis"].url, "LOG_PREFIX": f"{self.name}-{uuid4().hex[:8]}"}
        if "postgres" in self.servers:
            settings["CATALOG_URL"] = self.servers["postgres"].url
        kept = {name: value for name, value in os.environ.items() if not name.startswith("SLUICE_")}
        return {**kept, "PYTHONPATH": str(ROOT), **{f"SLUICE_{name}": str(value) for name, value in settings.items()}}

    def _victims(self) -> list[Victim]:
        roles = {"up": ["up"]}
        if self.several:
            roles |= {"worker": ["worker"], "ingress": ["ingress", self.fronts[1].rpartition(":")[2]]}
        armed, environment = self.folder / "armed", self._environment
        return [
            Victim(name, armed, role, environment, self.folder / f"{name}.log", self._held if name == "up" else None)
            for name, role in roles.items()
        ]

    def start(self) -> None:
        """Start everything, with buckets and subscribers."""
        self.victims["up"].start()
        until(lambda: self._ready(0), f"the lake to start (see {self.folder}/up.log)")
        for path, types in (("ok", SENT), ("flaky", "chaos.event.flaky"), ("never", "chaos.event.doomed")):
            wanted = {"sink": f"{self.sink.url}/{path}", "types": [types]}
            self.client.post(f"{self.fronts[0]}/subscriptions", json=wanted).raise_for_status()
        self.nurse()
        if self.several:
            until(lambda: self._ready(1), f"the second process that accepts to start (see {self.folder}/ingress.log)")
        self._buckets()

    def _buckets(self) -> None:
        self.store.ensure("raw")
        if self.ceph:
            self.store.ensure(QUEUED)
            token = push_token(Config(data=str(self.folder / "data")))
            for bucket, front, persistent in (("raw", self.fronts[1], False), (QUEUED, self.fronts[0], True)):
                enable(self.store, CEPH, Wish(bucket=bucket, push=f"{front}/events/{token}", persistent=persistent))
            return
        for bucket, target in ((SHUFFLED, "network"), *(((PUSHED, "second"),) if self.several else ())):
            self.store.ensure(bucket)
            rule = {"TopicArn": f"arn:sluice:sns:::{target}", "Events": list(EVENTS)}
            only = {"TopicConfigurations": [rule]}
            self.store.client.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration=only)

    @property
    def buckets(self) -> list[str]:
        """Where uploads may go."""
        return ["raw", QUEUED] if self.ceph else ["raw", PUSHED] if self.several else ["raw"]

    def _ready(self, front: int) -> bool:
        try:
            return self.client.get(f"{self.fronts[front]}/readyz", timeout=2.0).is_success
        except httpx.HTTPError:
            return False

    def nurse(self) -> None:
        """Start again what has died, unless it is kept away. Raises ``Stuck`` when all shall stop."""
        if self.stopping.is_set():
            raise Stuck("stopped")
        for victim in self.victims.values():
            if not victim.alive and time.monotonic() >= victim.away_until:
                victim.start()

    def get(self, path: str, **parameters: Any) -> Any:
        """The JSON answer of the lake's API, once it gives one. Raises ``Stuck``."""
        end = time.monotonic() + PATIENCE
        while True:
            self.nurse()
            try:
                return self.client.get(self.fronts[0] + path, params=parameters).raise_for_status().json()
            except httpx.HTTPError as error:
                if time.monotonic() > end:
                    raise Stuck(f"{path} is not answered: {error}") from error
                time.sleep(0.05)

    def quiet(self) -> None:
        """Wait until nothing is under way: seen twice, because a notification may move between two looks."""
        before = None
        end = time.monotonic() + PATIENCE
        while True:
            status = self.get("/status")
            now = status["log"]["events"], status["log"]["waiting"], status.get("door", {"outbox": 0})["outbox"]
            if now == before and now[1:] == (0, 0) and self._ready(len(self.fronts) - 1):
                return
            if time.monotonic() > end:
                raise Stuck(f"the lake does not come to rest: {status['log']}, outbox {now[2]}")
            before = now
            time.sleep(0.05)

    def idle(self) -> bool:
        """Whether no delivery waits at this moment."""
        return bool(self.client.get(f"{self.fronts[0]}/status").json()["log"]["waiting"] == 0)

    def reconcile(self, bucket: str) -> None:
        """Sweep a bucket for what no notification told."""
        try:
            answer = self.client.post(f"{self.fronts[0]}/reconcile", json={"bucket": bucket, "restart": True}, timeout=60.0)
            answer.raise_for_status()
        except httpx.HTTPError as error:
            raise Stuck(f"{bucket} cannot be reconciled: {error}") from error
        if "error" in answer.text:
            raise Stuck(f"{bucket} cannot be reconciled: {answer.text[-500:]}")

    def log(self, after: int) -> list[dict[str, Any]]:
        """The events accepted behind a number."""
        found: list[dict[str, Any]] = []
        while page := self.get("/events", after=after, limit=10_000)["events"]:
            found += page
            after = page[-1]["seq"]
        return found

    def close(self) -> None:
        """End everything that belongs to this lake."""
        for victim in self.victims.values():
            victim.end()
        self.sink.close()
        self.client.close()
        self.store.close()
        if self._held:
            self._held.close()
