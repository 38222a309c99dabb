"""Functions for the runtimes without a log, as a module that they load by its name."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

MODULE = """
from collections.abc import Iterator
from cloudevents.http import CloudEvent
from events.errors import Reject, Retry
from events.event import Event
from events.route import on

RAN = []

@on("one")
def one(event: Event) -> Iterator[Event]:
    RAN.append(event.id)
    yield event.reply({"got": event.data}, type="answer")

@on("two")
def two(event: Event) -> Iterator[Event]:
    yield event.reply({"n": 1}, type="answer")
    yield event.reply({"n": 2}, type="answer")

@on("none")
def none(event: Event) -> None:
    RAN.append(event.id)

@on("sdk")
def sdk(event: CloudEvent) -> CloudEvent:
    return CloudEvent({"type": "answer", "source": "/mine"}, {"got": event.data["a"]})

@on("reject")
def reject(event: Event) -> None:
    raise Reject("this can never work")

@on("retry")
def retry(event: Event) -> None:
    raise Retry("the store is away", 2.5)

@on("broken")
def broken(event: Event) -> None:
    raise ValueError("boom")
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[str]:
    """The name of a module with one function for each way to end, importable in this test."""
    name = f"runtime_functions_{abs(hash(request.node.nodeid))}"
    (tmp_path / f"{name}.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield name
    sys.modules.pop(name, None)
