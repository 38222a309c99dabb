r"""The patterns of ``LIKE``: ``%`` is any text, ``_`` any one character; ``\%`` and ``\_`` are themselves.

Source: CloudEvents SQL 1.0.0, section 3.4.3. Every pattern is matched in time linear in the text: what stands between two
``%`` is taken at its first place and never looked for again, which loses no match.
"""

from __future__ import annotations

import re
from collections.abc import Callable

_PART = re.compile(r"\\([%_])|(%)|(_)|(.)", re.DOTALL)


def matcher(pattern: str) -> Callable[[str], bool]:
    """A function that tells whether a text matches ``pattern``."""
    pieces: list[str] = [""]
    plain: list[str] = [""]
    is_plain = True
    for escaped, percent, underscore, other in _PART.findall(pattern):
        if percent:
            pieces.append("")
            plain.append("")
        else:
            is_plain = is_plain and not underscore
            pieces[-1] += "." if underscore else re.escape(escaped or other)
            plain[-1] += escaped or other
    if is_plain and len(plain) <= 3 and (len(plain) < 3 or plain[0] == plain[2] == ""):
        return _plain(plain)
    first, *middle = pieces
    regular = first
    if middle:
        regular += "".join(f"(?>.*?{piece})" for piece in middle[:-1]) + f".*{middle[-1]}"
    match = re.compile(regular, re.DOTALL).fullmatch
    return lambda text: match(text) is not None


def _plain(parts: list[str]) -> Callable[[str], bool]:
    """The usual patterns without a regular expression: ``abc``, ``abc%``, ``%abc``, ``a%c`` and ``%abc%``."""
    if len(parts) == 1:
        return parts[0].__eq__
    if len(parts) == 3:
        middle = parts[1]
        return lambda text: middle in text
    first, last = parts
    if not last:
        return lambda text: text.startswith(first)
    if not first:
        return lambda text: text.endswith(last)
    least = len(first) + len(last)
    return lambda text: len(text) >= least and text.startswith(first) and text.endswith(last)
