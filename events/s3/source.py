"""A source: one form in which S3 notifications arrive. A new form is one file with such a class and an entry in ``SOURCES``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from events.received import Received

#: Reads what lies in an envelope: the inner value, and its path for error texts. ``None`` if no source knows it.
Unwrap = Callable[[Any, str], Received | None]


class Source(Protocol):
    """One form. ``body`` is parsed JSON; ``headers`` have lower-case names."""

    def infer(self, body: Any, headers: Mapping[str, str]) -> bool:
        """Whether the body has this form, judged by a glance at its outside."""
        ...

    def read(self, body: Any, path: str, unwrap: Unwrap) -> Received:
        """Its events and rejects. ``BadEvent`` when the envelope itself is malformed."""
        ...
