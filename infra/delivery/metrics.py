"""Metrics: what the lake counts, for Prometheus at ``GET /metrics``. Each process has a registry of its own.

Labels come from outside only as event types, and of those at most ``MOST_TYPES`` are told apart; the rest is ``other``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from functools import cache

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from events.attributes import check_time
from events.errors import BadEvent
from events.event import Event, instant

MOST_TYPES = 200
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
#: Seconds; from a quick function to a queue that is an hour behind.
LATENCY = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600)
#: The state of the log: name of the gauge -> what it tells.
GAUGES = {
    "events": "events in the log",
    "waiting": "deliveries not yet done",
    "retrying": "deliveries that failed at least once and wait for another attempt",
    "dead": "dead letters",
    "oldest_seconds": "age of the oldest delivery that is not done",
    "behind_seconds": "lag: age of the oldest delivery that could run now",
}


class Metrics:
    """The counters of one process. ``state`` gives the log's numbers at the time of a scrape."""

    def __init__(self, state: Callable[[], dict[str, float]] | None = None) -> None:
        self.registry = CollectorRegistry()
        self._types: set[str] = set()

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"sluice_{name}", text, labels, registry=self.registry)

        self._accepted = counter("events_accepted", "events that were sent here and could be read", "type")
        self._new = counter("events_new", "accepted events that were new", "type")
        self._duplicate = counter("events_duplicate", "accepted events that were known already", "type")
        self._refused = counter(
            "requests_refused", "requests at the event endpoint that were not accepted, by status", "status"
        )
        text = "deliveries to a function or sink that were settled: ok, retry (failed, comes again) or dead (a dead letter)"
        self._runs = counter("deliveries", text, "function", "outcome")
        self._expired = counter("events_expired", "deliveries skipped because the event's expirytime had passed", "type")
        self._latency = Histogram(
            "sluice_effect_latency_seconds",
            "from the time of the event to the commit of its effect",
            ["function"],
            buckets=LATENCY,
            registry=self.registry,
        )
        self._seconds = Histogram(
            "sluice_function_seconds", "duration of a run", ["function"], buckets=LATENCY, registry=self.registry
        )
        if state is not None:
            self.registry.register(_State(state))
        # Looking a child up by its labels costs more than counting: every delivery passes here three times.
        self._runs_of = cache(self._runs.labels)
        self._latency_of = cache(self._latency.labels)
        self._seconds_of = cache(self._seconds.labels)

    def accepted(self, events: Iterable[Event], new: int | None = None) -> None:
        """Events came in, ``new`` of them were not known before (all, unless given)."""
        told = list(events)
        left = len(told) if new is None else new
        for event in told:
            label = self._type(event.type)
            self._accepted.labels(label).inc()
            (self._new if left > 0 else self._duplicate).labels(label).inc()
            left -= 1

    def refused(self, status: int) -> None:
        """A request at the event endpoint was answered with an error."""
        self._refused.labels(str(status)).inc()

    def took(self, function: str, seconds: float) -> None:
        """A function ran for so long."""
        self._seconds_of(function).observe(seconds)

    def ended(self, function: str, outcome: str, event: Event) -> None:
        """A delivery was settled: ``ok``, ``retry`` (it failed and comes again) or ``dead``."""
        self._runs_of(function, outcome).inc()
        if outcome == "ok" and (latency := age(event)) is not None:
            self._latency_of(function).observe(latency)

    def expired(self, event: Event) -> None:
        """A delivery was skipped."""
        self._expired.labels(self._type(event.type)).inc()

    def text(self) -> bytes:
        """Everything in Prometheus' text format 0.0.4."""
        return generate_latest(self.registry)

    def _type(self, name: str) -> str:
        if name not in self._types:
            if len(self._types) >= MOST_TYPES:
                return "other"
            self._types.add(name)
        return name


class _State(Collector):
    """Gauges that are read from the log when somebody scrapes."""

    def __init__(self, state: Callable[[], dict[str, float]]) -> None:
        self._state = state

    def collect(self) -> Iterable[Metric]:
        found = self._state()
        for name, text in GAUGES.items():
            value = found.get(name.replace("_seconds", "_s"))
            if value is not None:
                yield GaugeMetricFamily(f"sluice_log_{name}", text, value=float(value))

    def describe(self) -> Iterable[Metric]:
        """Nothing: registering must not ask the log."""
        return []


def age(event: Event, at: datetime | None = None) -> float | None:
    """Seconds since its producer recorded the event (``recordedtime``), else since it happened; ``None`` if it tells neither.

    A clock that runs ahead of ours gives 0.
    """
    told = event.extensions.get("recordedtime")
    if told:
        try:
            check_time("recordedtime", str(told))
        except BadEvent:
            return None
    told = told or event.time
    if not isinstance(told, str):
        return None
    return max(0.0, ((at or datetime.now(UTC)) - instant(told)).total_seconds())
