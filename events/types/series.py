"""What is told of the world: points of time series."""

from __future__ import annotations

from events.types.base import Data, event_type


@event_type("dev.sluice.observation.recorded.v1")
class ObservationRecorded(Data, frozen=True, kw_only=True):
    """Something was measured: a ``value`` of the series ``metric`` with these ``tags``, at ``time`` or the event's own."""

    metric: str
    value: float
    tags: dict[str, str] = {}
    time: str = ""
