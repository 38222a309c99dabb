"""The planner of a lake's own maps: nothing is asked by HTTP, and what a run took goes into the log."""

from __future__ import annotations

from typing import TYPE_CHECKING

from events.ports import NotFound
from events.types import PlanReady, PlanRequested, TaskExecuted
from infra.runtime.direct import DirectCatalog
from infra.runtime.planner_client import Ports, event_of, plan_with

if TYPE_CHECKING:
    from infra.lake import Lake


class LakePlanner:
    """Over ``lake``. What lies in its own bucket no catalogue knows: that is looked into."""

    def __init__(self, lake: Lake) -> None:
        self._lake, self._own = lake, lake.config.bucket
        self._direct = DirectCatalog(lake.objects, self._own)

    def plan(self, request: PlanRequested) -> PlanReady:
        if not any(address.startswith(f"s3://{self._own}/") for address in request.objects):
            (reply,) = self._lake.call("plan", event_of(request))
            return reply.read(PlanReady)
        with self._lake.unit() as unit:
            ports = Ports(self._direct, self._lake.learnt(unit), self._lake.objects, self._lake.config.settings)
            return plan_with(ports, request)

    def publish(self, executed: TaskExecuted) -> None:
        self._lake.append([event_of(executed)])

    def close(self) -> None:
        """Remove the indexes of what was looked into."""
        for key in self._direct.written:
            try:
                self._lake.objects.delete(self._own, key)
            except NotFound:  # with its bucket
                return
