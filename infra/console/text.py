"""Numbers and times as people read them."""

from __future__ import annotations

from datetime import UTC, datetime


def size(count: float) -> str:
    """Bytes in powers of ten, as disks and networks are sold: ``20.7 MB``."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if abs(count) < 999.5 or unit == "TB":
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.3g} {unit}"
        count /= 1000
    raise AssertionError


def count(number: int, noun: str) -> str:
    """``1 slice``, ``2 slices``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def seconds(value: float) -> str:
    """A duration: ``34 ms``, ``2.1 s``, ``3 min 5 s``."""
    if value < 0.9995:
        return f"{value * 1000:.0f} ms"
    if value < 59.95:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    return f"{minutes} min {rest} s"


def moment(text: str) -> str:
    """An RFC 3339 time to the second, in UTC; as it is if it cannot be read."""
    try:
        return datetime.fromisoformat(text).astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")
    except ValueError:
        return text


def clock(posix: float) -> str:
    """The time of day of a POSIX time, local, with milliseconds."""
    return datetime.fromtimestamp(posix).astimezone().strftime("%H:%M:%S.%f")[:-3]


def short(event_type: str) -> str:
    """An event type without what all of ours, or all of S3's, begin with."""
    return event_type.removeprefix("dev.sluice.").removeprefix("com.amazonaws.").removesuffix(".v1")


def printable(value: str) -> str:
    """Text from outside without the control characters that would play with the terminal."""
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in value)


def instant(posix: float) -> str:
    """A POSIX time to the second, in UTC."""
    return datetime.fromtimestamp(posix, UTC).strftime("%Y-%m-%d %H:%M:%S")
