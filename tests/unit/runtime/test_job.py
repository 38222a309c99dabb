"""A batch of events through functions in partitions, on Lithops' own terms."""

from __future__ import annotations

import pickle

from events.event import Event
from events.json_format import from_batch, to_batch
from infra.config import Config
from infra.runtime.job import Partition, process, run


class Executor:
    """Lithops' two methods in this process; what travels is pickled, as Lithops does."""

    def map(self, function, items):
        return [pickle.loads(pickle.dumps(function))(**pickle.loads(pickle.dumps(item))) for item in items]

    def get_result(self, futures):
        return pickle.loads(pickle.dumps(futures))


def events(*kinds: str) -> list[Event]:
    return [Event(id=str(n), source="/s", type=kind, data={"a": n}) for n, kind in enumerate(kinds)]


def test_a_partition_reports_replies_and_failures(module) -> None:
    batch, failures = process(Partition(to_batch(events("one", "broken", "two")), [module], Config()))
    assert [reply.data for reply in from_batch(batch)] == [{"got": {"a": 0}}, {"n": 1}, {"n": 2}]
    assert [(each.event, each.cause) for each in failures] == [("1", "ValueError: boom")]


def test_all_events_run_once_in_order_for_any_number_of_partitions(module) -> None:
    for partitions in (1, 3, 100):
        found = list(run(Executor(), events(*["one"] * 7), [module], partitions=partitions, config=Config()))
        assert [reply.data["got"]["a"] for done in found for reply in done.replies] == list(range(7))
    assert list(run(Executor(), [], [module], config=Config())) == []
