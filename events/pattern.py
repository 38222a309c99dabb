"""Patterns of texts, as event types and content types are chosen by: ``*`` stands for any text, everything else for itself."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable


def matcher(patterns: Iterable[str]) -> Callable[[str], bool]:
    """Whether a text is what any of these patterns describes, as a whole and with its case."""
    parts = (".*".join(map(re.escape, pattern.split("*"))) for pattern in patterns)
    match = re.compile("|".join(f"(?:{part})" for part in parts) or r"(?!)", re.DOTALL).fullmatch
    return lambda text: match(text) is not None
