"""A task's results get their place before they lie there, at keys that a repetition finds again; nothing of others' is lost."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from events.bindings import Bindings
from events.errors import Reject, Retry
from events.event import Event
from events.ports import Changed, NotFound, ObjectInfo, Stopping
from events.tasks import Tasks, task_rule
from events.types import DeliveryFailed, FunctionRequested, ObjectDerived, ObjectVersion
from functions.run_task import run_task
from infra.objects.s3 import S3Store

PARAMETERS = {"task": "count", "into": "s3://results/2026"}


class FakeTasks:
    """What a map has made: objects in the lake's bucket, as told; or an error."""

    def __init__(self, objects: S3Store, made: dict[str, bytes], error: Exception | None = None) -> None:
        self._objects, self._made, self._error = objects, made, error
        self.places: list[tuple[str, str]] = []
        self.there: list[str] = []
        self.left = False

    @contextmanager
    def run(self, request: FunctionRequested, stopping: Stopping) -> Iterator[Sequence[ObjectInfo]]:
        if self._error is not None:
            raise self._error
        try:
            for name, content in self._made.items():
                self._objects.write("sluice", name, content, content_type="text/csv")
            yield [self._objects.head("sluice", name) for name in self._made]
        finally:
            self.left = True

    def place(self, request: FunctionRequested, bucket: str, key: str) -> None:
        self.places.append((bucket, key))
        self.there += [each.key for each in self._objects.list(bucket, key)]


class Same:
    """The binding stands as it did."""

    def __init__(self, stands: bool = True) -> None:
        self._stands = stands

    def requested(self, bucket: str, key: str) -> list[FunctionRequested]:
        return []

    def current(self, request: FunctionRequested) -> FunctionRequested | None:
        return request if self._stands else None

    def failed(self, failure: DeliveryFailed) -> ObjectVersion | None:
        return None


@pytest.fixture
def request_(objects: S3Store) -> FunctionRequested:
    objects.ensure("results")
    info = objects.write("raw", "a/s.csv", b"a\n1\n", content_type="text/csv")
    return FunctionRequested(
        bucket="raw", key="a/s.csv", etag=info.etag, size=info.size, binding="binding/b", function="run_task",
        parameters=PARAMETERS, derived=["binding/a"],
    )  # fmt: skip


def run(
    objects: S3Store,
    data: FunctionRequested,
    tasks: FakeTasks,
    bindings: Bindings | None = None,
    stopping: threading.Event | None = None,
) -> list[ObjectDerived]:
    event = Event(id="1", source="/x", type="dev.sluice.function.requested.v1")
    made = run_task(event, data, objects, bindings or Same(), tasks, stopping or threading.Event())
    return [each.read(ObjectDerived) for each in made]


def kept(objects: S3Store) -> dict[str, bytes]:
    return {each.key: b"".join(objects.stream("results", each.key)) for each in objects.list("results")}


def test_the_fakes_are_what_they_stand_for(objects: S3Store) -> None:
    assert isinstance(FakeTasks(objects, {}), Tasks)
    assert isinstance(Same(), Bindings)


def test_results_lie_at_keys_that_follow_from_the_original_and_say_what_they_are_of(objects, request_) -> None:
    tasks = FakeTasks(objects, {"t/part-00000.csv": b"x", "t/part-00001.csv": b"y"})
    told = run(objects, request_, tasks)
    keys = ["2026/a/s.csv.count-00000.csv", "2026/a/s.csv.count-00001.csv"]
    assert kept(objects) == dict(zip(keys, (b"x", b"y"), strict=True))
    assert tasks.places == [("results", key) for key in keys]
    assert (tasks.there, tasks.left) == ([], True), "no result is anywhere before its place is its owners'"
    head = objects.head("results", keys[0])
    assert head.content_type == "text/csv"
    assert head.user == {
        "sluice-bindings": "binding/a,binding/b", "sluice-source": "s3://raw/a/s.csv", "sluice-source-etag": request_.etag,
    }  # fmt: skip
    assert [(one.of.key, one.of.etag, one.result.key, one.function, one.binding) for one in told] == [
        ("a/s.csv", request_.etag, key, "run_task", "binding/b") for key in keys
    ]
    assert told[0].result.etag == head.etag


def test_a_repetition_writes_the_same_and_removes_what_there_was_more_of_but_nothing_of_others(objects, request_) -> None:
    run(objects, request_, FakeTasks(objects, {"t/part-0.csv": b"x", "t/part-1.csv": b"y"}))
    objects.write("results", "2026/a/s.csv.count-00002.csv", b"mine")
    for _ in range(2):
        run(objects, request_, FakeTasks(objects, {"t/part-0.csv": b"z"}))
        assert kept(objects) == {"2026/a/s.csv.count-00000.csv": b"z", "2026/a/s.csv.count-00002.csv": b"mine"}


@pytest.mark.parametrize("user", [{}, {"sluice-bindings": "binding/b", "sluice-source": "s3://other/a/s.csv"}])
def test_what_others_have_there_stays(objects, request_, user: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "mine").write_bytes(b"mine")
    key = "2026/a/s.csv.count-00000.csv"
    objects.upload("results", key, tmp_path / "mine", content_type="text/csv", user=user)
    tasks = FakeTasks(objects, {"t/part-0.csv": b"z"})
    with pytest.raises(Reject, match="let it go elsewhere"):
        run(objects, request_, tasks)
    assert kept(objects) == {key: b"mine"}
    assert (tasks.places, tasks.left) == ([], True)


def test_a_binding_that_asks_no_more_and_an_object_that_is_gone_make_nothing(objects, request_) -> None:
    assert run(objects, request_, FakeTasks(objects, {"t/0.csv": b"x"}), bindings=Same(stands=False)) == []
    objects.write("raw", "a/s.csv", b"another")
    for error in (Changed("raw/a/s.csv"), NotFound("raw/a/s.csv"), Reject("no such object")):
        assert run(objects, request_, FakeTasks(objects, {}, error)) == []
    objects.delete("raw", "a/s.csv")
    assert run(objects, request_, FakeTasks(objects, {}, NotFound("raw/a/s.csv"))) == []
    assert kept(objects) == {}


def test_what_a_task_misses_itself_is_its_failure(objects, request_) -> None:
    with pytest.raises(Reject, match=r"the task count: .*sky\.model"):
        run(objects, request_, FakeTasks(objects, {}, NotFound("sky.model")))
    with pytest.raises(Reject, match="seven"):
        run(objects, request_, FakeTasks(objects, {}, Reject("seven")))


def test_it_stops_between_two_results(objects, request_) -> None:
    stopping = threading.Event()
    stopping.set()
    tasks = FakeTasks(objects, {"t/part-0.csv": b"x"})
    with pytest.raises(Retry):
        run(objects, request_, tasks, stopping=stopping)
    assert (tasks.places, tasks.left) == ([], True)


@pytest.mark.parametrize(
    ("parameters", "told"),
    [
        ({"into": "s3://results/"}, "task"),
        ({**PARAMETERS, "into": "s3:///x"}, "into"),
        ({**PARAMETERS, "deadline_s": -1}, "deadline_s"),
        ({**PARAMETERS, "objective": "fame"}, "objective"),
        ({**PARAMETERS, "module": "os"}, "module"),
    ],
)
def test_parameters_that_make_no_sense_are_refused(parameters: dict[str, Any], told: str) -> None:
    with pytest.raises(Reject, match=told):
        task_rule(parameters)
