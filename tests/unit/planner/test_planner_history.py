"""Profiles: the same whatever the order and number of the updates."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from events.errors import Reject
from events.event import Event
from events.types import ProfileUpdated, TaskExecuted, Wave
from functions.planner.history import WINDOW, find, read_history
from functions.profile import profile


class MemoryProfiles:
    def __init__(self) -> None:
        self.documents: dict[str, dict[str, Any]] = {}

    def get(self, key: str) -> dict[str, Any] | None:
        return self.documents.get(key)

    def put(self, key: str, profile: dict[str, Any]) -> None:
        self.documents[key] = msgspec.json.decode(msgspec.json.encode(profile))

    def keys(self, prefix: str = "") -> list[str]:
        return sorted(key for key in self.documents if key.startswith(prefix))


def executed(number: int, **more: Any) -> TaskExecuted:
    wave = Wave(workers=2, slices=4, bytes=1000 + number, seconds=2.0, failed=more.pop("failed", 0))
    fields: dict[str, Any] = {
        "run": f"run-{number}", "task": "count", "code": "c0de", "format": "csv", "backend": "localhost",
        "finished": f"2026-01-{1 + number // 24 % 28:02}T{number % 24:02}:00:00Z", "waves": [wave], "seconds": 2.0,
    }  # fmt: skip
    return TaskExecuted(**{**fields, **more})


def teach(profiles: MemoryProfiles, *told: TaskExecuted) -> ProfileUpdated:
    for data in told:
        event = Event(id=data.run, source="/test", type="dev.sluice.task.executed.v1", data=msgspec.to_builtins(data))
        (reply,) = profile(event, data, profiles)
    return reply.read(ProfileUpdated)


@given(st.permutations([*range(WINDOW + 8)]), st.lists(st.integers(0, WINDOW + 7), max_size=20))
def test_order_and_repetition_do_not_matter(order: list[int], repeated: list[int]) -> None:
    straight, mixed = MemoryProfiles(), MemoryProfiles()
    teach(straight, *map(executed, range(WINDOW + 8)))
    teach(mixed, *map(executed, order), *map(executed, repeated))
    assert mixed.documents == straight.documents
    (document,) = straight.documents.values()
    assert len(read_history(document).runs) == WINDOW


def test_an_update_tells_throughput_error_and_length() -> None:
    profiles = MemoryProfiles()
    told = teach(profiles, executed(1, predicted_s=3.0), executed(2, predicted_s=1.0))
    assert told.runs == 2
    assert told.throughput == pytest.approx(1002 / 2)
    assert told.error == pytest.approx(-0.5)
    assert told.median_error == pytest.approx(0.5)
    assert told.key == "count@c0de/csv/localhost"


def test_failed_runs_are_remembered_but_teach_no_duration() -> None:
    profiles = MemoryProfiles()
    told = teach(profiles, executed(1, failed=1), executed(2, error="ValueError: x", predicted_s=9.0))
    history = find(profiles, "count", "c0de", "csv", "localhost")
    assert history is not None
    assert len(history.runs) == told.runs == 2
    assert history.waves == []
    assert told.error is None


def test_a_changed_function_starts_anew_and_a_name_alone_finds_the_latest() -> None:
    profiles = MemoryProfiles()
    teach(profiles, executed(1), executed(5, code="0ther"), executed(3, task="counter"))
    assert find(profiles, "count", "new", "csv", "localhost") is None
    latest = find(profiles, "count", "", "csv", "")
    assert latest is not None
    assert latest.code == "0ther"
    assert find(profiles, "count", "", "fits", "") is None


def test_a_time_that_is_none_is_refused() -> None:
    with pytest.raises(Reject, match="yesterday"):
        teach(MemoryProfiles(), executed(1, finished="yesterday"))


def test_times_of_any_zone_compare_by_moment() -> None:
    profiles = MemoryProfiles()
    teach(profiles, executed(1, finished="2026-01-01T10:00:00+05:00"), executed(2, finished="2026-01-01T06:00:00Z"))
    history = find(profiles, "count", "c0de", "csv", "localhost")
    assert history is not None
    assert [run.run for run in history.runs] == ["run-1", "run-2"]
