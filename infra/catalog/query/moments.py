"""Times in filters and documents: RFC 3339 (a date alone is allowed, and a time without seconds or offset, which is UTC) in ms.

One grammar for Python, SQLite and PostgreSQL (``functions.py``), so that the same texts are times everywhere. Milliseconds
are cut.
"""

from __future__ import annotations

import re
from datetime import date, datetime

DAY = 86_400_000
_TIME = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})"
    r"(?:[Tt ]([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:\.([0-9]{1,9}))?)?(?:[Zz]|([+-])([0-9]{2}):([0-9]{2}))?)?"
)
_EPOCH = date(1970, 1, 1).toordinal()


def moment(text: str) -> int | None:
    """A time in ms since 1970; ``None`` if the text is none."""
    if len(text) == 20 and text[4::3] == "--T::Z":  # nearly all: Python's own reader takes a tenth of the time
        try:
            at = datetime.fromisoformat(text)
        except ValueError:
            return None
        return (at.toordinal() - _EPOCH) * DAY + ((at.hour * 60 + at.minute) * 60 + at.second) * 1000
    if (found := _TIME.fullmatch(text)) is None:
        return None
    year, month, day, hour, minute, second, fraction, sign, hours, minutes = found.groups()
    try:
        days = date(int(year), int(month), int(day)).toordinal() - _EPOCH
    except ValueError:
        return None
    h, m, s, oh, om = int(hour or 0), int(minute or 0), int(second or 0), int(hours or 0), int(minutes or 0)
    if h > 23 or m > 59 or s > 59 or oh > 23 or om > 59:
        return None
    offset = (oh * 60 + om) * (-1 if sign == "-" else 1)
    return days * DAY + (h * 60 + m - offset) * 60_000 + s * 1000 + int((fraction or "0").ljust(3, "0")[:3])


def whole_day(text: str) -> bool:
    """Whether the text is a date alone."""
    return len(text) == 10
