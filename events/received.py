"""What one message brought in: events, parts that are none, and a request to confirm a subscription."""

from __future__ import annotations

from typing import Any

import msgspec

from events.errors import BadEvent
from events.event import Event


class Rejected(msgspec.Struct, frozen=True):
    """A part of a message that cannot become an event: the part as JSON, and why (with the path of the problem)."""

    body: bytes
    error: BadEvent


class Confirmation(msgspec.Struct, frozen=True, kw_only=True):
    """An SNS topic asks whether it may send here: whoever trusts the topic answers by a GET of ``url``.

    The URL comes from outside. Fetch it only for a topic that the operator has allowed, at a host of amazonaws.com.
    """

    topic: str
    url: str
    token: str = ""


class Received(msgspec.Struct, frozen=True, kw_only=True):
    """The content of one message. The endpoint appends ``events`` to the log and keeps ``rejects`` as dead letters, both
    before it answers 2xx: the good records of a batch are not lost with a bad one, and a store that repeats for ever what
    was refused is not given reason to. All lists may be empty (an ``s3:TestEvent``, a keep-alive): 2xx as well.

    ``store`` says that the whole has a form in which stores write, so that a store may be who sent what is in ``rejects``.
    ``sns`` are the SNS messages that all of this came in, whose signatures nobody has looked at yet (see ``events/sns.py``).
    """

    events: list[Event] = []
    rejects: list[Rejected] = []
    confirmation: Confirmation | None = None
    sns: list[dict[str, Any]] = []
    store: bool = False


def rejected(part: Any, error: BadEvent) -> Rejected:
    """``part``, any JSON value, with the reason why it is no event."""
    return Rejected(msgspec.json.encode(part), error)


def joined(parts: list[Received]) -> Received:
    """Several messages as one."""
    if len(parts) == 1:
        return parts[0]
    return Received(
        events=[event for part in parts for event in part.events],
        rejects=[reject for part in parts for reject in part.rejects],
        confirmation=next((part.confirmation for part in parts if part.confirmation), None),
        sns=[message for part in parts for message in part.sns],
        store=any(part.store for part in parts),
    )
