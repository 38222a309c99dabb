"""Functions get what their parameters' types ask for."""

from __future__ import annotations

import sqlite3
import sys
import types
from collections.abc import Iterator

import pytest
from cloudevents.abstract import CloudEvent as AnyCloudEvent
from cloudevents.http import CloudEvent
from cloudevents.pydantic import CloudEvent as PydanticCloudEvent

from events.event import Event
from events.ports import Catalog, ObjectStore, Settings
from events.route import Handler, Routes, on
from events.types import ObjectVersion
from infra.config import ConfigError
from infra.runtime.wiring import WiringError, load, wire

EVENT = Event(id="1", source="/s", type="t", subject="x", datacontenttype="application/json", data={"bucket": "b", "key": "k"})
CONNECTION = sqlite3.connect(":memory:")


@pytest.fixture(scope="module", autouse=True)
def _close():
    yield
    CONNECTION.close()


def wired(function, name="f"):
    return wire(
        Handler(name, ("t",), function), {Settings: Settings(), ObjectStore: "store"}, {Catalog: lambda c: ("catalog", c)}
    )


def test_parameters_are_filled_by_type():
    seen: list[object] = []

    def function(event: Event, data: ObjectVersion, catalog: Catalog, settings: Settings) -> Iterator[Event]:
        seen.append((event, data.key, catalog, settings.digest))
        yield event.reply({}, type="u")
        yield event.reply({}, type="u")

    replies = wired(function).invoke(EVENT, CONNECTION)
    assert seen == [(EVENT, "k", ("catalog", CONNECTION), "blake3")]
    assert len({reply.id for reply in replies}) == 2
    assert {reply.source for reply in replies} == {"/sluice/f"}
    assert [reply.id for reply in wired(function).invoke(EVENT, CONNECTION)] == [reply.id for reply in replies]


def test_a_function_for_the_sdk_runs_unchanged():
    def function(event: CloudEvent) -> CloudEvent:
        assert event["subject"] == "x"
        return CloudEvent({"type": "u", "source": "/mine"}, {"got": event.data["key"]})

    (reply,) = wired(function).invoke(EVENT, CONNECTION)
    assert (reply.type, reply.data, reply.source) == ("u", {"got": "k"}, "/sluice/f")


def test_the_sole_parameter_of_another_frameworks_function_is_the_event():
    def function(cloud_event):
        assert cloud_event["subject"] == "x"
        return CloudEvent({"type": "u", "source": "/mine"}, {"got": cloud_event.data["key"]})

    (reply,) = wired(function).invoke(EVENT, CONNECTION)
    assert (reply.type, reply.data) == ("u", {"got": "k"})


def test_the_sdks_other_classes_are_given_as_they_are_named():
    def base(event: AnyCloudEvent) -> None:
        assert (event.get_attributes()["id"], event.get_data()) == ("1", EVENT.data)

    def pydantic(event: PydanticCloudEvent) -> PydanticCloudEvent:
        assert (type(event), event.subject, event.time) == (PydanticCloudEvent, "x", None)
        return PydanticCloudEvent({"type": "u", "source": "/mine"}, event.data)

    assert wired(base).invoke(EVENT, CONNECTION) == []
    (reply,) = wired(pydantic).invoke(EVENT, CONNECTION)
    assert (reply.type, reply.data) == ("u", EVENT.data)


async def coroutine(event: Event) -> None: ...
async def stream(event: Event):
    yield event


def positional(event: Event, /) -> None: ...
def two(event, context): ...
def untyped_port(event: Event, catalog): ...


@pytest.mark.parametrize(
    ("function", "why"),
    [(coroutine, "async"), (stream, "async"), (positional, "positional"), (two, "'event'"), (untyped_port, "'catalog'")],
)
def test_what_could_never_run_is_refused_at_the_start(function, why):
    with pytest.raises(WiringError, match=why):
        wired(function)


def test_what_has_a_default_needs_nothing():
    def function(event: Event, times=2) -> Iterator[Event]:
        yield from (event.reply({}, type="u") for _ in range(times))

    assert len(wired(function).invoke(EVENT, CONNECTION)) == 2


def test_only_functions_that_read_objects_run_outside_the_transaction():
    def reads(event: Event, objects: ObjectStore) -> None: ...
    def writes(event: Event, catalog: Catalog) -> None: ...

    assert wired(reads).slow
    assert not wired(writes).slow
    assert wired(writes).invoke(EVENT, CONNECTION) == []


def test_an_unknown_parameter_is_told_with_the_ports_there_are():
    def function(event: Event, database: int) -> None: ...

    with pytest.raises(WiringError, match=r"'database'.*Catalog"):
        wired(function)


def test_yielding_something_else_is_an_error():
    def function(event: Event) -> list[str]:
        return ["text"]

    with pytest.raises(TypeError, match="str"):
        wired(function).invoke(EVENT, CONNECTION)


def test_routes_match_globs_and_names_are_unique():
    @on("a.*", "b")
    def f(event: Event) -> None: ...

    handler = vars(f)["__handler__"]
    routes = Routes([handler])
    assert [[handler.name for handler in routes.match(kind)] for kind in ("a.x", "b", "c", "b.x")] == [["f"], ["f"], [], []]
    with pytest.raises(ValueError, match="'f'"):
        Routes([handler, handler])


def test_a_module_without_functions_is_a_mistake(monkeypatch):
    monkeypatch.setitem(sys.modules, "empty_module", types.ModuleType("empty_module"))
    with pytest.raises(WiringError, match="empty_module"):
        load(["empty_module"])


@pytest.mark.parametrize("name", ["no_such_module", "functions.no_such_module", "no_such_folder.module"])
def test_a_module_that_is_not_there_is_a_mistake_of_the_configuration(name):
    with pytest.raises(ConfigError, match=rf"sluice\.functions names {name}, but .*PYTHONPATH"):
        load([name])


def test_what_a_module_lacks_is_told_where_it_is_wanted(monkeypatch, tmp_path):
    (tmp_path / "lacking_module.py").write_text("import no_such_library\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="no_such_library"):
        load(["lacking_module"])
