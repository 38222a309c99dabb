"""People, emergencies, routes: where somebody is, what endangers which places.

People, places and hazards are IRIs, classes and properties too; any of them may be written with a known prefix
(``per:Flood``). ``time`` is when it was so (the phenomenon time), the event's own unless given.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from events.types.base import Data, event_type

Longitude = Annotated[float, msgspec.Meta(ge=-180, le=180)]
Latitude = Annotated[float, msgspec.Meta(ge=-90, le=90)]


@event_type("dev.sluice.position.recorded.v1")
class PositionRecorded(Data, frozen=True, kw_only=True):
    """Somebody was seen in a ``place``. ``kind`` is the class of the person; ``accuracy`` is in metres."""

    person: str
    place: str
    kind: str = "per:Person"
    longitude: Longitude | None = None
    latitude: Latitude | None = None
    accuracy: Annotated[float, msgspec.Meta(ge=0)] | None = None
    time: str = ""


@event_type("dev.sluice.hazard.raised.v1")
class HazardRaised(Data, frozen=True, kw_only=True):
    """A hazard of the class ``kind`` affects these places from now on, and no other; ``severity`` is 1 to 5."""

    hazard: str
    kind: str
    affects: Annotated[list[str], msgspec.Meta(min_length=1)]
    severity: Annotated[int, msgspec.Meta(ge=1, le=5)] | None = None
    time: str = ""


@event_type("dev.sluice.hazard.cleared.v1")
class HazardCleared(Data, frozen=True, kw_only=True):
    """A hazard is over."""

    hazard: str
    time: str = ""
