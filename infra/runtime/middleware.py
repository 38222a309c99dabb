"""What surrounds each run of a function and each post to a sink: expiry, claim check, tracing, metrics and the log's line."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from time import perf_counter
from typing import Any

from events.event import Event
from infra.delivery.claim_check import ClaimCheck
from infra.delivery.expiry import is_expired
from infra.delivery.metrics import Metrics
from infra.delivery.silent import Silent
from infra.delivery.subscription import PREFIX
from infra.delivery.tracing import Tracing
from infra.log.log import Delivery, Failure

logger = logging.getLogger("sluice.worker")


class Middleware:
    """The guarantees that every delivery passes through on its way to its target, in this order, whoever the target is."""

    def __init__(self, claims: ClaimCheck, metrics: Metrics, tracing: Tracing) -> None:
        self.claims, self._metrics, self._tracing = claims, metrics, tracing
        self.silent = Silent()
        self._failed: set[tuple[int, str]] = set()
        self._skipped: set[tuple[int, str]] = set()

    def run(self, delivery: Delivery, function: Callable[[Event, Any], list[Event]], unit: Any = None) -> list[Event]:
        """What ``function`` makes of the event in this unit of work, with large payloads deposited; nothing if it has expired.

        A claim is redeemed wherever the function runs: in a transaction it holds that up, which the rarity of large
        payloads at functions that read no objects is worth.
        """
        event, target = delivery.event, delivery.target
        extensions = event.extensions
        if "expirytime" in extensions and is_expired(event):
            self._skipped.add((delivery.seq, target))
            return []
        begun = perf_counter()
        if "dataref" in extensions or self._tracing.active:
            with self._tracing.span(event, target):
                replies = function(self.claims.redeem(event), unit)
        else:
            replies = function(event, unit)
        seconds = perf_counter() - begun
        self._metrics.took(target, seconds)
        if replies:
            self.silent.drop(delivery)
        elif not target.startswith(PREFIX):
            self.silent.ran(delivery, seconds)
        if logger.isEnabledFor(logging.INFO):
            about = {"event": event.id, "type": event.type, "function": target, "seconds": round(seconds, 6)}
            logger.info("%s took event %s", target, event.id, extra=about)
        return [self.claims.deposit(reply) for reply in replies] if replies else []

    def failed(self, delivery: Delivery, failure: Failure) -> None:
        """A delivery is about to be put off or given up."""
        self._failed.add((delivery.seq, delivery.target))
        self.silent.drop(delivery)
        self._metrics.failed(delivery.target, "dead" if failure.seconds is None else "retry")
        about = {"event": delivery.event.id, "type": delivery.event.type, "function": delivery.target}
        about |= {"attempt": str(delivery.attempts + 1)}
        if failure.seconds is None:
            told = "%s of event %s is a dead letter: %s"
            logger.warning(told, delivery.target, delivery.event.id, failure.cause, extra=about)
        else:
            told = "%s of event %s failed, again in %.1f s: %s"
            logger.info(told, delivery.target, delivery.event.id, failure.seconds, failure.cause, extra=about)

    def settled(self, deliveries: Iterable[Delivery]) -> None:
        """These are committed, whatever came of them."""
        if self._skipped or self._failed:
            deliveries = [each for each in deliveries if not self._was_special(each)]
        else:
            deliveries = list(deliveries)
        self.silent.settled(deliveries)
        self._metrics.done((each.target, each.event) for each in deliveries)

    def _was_special(self, delivery: Delivery) -> bool:
        mark = delivery.seq, delivery.target
        if mark in self._skipped:
            self._skipped.discard(mark)
            self._metrics.expired(delivery.event)
            return True
        if mark in self._failed:
            self._failed.discard(mark)
            return True
        return False
