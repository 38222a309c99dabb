"""Every recorded observation becomes a point of its time series: once, whatever comes twice."""

from __future__ import annotations

from datetime import UTC

from events.errors import Reject
from events.event import Event, instant
from events.ports import Series
from events.route import on
from events.types import ObservationRecorded


@on("dev.sluice.observation.recorded.v1")
def observation(event: Event, data: ObservationRecorded, series: Series) -> None:
    """Record the observation at its own time, else at the event's."""
    try:
        moment = instant(data.time) if data.time else event.moment
    except ValueError as error:
        raise Reject(f"the observation of {data.metric!r} has no RFC 3339 time: {data.time!r}") from error
    if moment is None:
        raise Reject(f"neither the observation of {data.metric!r} nor its event has a time")
    series.record(data.metric, data.tags, moment if moment.tzinfo else moment.replace(tzinfo=UTC), data.value)
