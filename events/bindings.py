"""The port to the functions that start by themselves for objects."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from events.types import DeliveryFailed, FunctionRequested, ObjectVersion


@runtime_checkable
class Bindings(Protocol):
    """The functions that start by themselves for objects."""

    def requested(self, bucket: str, key: str) -> list[FunctionRequested]:
        """What the bindings ask for, of an object that has been catalogued."""
        ...

    def current(self, request: FunctionRequested) -> FunctionRequested | None:
        """A request as its binding stands now; ``None`` if that asks for no such thing (any more)."""
        ...

    def failed(self, failure: DeliveryFailed) -> ObjectVersion | None:
        """The function of a binding has failed for good: the binding shows it. The place of the result that failed with it."""
        ...
