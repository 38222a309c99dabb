"""Wiring: a function's parameters are filled by their types - the event, its typed data, ports.

A function that asks for the ``ObjectStore`` may take long, so it runs outside the transaction and only reads its other ports.
Every other function runs inside the transaction that also holds its inbox mark and its outgoing events. Those that also
ask for ``Stopping``, or are ``alone``, have a thread of their own each, so that they hold nobody up.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, get_type_hints

import msgspec
from cloudevents.abstract import CloudEvent as AnyCloudEvent
from cloudevents.http import CloudEvent

from events.event import Event, restamp
from events.ports import ObjectStore, Stopping
from events.route import Handler, Routes, handlers
from infra import bridge
from infra.config import ConfigError

#: Port -> how to make it over the log's unit of work (what it writes then belongs to that).
Scoped = Mapping[type, Callable[[Any], Any]]
Getter = Callable[[Event, Any], Any]
#: The SDK's base class, and the class that whoever names it gets. Another of its classes (pydantic's) is made as it is named.
_SDK = (AnyCloudEvent, CloudEvent)
_EVENTS = (Event, AnyCloudEvent)


class WiringError(TypeError):
    """A function asks for something that no port or event type provides; the text names both."""


@dataclass(frozen=True)
class Wired:
    """A handler with its parameters resolved. ``long``: it may take minutes."""

    handler: Handler
    slow: bool
    fill: tuple[tuple[str, Getter], ...]
    long: bool = False

    @property
    def pool(self) -> str:
        """Where it runs when it is slow: with the others, or in a thread that nobody else waits for."""
        return f"only-{self.handler.name}" if self.long or self.handler.alone else "function"

    def invoke(self, event: Event, unit: Any) -> list[Event]:
        """Run the function to its end; what it yielded, with the ids and source that make a replay harmless."""
        produced = self.handler.function(**{name: get(event, unit) for name, get in self.fill})
        if produced is None:
            return []
        if isinstance(produced, _EVENTS):
            produced = [produced]
        name = self.handler.name
        return [restamp(_event(item, event), event, name, ordinal) for ordinal, item in enumerate(produced)]


def _event(item: Any, cause: Event) -> Event:
    event = bridge.from_sdk(item) if isinstance(item, AnyCloudEvent) else item
    if not isinstance(event, Event):
        raise TypeError(f"a function yielded a {type(item).__name__} for event {cause.id!r}; functions yield events")
    return event


def wire(handler: Handler, fixed: Mapping[type, Any], scoped: Scoped) -> Wired:
    """Resolve a handler's parameters by type. Raises ``WiringError``."""
    hints = _hints(handler)
    fill: list[tuple[str, Getter]] = []
    for name, kind in hints.items():
        get = _getter(kind, fixed, scoped)
        if get is None:
            known = ", ".join(sorted(port.__name__ for port in (*scoped, *fixed)))
            raise WiringError(f"function {handler.name!r}: nothing provides its parameter {name!r}: {kind}; ports are {known}")
        fill.append((name, get))
    return Wired(handler, ObjectStore in hints.values(), tuple(fill), Stopping in hints.values())


def _hints(handler: Handler) -> dict[str, Any]:
    """Parameter -> type. A sole parameter without one is the event, as the SDK has it: other frameworks' functions are so.

    Raises ``WiringError`` for what could never run.
    """
    function, name = handler.function, handler.name
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        raise WiringError(f"function {name!r} is async, and nothing here awaits it: write it with def")
    hints = get_type_hints(function)
    hints.pop("return", None)
    parameters = inspect.signature(function).parameters.values()
    rest = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    needed = [each.name for each in parameters if each.default is each.empty and each.kind not in rest]
    for each in parameters:
        if each.kind is each.POSITIONAL_ONLY:
            raise WiringError(f"function {name!r}: its parameter {each.name!r} is positional only; ports come by name")
    untyped = [each for each in needed if each not in hints]
    if untyped and len(needed) > 1:
        raise WiringError(f"function {name!r}: nothing tells what its parameter {untyped[0]!r} is; annotate it with a type")
    return {**hints, **dict.fromkeys(untyped, CloudEvent)}


def _getter(kind: Any, fixed: Mapping[type, Any], scoped: Scoped) -> Getter | None:
    if kind is Event:
        return lambda event, _: event
    if kind in _SDK:
        return lambda event, _: bridge.to_sdk(event)
    if isinstance(kind, type) and issubclass(kind, AnyCloudEvent):
        return lambda event, _: bridge.to_class(kind, event)
    if kind in scoped:
        make = scoped[kind]
        return lambda _, unit: make(unit)
    if kind in fixed:
        port = fixed[kind]
        return lambda _, __: port
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return lambda event, _: event.read(kind)
    return None


def load(modules: Iterable[str]) -> Routes:
    """The handlers of these modules, by their dotted names.

    Raises:
        ConfigError: there is no such module.
        WiringError: a module without any handler.

    """
    found: list[Handler] = []
    for name in modules:
        try:
            module = importlib.import_module(name)
        except ModuleNotFoundError as error:
            if not f"{name}.".startswith(f"{error.name}."):
                raise  # it is there, but lacks something: where, its traceback says
            raise ConfigError(
                f"sluice.functions names {name}, but there is no module {error.name}: put it into a folder of PYTHONPATH"
            ) from error
        here = list(handlers([module]))
        if not here:
            raise WiringError(f"module {name} has no function marked with @on(...): nothing in it can ever run")
        found += here
    return Routes(found)
