"""Moments: milliseconds since 1970 inside, RFC 3339 in UTC outside."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from events.errors import Reject

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)


def parsed(text: str) -> datetime | None:
    """An ISO 8601 time in UTC; ``None`` if it is none. Without an offset it is UTC, a date is its first moment."""
    try:
        moment = datetime.fromisoformat(text)
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None


def utc(text: str) -> str | None:
    """An ISO 8601 time in UTC with microseconds, so that text order is time order; ``None`` if it is none."""
    moment = parsed(text)
    return None if moment is None else moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


def ms(text: str) -> int | None:
    """An ISO 8601 time in milliseconds; ``None`` if it is none."""
    moment = parsed(text)
    return None if moment is None else (moment - _EPOCH) // _MS


def needed_ms(name: str, text: str) -> int | None:
    """A time that somebody gave, ``None`` for ``""``. Raises ``Reject`` for what is none."""
    if not text:
        return None
    if (moment := ms(text)) is None:
        raise Reject(f"{name}: {text[:60]!r} is no ISO 8601 time: write it like 2026-03-01 or 2026-03-01T12:00:00+02:00")
    return moment


def text(moment: int | None) -> str:
    """Milliseconds as RFC 3339; ``""`` for none."""
    if moment is None:
        return ""
    return (_EPOCH + moment * _MS).isoformat(timespec="milliseconds").replace("+00:00", "Z")
