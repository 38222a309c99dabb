"""One exchange over HTTP with a runtime that has no log: a request's events in, the functions' verdict out.

The platform delivers again what is answered 404, 408, 409, 429 or 5xx, and nothing else (Knative, "Delivery", and its
``SelectiveRetry``). So what can never succeed is answered 422 with the reason, and what may succeed later 503:

    204   done, nothing to say                 400, 413, 415   no event
    200   done, with the reply                 422   refused for good (``Reject``), or replies that have nowhere to go
    503   later (``Retry``), with Retry-After   429   faster than the handshake allowed, with Retry-After
    500   failed

Replies go into the answer where the sender asks for them (``Prefer: reply``) and there is exactly one, else to the sink.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from events.codec import Headers, encode_structured
from events.errors import BadEvent, Reject, Retry, UnsupportedMediaType
from events.event import Event
from infra.delivery.retry import cause
from infra.runtime.dispatch import Dispatcher
from infra.runtime.messages import JSON, Answer

if TYPE_CHECKING:
    from infra.runtime.sink import Sink

logger = logging.getLogger("sluice.functions")


class Exchange:
    """The functions of one process, and where what they yield goes."""

    def __init__(self, dispatch: Dispatcher, sink: Sink | None = None, retry_after_s: float = 1.0) -> None:
        self._dispatch, self._sink, self._retry_after = dispatch, sink, retry_after_s

    def blocks(self, events: Sequence[Event]) -> bool:
        """Whether answering may take long (a function reads objects, or replies are posted)."""
        if self._sink is not None:
            return True
        blocks = self._dispatch.blocks
        return any(blocks(event) for event in events) if len(events) != 1 else blocks(events[0])

    def answer(self, events: Sequence[Event], headers: Headers) -> Answer:
        """Run the functions and say what came of it. Never raises."""
        try:
            dispatch = self._dispatch
            many = len(events) != 1
            replies = [each for event in events for each in dispatch(event)] if many else dispatch(events[0])
            if not replies:
                return DONE
            if len(replies) == 1 and (self._sink is None or wants_reply(headers)):
                return Answer(200, *encode_structured(replies[0]))
            if self._sink is None:
                raise Reject(
                    f"{len(replies)} events came of event {events[0].id!r}, and one answer holds one: set a sink (K_SINK)"
                )
            self._sink.send(replies)
            return DONE
        except (Exception, SystemExit) as error:  # a function may end itself, but not the process
            return self.failed(error, events)

    def failed(self, error: BaseException, events: Sequence[Event] = ()) -> Answer:
        """The answer to an error; faults of ours and of functions are logged."""
        status, more = 500, []
        if isinstance(error, UnsupportedMediaType):
            status = 415
        elif isinstance(error, BadEvent) and not events:
            status = 400
        elif isinstance(error, Reject):
            status = 422
        elif isinstance(error, Retry):
            seconds = self._retry_after if error.after is None else error.after
            status, more = 503, [(b"retry-after", str(max(1, math.ceil(seconds))).encode())]
        text = cause(error)
        if events:
            about = {"event": events[0].id, "type": events[0].type}
            logger.warning("event %s: answered %d: %s", events[0].id, status, text, extra=about, exc_info=status == 500)
        return Answer(status, [JSON, *more], msgspec.json.encode({"error": text}))


DONE = Answer(204, [], b"")


def crowded(seconds: float) -> Answer:
    """The answer to a sender that is faster than it was allowed to be, and may come back in so many seconds."""
    error = {"error": "more events than sluice.http.webhook_rate allows a minute"}
    return Answer(429, [JSON, (b"retry-after", str(math.ceil(seconds)).encode())], msgspec.json.encode(error))


def wants_reply(headers: Headers) -> bool:
    """Whether the sender asks for the reply in the answer (RFC 7240: ``Prefer: reply``, among others, in any case)."""
    for name, value in headers:
        if name == b"prefer" or name.lower() == b"prefer":
            preferences = value.decode("latin-1").lower().replace(";", ",").split(",")
            if any(each.strip() == "reply" for each in preferences):
                return True
    return False
