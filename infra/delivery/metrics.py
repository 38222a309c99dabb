"""Metrics: what the lake counts, for Prometheus at ``GET /metrics``. Each process has a registry of its own.

Labels come from outside only as event types, and of those at most ``MOST_TYPES`` are told apart; the rest is ``other``.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterable
from datetime import datetime
from functools import cache, lru_cache, partial
from threading import Lock
from time import time

from prometheus_client import CollectorRegistry, Counter, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from events.attributes import check_time
from events.errors import BadEvent
from events.event import Event, instant
from infra.delivery.tally import Distribution, Rate, quantile

MOST_TYPES = 200
MOST_TOOK = 512
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
        # Looking a child up by its labels costs more than counting.
        self._accepted_of, self._new_of = cache(self._accepted.labels), cache(self._new.labels)
        self._duplicate_of = cache(self._duplicate.labels)
        self._refused = counter(
            "requests_refused", "requests at the event endpoint that were not accepted, by status", "status"
        )
        self._expired = counter("events_expired", "deliveries skipped because the event's expirytime had passed", "type")
        # Every delivery passes here: what it counts is kept in plain numbers, and added up once for many.
        self._took: deque[tuple[str, float]] = deque()
        self._lock = Lock()
        self._runs: defaultdict[tuple[str, str], int] = defaultdict(int)
        self._latency: defaultdict[str, Distribution] = defaultdict(partial(Distribution, LATENCY))
        self._seconds: defaultdict[str, Distribution] = defaultdict(partial(Distribution, LATENCY))
        self._arrived, self._settled = Rate(), Rate()
        self.registry.register(_OnDemand(self._deliveries))
        if state is not None:
            self.registry.register(_OnDemand(lambda: _gauges(state())))

    def accepted(self, events: Iterable[Event], new: int | None = None) -> None:
        """Events came in, ``new`` of them were not known before (all, unless given)."""
        told = list(events)
        with self._lock:
            self._arrived.add(len(told))
        left = len(told) if new is None else new
        for event in told:
            label = self._type(event.type)
            self._accepted_of(label).inc()
            (self._new_of if left > 0 else self._duplicate_of)(label).inc()
            left -= 1

    def refused(self, status: int) -> None:
        """A request at the event endpoint was answered with an error."""
        self._refused.labels(str(status)).inc()

    def took(self, function: str, seconds: float) -> None:
        """A function ran for so long."""
        self._took.append((function, seconds))
        if len(self._took) >= MOST_TOOK:
            with self._lock:
                self._add_up()

    def failed(self, function: str, outcome: str) -> None:
        """A delivery failed: ``retry`` (it comes again) or ``dead``."""
        with self._lock:
            self._runs[function, outcome] += 1
            if outcome == "dead":
                self._settled.add(1)

    def done(self, deliveries: Iterable[tuple[str, Event]]) -> None:
        """These events had their effect at these functions: counted together, since every delivery passes here."""
        now = time()
        ages: defaultdict[str, list[float | None]] = defaultdict(list)
        for function, event in deliveries:
            ages[function].append(_age(event, now))
        with self._lock:
            self._add_up()
            for function, found in ages.items():
                self._runs[function, "ok"] += len(found)
                self._settled.add(len(found))
                self._latency[function].add_all(seconds for seconds in found if seconds is not None)

    def _add_up(self) -> None:
        took: defaultdict[str, list[float]] = defaultdict(list)
        for _ in range(len(self._took)):
            function, seconds = self._took.popleft()
            took[function].append(seconds)
        for function, found in took.items():
            self._seconds[function].add_all(found)

    def expired(self, event: Event) -> None:
        """A delivery was skipped."""
        self._expired.labels(self._type(event.type)).inc()

    def text(self) -> bytes:
        """Everything in Prometheus' text format 0.0.4."""
        return generate_latest(self.registry)

    def recent(self) -> dict[str, float | None]:
        """The pace of this process: accepted and settled a second over the last minute, latency since its start."""
        with self._lock:
            latency = list(self._latency.values())
            return {
                "accepted_per_s": self._arrived.per_second(),
                "settled_per_s": self._settled.per_second(),
                "latency_p50_s": quantile(latency, 0.5),
                "latency_p95_s": quantile(latency, 0.95),
            }

    def _deliveries(self) -> Iterable[Metric]:
        text = "deliveries to a function or sink that were settled: ok, retry (failed, comes again) or dead (a dead letter)"
        runs = CounterMetricFamily("sluice_deliveries", text, labels=["function", "outcome"])
        text = "from the time of the event to the commit of its effect"
        latency = HistogramMetricFamily("sluice_effect_latency_seconds", text, labels=["function"])
        seconds = HistogramMetricFamily("sluice_function_seconds", "duration of a run", labels=["function"])
        with self._lock:
            self._add_up()
            for labels, count in self._runs.items():
                runs.add_metric(labels, count)
            for family, found in ((latency, self._latency), (seconds, self._seconds)):
                for name, values in found.items():
                    family.add_metric([name], values.buckets(), values.sum)
        return [runs, latency, seconds]

    def _type(self, name: str) -> str:
        if name not in self._types:
            if len(self._types) >= MOST_TYPES:
                return "other"
            self._types.add(name)
        return name


class _OnDemand(Collector):
    """Metrics that are made when somebody scrapes."""

    def __init__(self, make: Callable[[], Iterable[Metric]]) -> None:
        self._make = make

    def collect(self) -> Iterable[Metric]:
        return self._make()

    def describe(self) -> Iterable[Metric]:
        """Nothing: registering must not ask."""
        return []


def _gauges(found: dict[str, float]) -> Iterable[Metric]:
    for name, text in GAUGES.items():
        value = found.get(name.replace("_seconds", "_s"))
        if value is not None:
            yield GaugeMetricFamily(f"sluice_log_{name}", text, value=float(value))


@lru_cache(1024)
def _second(time: str) -> float:
    """A time in UTC without its fraction and ``Z``, in Unix seconds."""
    return instant(f"{time}Z").timestamp()


def age(event: Event, at: datetime | None = None) -> float | None:
    """Seconds since the event happened (``time``), else since it was recorded; ``None`` if it tells neither.

    A clock that runs ahead of ours gives 0.
    """
    return _age(event, at.timestamp() if at else time())


def _age(event: Event, at: float) -> float | None:
    told = event.time or event.extensions.get("recordedtime")
    if not isinstance(told, str):
        return None
    if told is not event.time:
        try:
            check_time("recordedtime", told)
        except BadEvent:
            return None
    if told[-1] == "Z":
        second, _, fraction = told[:-1].partition(".")
        then = _second(second) + (float(f"0.{fraction}") if fraction else 0.0)
    else:
        then = instant(told).timestamp()
    return max(0.0, at - then)
