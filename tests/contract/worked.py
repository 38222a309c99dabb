"""What a worker works on in the tests of event logs: events, and what its functions were given of them."""

from __future__ import annotations

import threading
from collections import defaultdict

from events.event import Event
from infra.config import Delivery
from infra.lake import Lake

QUICK = Delivery(attempts=3, backoff_s=0.01, backoff_max_s=0.02, lease_s=0.6)


def event(number: object, subject: str = "s", kind: str = "test.work", data: object = None) -> Event:
    return Event(id=str(number), source="/t", type=kind, subject=subject, datacontenttype="application/json", data=data)


class Seen:
    """What the functions of a test were given, and what they shall do about it."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str, str]] = []
        self.failures: dict[str, list[BaseException]] = defaultdict(list)
        self.gate = threading.Event()
        self.gate.set()

    def note(self, name: str, event: Event) -> None:
        self.calls.append((name, event.subject or "", event.id))
        if self.failures[event.id]:
            raise self.failures[event.id].pop(0)

    def of(self, name: str) -> list[str]:
        return [number for called, _, number in self.calls if called == name]


def settled(lake: Lake) -> bool:
    return bool(lake.status()["log"]["waiting"] == 0)


def effects(lake: Lake) -> int:
    return int(lake.status()["catalog"].get("ready", {"objects": 0})["objects"])
