"""Lineage of invocations that told of nothing: each process that works on events records those of its own worker."""

from __future__ import annotations

import time
from functools import partial

from events.event import Event
from infra.catalog import lineage_silent
from infra.catalog.database import Database
from infra.catalog.lineage_silent import SilentInvocation
from infra.delivery.silent import Done
from infra.lake import Lake
from infra.runtime.periodic import Periodic

PAGE, EVERY_SECONDS, FORGET_SECONDS = 500, 0.5, 3600.0


class SilentRecorder(Periodic):
    """The log does not know of them: they are written down beside the work, and forgotten as the log forgets its events."""

    def __init__(self, lake: Lake, every_s: float = EVERY_SECONDS) -> None:
        super().__init__("lineage.silent", every_s)
        self._lake, self._forget_at = lake, 0.0
        lake.silent.wanted = True

    def stop(self) -> None:
        super().stop()
        try:
            while self.step():
                pass
        except Exception as error:  # the process ends all the same
            self._logger.warning("the last invocations that told of nothing are not recorded: %s", error)

    def step(self) -> bool:
        """Record some of them; whether there may be more."""
        self._forget()
        taken = self._lake.silent.take(PAGE)
        if taken:
            try:
                self._lake.commit(partial(_record, [_invocation(each) for each in taken])).result()
            except BaseException:
                self._lake.silent.give_back(taken)
                raise
        return len(taken) == PAGE

    def _forget(self) -> None:
        days = self._lake.config.delivery.retain_days
        if not days or time.monotonic() < self._forget_at:
            return
        before = round((time.time() - days * 86400) * 1000)
        if not self._lake.commit(partial(_forget, before)).result():
            self._forget_at = time.monotonic() + FORGET_SECONDS


def _invocation(done: Done) -> SilentInvocation:
    used = frozenset((one.entity, one.version) for one in done.used)
    return SilentInvocation(done.mark[1], done.cause, done.started, done.ended, used)


def _record(told: list[SilentInvocation], database: Database) -> tuple[None, list[Event]]:
    lineage_silent.record(database, told)
    return None, []


def _forget(before: int, database: Database) -> tuple[bool, list[Event]]:
    return lineage_silent.forget(database, before, PAGE), []
