"""Invocations that told of nothing: what counts of one that ran again is what came of it last."""

from __future__ import annotations

from typing import Any, cast

import pytest

from events.event import Event
from infra.delivery.claim_check import ClaimCheck
from infra.delivery.metrics import Metrics
from infra.delivery.silent import MOST, Silent
from infra.delivery.tracing import Tracing
from infra.log.log import Delivery, Failure
from infra.runtime.middleware import Middleware


def delivery(seq: int = 1) -> Delivery:
    event = Event(id=f"e{seq}", source="/s", type="dev.sluice.object.ingested.v1", data={"bucket": "b", "key": f"k{seq}"})
    return Delivery(seq, "f", 0, event, ("f", "p"))


class NoClaims:
    """Payloads are small here."""

    def deposit(self, event: Event) -> Event:
        """As it is."""
        return event


@pytest.fixture
def middleware() -> Middleware:
    made = Middleware(cast("ClaimCheck", NoClaims()), Metrics(lambda: {}), Tracing())
    made.silent.wanted = True
    return made


def run(middleware: Middleware, given: Delivery, *replies: Event) -> None:
    def function(_event: Event, _unit: Any) -> list[Event]:
        return list(replies)

    middleware.run(given, function)


def causes(silent: Silent) -> list[str]:
    return [each.cause for each in silent.take(MOST)]


@pytest.mark.parametrize("thought_settled", [False, True])
def test_one_that_replies_when_it_runs_again_was_not_silent(middleware, thought_settled) -> None:
    given = delivery()
    run(middleware, given)
    if thought_settled:
        middleware.settled([given])
    run(middleware, given, Event(id="r", source="/sluice/f", type="t"))
    middleware.settled([given])
    assert causes(middleware.silent) == []


@pytest.mark.parametrize("thought_settled", [False, True])
def test_one_that_fails_when_it_runs_again_was_not_silent(middleware, thought_settled) -> None:
    given = delivery()
    run(middleware, given)
    if thought_settled:
        middleware.settled([given])
    middleware.failed(given, Failure("it broke", 1.0))
    middleware.settled([given])
    assert causes(middleware.silent) == []


def test_one_that_is_silent_again_is_kept_once(middleware) -> None:
    given = delivery()
    for _ in range(2):
        run(middleware, given)
        middleware.settled([given])
    assert causes(middleware.silent) == ["e1"]


def test_what_is_given_back_is_the_oldest_again(middleware) -> None:
    given = [delivery(seq) for seq in range(4)]
    for each in given:
        run(middleware, each)
        middleware.settled([each])
    taken = middleware.silent.take(2)
    assert [each.cause for each in taken] == ["e0", "e1"]
    middleware.silent.give_back(taken)
    assert causes(middleware.silent) == ["e0", "e1", "e2", "e3"]
