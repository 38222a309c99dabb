"""Recorded time: when this lake learnt of an event, which may be long after it happened (``time``).

Source: CloudEvents extension "recordedtime". What the producer of an event told stays.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from events.event import Event, now


def recorded(events: Iterable[Event]) -> list[Event]:
    """``events`` as they are accepted now."""
    at = now()
    return [
        event
        if "recordedtime" in event.extensions
        else msgspec.structs.replace(event, extensions={**event.extensions, "recordedtime": at})
        for event in events
    ]
