"""The relay: moves the door's notifications into the event log, or posts them to the targets a bucket names.

A notification leaves the door's outbox only after the log has it on disk; the log drops repetitions. So none is lost, none
doubled, wherever the process dies.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from typing import Any

import httpx
import msgspec

from events.errors import Retry
from events.s3 import events_from
from infra.complaint import Complaint
from infra.lake import Lake
from infra.objects.door import Door

logger = logging.getLogger("sluice.relay")
BATCH = 256
LAKE = "lake"
PAUSE = 1.0


class Relay:
    """A thread between one door and one lake."""

    def __init__(self, door: Door, lake: Lake, targets: Mapping[str, str] | None = None) -> None:
        self._door, self._lake, self._urls = door, lake, dict(targets or {})
        self._stopping = threading.Event()
        self._trouble = Complaint(logger, "notifications wait in the door")
        self._client = httpx.Client(timeout=10.0)
        self._paused: dict[str, float] = {}
        self._thread = threading.Thread(target=self._run, name="relay", daemon=True)

    def start(self) -> None:
        """Begin to move notifications."""
        self._thread.start()

    def stop(self) -> None:
        """Stop after the batch at hand; the rest waits in the outbox."""
        self._stopping.set()
        self._thread.join()
        self._client.close()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                moved = self.step()
                self._trouble.over()
                if not moved:
                    self._door.wait(0.5)
            except Retry as error:
                self._trouble.tell(error)
                self._stopping.wait(PAUSE)
            except Exception:
                logger.exception("the relay could not go on; trying again in a second")
                self._stopping.wait(PAUSE)

    def step(self) -> bool:
        """Move one batch for each target; whether anything was moved."""
        moved = False
        for target in (LAKE, *self._urls):
            if self._paused.get(target, 0.0) > time.monotonic():
                continue
            batch = self._door.pending(BATCH, target)
            records = [record for _, _, record in batch]
            if not batch:
                continue
            if target == LAKE:
                self._accept(records)
            elif not self._post(target, records):
                self._paused[target] = time.monotonic() + PAUSE
                continue
            self._door.delivered([sequence for sequence, _, _ in batch])
            moved = True
        return moved

    def _accept(self, records: list[dict[str, Any]]) -> None:
        received = events_from({"Records": records})
        if received is None:
            return
        if received.rejects:
            self._lake.reject([(reject.body, str(reject.error)) for reject in received.rejects]).result()
        self._lake.append(received.events).result()

    def _post(self, target: str, records: list[dict[str, Any]]) -> bool:
        """Post to an HTTP target; a failing one is asked again after a pause and holds up nobody else."""
        try:
            body = msgspec.json.encode({"Records": records})
            answer = self._client.post(self._urls[target], content=body, headers={"content-type": "application/json"})
        except httpx.HTTPError as error:
            logger.warning("the notification target %r cannot be reached: %s", target, error)
            return False
        if not answer.is_success:
            logger.warning("the notification target %r answered %d", target, answer.status_code)
        return answer.is_success
