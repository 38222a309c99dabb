"""The intake: what came in, by whatever way, is made ready for the log and stored.

An event gets the trace of the request that brought it, and a large payload is deposited. Events go first and what is no event
after them: whoever sends again because something failed finds its events known, and its dead letters have not doubled.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from events.codec import Headers
from events.event import Event
from events.received import Received
from infra.delivery.claim_check import LIMIT
from infra.delivery.tracing import traced_by
from infra.lake import Lake


def prepared(lake: Lake, events: Sequence[Event], headers: Headers = ()) -> list[Event]:
    """The events as the log keeps them. Raises ``Retry`` where the object store is away."""
    return [lake.claims.deposit(event) for event in traced_by(events, headers)]


def store(lake: Lake, received: Received) -> int:
    """Store all that was received, and wait for that; how many events were new. Raises ``Retry``."""
    new = lake.append(prepared(lake, received.events)).result() if received.events else 0
    if rejected := _rejected(received):
        lake.reject(rejected).result()
    return new


async def stored(lake: Lake, received: Received, headers: Headers, size: int) -> int:
    """As ``store``, for what a request of ``size`` bytes has brought, without holding up an event loop."""
    new = 0
    if received.events:
        if size > LIMIT:
            events: Sequence[Event] = await asyncio.to_thread(prepared, lake, received.events, headers)
        else:
            events = traced_by(received.events, headers)
        new = await asyncio.wrap_future(lake.append(events))
    if rejected := _rejected(received):
        await asyncio.wrap_future(lake.reject(rejected))
    return new


def _rejected(received: Received) -> list[tuple[bytes, str]]:
    return [(reject.body, str(reject.error)) for reject in received.rejects]
