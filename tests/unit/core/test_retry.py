"""Retry: what is tried again, and how long that takes."""

from __future__ import annotations

import pytest

from events.errors import Reject, Retry
from infra.config import Delivery
from infra.delivery.retry import cause, wait

SETTINGS = Delivery(backoff_s=1.0, backoff_max_s=8.0)


def test_a_reject_is_never_tried_again():
    assert wait(Reject("no"), 1, SETTINGS, 5) is None


@pytest.mark.parametrize(("attempts", "base"), [(1, 1), (2, 2), (3, 4), (4, 8)])
def test_delays_double_with_jitter_up_to_the_longest(attempts, base):
    delays = [wait(ValueError(), attempts, SETTINGS, 99) for _ in range(200)]
    assert all(delay is not None and base * 0.5 <= delay <= base * 1.5 for delay in delays)
    assert len(set(delays)) > 100
    assert max(wait(ValueError(), n, SETTINGS, 999) or 0 for n in range(5, 99)) <= 12


def test_other_errors_end_after_the_last_attempt():
    assert wait(ValueError(), 4, SETTINGS, 5) is not None
    assert wait(ValueError(), 5, SETTINGS, 5) is None


def test_a_retry_says_when_and_is_never_given_up():
    assert wait(Retry("later", 7.5), 1000, SETTINGS, 5) == 7.5
    assert wait(Retry("later"), 1000, SETTINGS, 5) is not None


def test_the_cause_is_one_line_for_people():
    assert cause(Reject("s3://b/k is\nempty")) == "s3://b/k is empty"
    assert cause(KeyError("x")) == "KeyError: 'x'"
    assert cause(ValueError()) == "ValueError"
    assert cause(MemoryError()) == "MemoryError: memory did not suffice"
    assert cause(MemoryError("of 3 GB")) == "MemoryError: of 3 GB"
