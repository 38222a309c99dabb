"""Which function wants which event: ``@on(type, ...)`` says so, ``Routes`` finds them by type."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any, TypeVar

from events.event import Event
from events.pattern import matcher

Function = Callable[..., Iterable[Event] | None]
F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class Handler:
    """A function, its name (stable: reply ids hang on it) and the event types it wants (``*`` matches any text).

    One that is ``alone`` runs for one event at a time, in a thread of its own: as slow as it may be, nobody waits for it.
    """

    name: str
    patterns: tuple[str, ...]
    function: Function
    alone: bool = False

    def wants(self, event_type: str) -> bool:
        """Whether an event of this type goes to this function."""
        return matcher(self.patterns)(event_type)


def on(*patterns: str, alone: bool = False) -> Callable[[F], F]:
    """Mark a generator function as the handler of event types. It takes the event and its ports, and yields events."""

    def mark(function: F) -> F:
        function.__handler__ = Handler(function.__name__, patterns, function, alone)  # type: ignore[attr-defined]
        return function

    return mark


def handlers(modules: Iterable[ModuleType]) -> Iterator[Handler]:
    """Every function marked with ``@on`` that these modules define, in their order."""
    for module in modules:
        for value in vars(module).values():
            handler = getattr(value, "__handler__", None)
            if isinstance(handler, Handler) and handler.function.__module__ == module.__name__:
                yield handler


class Routes:
    """The handlers of one process, looked up by event type."""

    def __init__(self, found: Iterable[Handler]) -> None:
        self.by_name: dict[str, Handler] = {}
        for handler in found:
            if handler.name in self.by_name:
                raise ValueError(f"two functions are called {handler.name!r}: names must differ, reply ids hang on them")
            self.by_name[handler.name] = handler
        self._cache: dict[str, tuple[Handler, ...]] = {}

    def match(self, event_type: str) -> tuple[Handler, ...]:
        """The handlers that want events of this type."""
        found = self._cache.get(event_type)
        if found is None:
            found = tuple(handler for handler in self.by_name.values() if handler.wants(event_type))
            if len(self._cache) < 10_000:  # types come from outside: do not let them fill the memory
                self._cache[event_type] = found
        return found
