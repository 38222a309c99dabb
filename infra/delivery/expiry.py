"""Expiry: an event whose ``expirytime`` has passed is skipped, by functions and subscribers alike.

Source: CloudEvents extension "expirytime". A value that is no RFC 3339 time never expires: the event itself is sound.
"""

from __future__ import annotations

from datetime import UTC, datetime

from events.attributes import check_time
from events.errors import BadEvent
from events.event import Event, instant


def is_expired(event: Event, at: datetime | None = None) -> bool:
    """Whether nobody wants the event any more, now or at ``at`` (aware)."""
    value = event.extensions.get("expirytime")
    if not isinstance(value, str):
        return False
    try:
        check_time("expirytime", value)
    except BadEvent:
        return False
    return instant(value) <= (at or datetime.now(UTC))
