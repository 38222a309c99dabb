"""A value that somebody wrote as text: in a query, in a table's cell."""

from __future__ import annotations

import json


def scalar(text: str) -> bool | int | float | str:
    """``12``, ``1.5``, ``true`` as what they are, anything else as text."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, int | float | bool) else text
