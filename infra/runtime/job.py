"""A Lithops job: many events through functions, a partition of them in each call. For back-fills and replays at scale.

    with FunctionExecutor() as executor:
        for done in run(executor, events, ["mymodule"], partitions=16):
            print(done.replies, done.failures)

A call costs a second or so wherever Lithops runs it, so a partition should have hundreds of events.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from events.event import Event
from events.json_format import from_batch, to_batch
from functions.formats.format import spans
from infra.config import Config, load
from infra.delivery.retry import cause
from infra.runtime.dispatch import dispatcher


class Failure(msgspec.Struct, frozen=True):
    """An event whose function failed: its id and the cause. Run it again: the replies of a repetition are the same."""

    event: str
    cause: str


class Done(msgspec.Struct, frozen=True):
    """What came of one partition."""

    replies: list[Event]
    failures: list[Failure]


class Partition(msgspec.Struct, frozen=True):
    """The work of one call, as it travels: a batch in the JSON event format, the modules, and the configuration."""

    batch: bytes
    modules: list[str]
    config: Config


def process(partition: Partition) -> tuple[bytes, list[Failure]]:
    """Within a Lithops worker (or anywhere): run every event of the partition; one that fails does not stop the others."""
    dispatch = dispatcher(msgspec.structs.replace(partition.config, functions=partition.modules))
    replies: list[Event] = []
    failures: list[Failure] = []
    for event in from_batch(partition.batch):
        try:
            replies += dispatch(event)
        except Exception as error:
            failures.append(Failure(event.id, cause(error)))
    return to_batch(replies), failures


def run(
    executor: Any, events: Sequence[Event], modules: Sequence[str], *, partitions: int = 4, config: Config | None = None
) -> Iterator[Done]:
    """Run ``events`` through the functions of ``modules`` on ``executor`` (a Lithops ``FunctionExecutor``).

    Yields one ``Done`` a partition, in the order of the events. An object store that functions ask for is the configured one
    (``sluice.objects``), which the workers must be able to reach.
    """
    settings = config or load()
    work = [
        Partition(to_batch(events[start:end]), list(modules), settings)
        for start, end in spans(len(events), partitions)
        if end > start
    ]
    if not work:
        return
    futures = executor.map(process, [{"partition": each} for each in work])
    for replies, failures in executor.get_result(futures):
        yield Done(from_batch(replies), failures)
