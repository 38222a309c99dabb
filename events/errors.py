"""What went wrong, told by what the *sender* of the event must do next.

    SluiceError
    ├── Reject          never again: the event goes to the dead letters now
    │   └── BadEvent    the bytes on the wire are no event (HTTP 400)
    │       └── UnsupportedMediaType   nobody here reads that media type (HTTP 415)
    └── Retry           later: the event is delivered again after a delay

Any other exception is retried with growing delays a bounded number of times and then becomes a dead letter with its cause.
"""

from __future__ import annotations


class SluiceError(Exception):
    """Root of every error raised on purpose. Its text is for people: what, with which object, what to do."""


class Reject(SluiceError):
    """The event can never succeed (a broken object, a malformed request): dead letter now, without retries."""


class Retry(SluiceError):
    """The event may succeed later, for example when a store is unreachable.

    Args:
        message: the reason, for people.
        after: seconds to wait before the next attempt; ``None`` leaves it to the back-off.

    """

    def __init__(self, message: str, after: float | None = None) -> None:
        super().__init__(message)
        self.after = after


class BadEvent(Reject):
    """Bytes that are not the CloudEvent, notification or message they claim to be. HTTP status 400."""


class UnsupportedMediaType(BadEvent):
    """A content type that no codec here reads. HTTP status 415."""
