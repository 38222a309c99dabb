"""Retention: events are forgotten after some days, a few at a time, and then the payloads that only they had.

A payload is deposited in the lake (``claim_check.py``) just before its event is accepted. What was deposited a day before the
oldest event that anybody may still want therefore belongs to none, except to dead letters, which are kept until somebody
replays them.
"""

from __future__ import annotations

import logging
import threading
import time
from datetime import UTC, datetime, timedelta

from infra.delivery.claim_check import ClaimCheck
from infra.log.log import Log

logger = logging.getLogger("sluice.retention")
BATCH = 500
#: How often old events are looked for, in seconds.
PERIOD = 3600.0
#: Most dead letters that are looked through for payloads they need; with more, no payload is removed.
MOST_LETTERS = 100_000


class Retention:
    """Forgets what is older than ``days`` (0: nothing). ``step`` is called again and again and does a little each time."""

    def __init__(self, days: float, claims: ClaimCheck | None = None) -> None:
        self._seconds, self._claims = days * 86400, claims
        self._due = 0.0
        self._after = 0

    def step(self, log: Log) -> None:
        """Forget the next few events, if it is time. Payloads are removed beside the caller: the store may be slow."""
        if not self._seconds or time.monotonic() < self._due:
            return
        before, after = time.time() - self._seconds, self._after
        last = log.forget(before, after, BATCH)
        if last is not None:
            self._after = last
            return
        self._after, self._due = 0, time.monotonic() + PERIOD
        if self._claims is not None:
            threading.Thread(target=self._forget_payloads, args=(log, self._claims), name="retention", daemon=True).start()

    def _forget_payloads(self, log: Log, claims: ClaimCheck) -> None:
        try:
            removed = payloads(log, claims, self._seconds)
            if removed:
                logger.info("%d payloads of forgotten events were removed", removed)
        except Exception as error:  # the store or the log is away, or closed: there is a next time
            logger.warning("payloads of forgotten events are removed later: %s", error)


def payloads(log: Log, claims: ClaimCheck, seconds: float) -> int:
    """Remove the payloads deposited more than ``seconds`` ago that neither a delivery nor a dead letter needs; how many."""
    waiting = log.counts()["oldest_s"]
    letters = log.dead_letters(MOST_LETTERS)
    if len(letters) == MOST_LETTERS:
        return 0
    # Asked again: what was waiting may be a dead letter by now, and the other way round.
    age = timedelta(seconds=max(seconds, waiting, log.counts()["oldest_s"]), days=1)
    needed = {str(letter.event.extensions.get("dataref")) for letter in letters if letter.event is not None}
    return claims.forget(f"{datetime.now(UTC) - age:%Y-%m-%d}", needed)
