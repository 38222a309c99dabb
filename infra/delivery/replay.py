"""Replay, tried first: run a function over a dead letter, or over the log's history, in a transaction that is rolled back, and
tell what it would have done.

What no transaction can undo, such as writing objects, is noted and not done. A function that may take minutes is not run.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from events.errors import Reject
from events.event import Event
from events.json_format import to_document
from infra.delivery.expiry import is_expired
from infra.delivery.retry import cause
from infra.delivery.watched import Change, watched
from infra.lake import Lake


class Trial(msgspec.Struct, frozen=True):
    """What replaying one dead letter, or one event of the log, would do now: ``error`` if it failed, else events and changes.

    ``id`` is the number of the one or the other.
    """

    id: int
    function: str
    events: list[dict[str, Any]] = []
    changes: list[Change] = []
    error: str = ""
    note: str = ""


def dry_run(lake: Lake, numbers: list[int]) -> list[Trial]:
    """Try each dead letter by itself; nothing is kept. Raises ``Reject`` for one that does not exist or is no event."""
    letters = []
    for number in numbers:
        found = lake.log.dead_letters(number=number)
        if not found or found[0].event is None:
            raise Reject(f"there is no dead letter {number} that holds an event; see: sluice dead-letters")
        letters.append(found[0])
    return [_try(lake, letter.id, letter.target, letter.event) for letter in letters if letter.event is not None]


class History(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which of the log's events are tried with ``function``: those of ``type`` (``*`` is any text) behind the number ``after``.

    At most ``limit`` of them, the oldest first.
    """

    function: str
    type: str = "*"
    after: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)] = 0
    limit: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 100


def try_history(lake: Lake, wanted: History) -> tuple[list[Trial], int]:
    """Try a function with what the log still has, whether or not it was ever given that; and the last number looked at.

    Each event is tried by itself, against the lake as it is now; nothing is kept. Raises ``Reject`` for an unknown function.
    """
    if wanted.function not in lake.functions:
        raise Reject(f"no function is called {wanted.function[:80]!r}; there are {', '.join(sorted(lake.functions))}")
    found = lake.log.tail(wanted.after, wanted.limit, wanted.type)
    return [_try(lake, number, wanted.function, event) for number, _, event in found], found[-1][0] if found else wanted.after


def _try(lake: Lake, number: int, target: str, event: Event) -> Trial:
    if target not in lake.functions:
        return Trial(number, target, note="it would be posted to the subscriber's sink, which is not tried")
    if is_expired(event):
        return Trial(number, target, note="it has expired, and would be skipped")
    if lake.functions[target].long:
        return Trial(number, target, note="it would begin its work of minutes again, which is not tried")
    changes: list[Change] = []
    try:
        replies = lake.trial(target, lake.claims.redeem(event), lambda kind, port: watched(kind, port, changes))
    except Exception as error:
        return Trial(number, target, error=cause(error))
    return Trial(number, target, [to_document(reply) for reply in replies], changes)
