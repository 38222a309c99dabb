"""Counting in plain numbers: buckets as Prometheus has them, quantiles, and a rate over the last minute."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry, Histogram

from events.event import Event
from infra.delivery.metrics import LATENCY, Metrics
from infra.delivery.tally import Distribution, Rate, quantile


def event(time: str | None = None) -> Event:
    return Event(id="1", source="/s", type="t", time=time)


def test_buckets_are_those_of_the_prometheus_client() -> None:
    theirs = Histogram("x", "x", buckets=LATENCY, registry=CollectorRegistry())
    ours = Distribution(LATENCY)
    for value in (0.0, 0.005, 0.0051, 0.2, 1.0, 3600.0, 5000.0):
        theirs.observe(value)
        ours.add(value)
    (family,) = theirs.collect()
    wanted = [(each.labels["le"], each.value) for each in family.samples if each.name == "x_bucket"]
    assert [(float(bound), count) for bound, count in ours.buckets()] == [(float(bound), count) for bound, count in wanted]
    assert ours.sum == pytest.approx(8601.2101)


def test_quantiles_over_several_distributions() -> None:
    one, two = Distribution((1, 2, 4)), Distribution((1, 2, 4))
    assert quantile([], 0.5) is None
    assert quantile([one, two], 0.5) is None
    for _ in range(10):
        one.add(1.5)
        two.add(3)
    assert quantile([one, two], 0.25) == 1.5
    assert quantile([one, two], 0.5) == 2
    assert quantile([one, two], 0.95) == pytest.approx(3.8)
    two.add(100)
    assert quantile([two], 1.0) == 4


def test_a_rate_forgets_what_is_older_than_a_minute(monkeypatch) -> None:
    now = [1000.0]
    monkeypatch.setattr("infra.delivery.tally.time.monotonic", lambda: now[0])
    rate = Rate()
    rate.add(30)
    now[0] += 30
    rate.add(30)
    assert rate.per_second() == 1
    now[0] += 30.5
    assert rate.per_second() == 0.5
    now[0] += 3600
    assert rate.per_second() == 0


def test_the_pace_of_a_process() -> None:
    metrics = Metrics()
    assert metrics.recent()["latency_p50_s"] is None
    metrics.accepted([event(), event()])
    metrics.done([("f", event(time="2020-01-01T00:00:00Z"))])
    metrics.failed("f", "retry")
    found = metrics.recent()
    assert found["accepted_per_s"] == pytest.approx(2 / 60)
    assert found["settled_per_s"] == pytest.approx(1 / 60)
    assert found["latency_p95_s"] == LATENCY[-1]
