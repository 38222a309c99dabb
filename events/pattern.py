"""Patterns of texts, in which ``*`` stands for any text and everything else for itself.

Event types, content types, sources of notifications and operators of models are chosen by them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import lru_cache


def matcher(patterns: Iterable[str]) -> Callable[[str], bool]:
    """Whether a text is what any of these patterns describes, as a whole and with its case."""
    return _matcher(tuple(patterns))


@lru_cache(1024)
def _matcher(patterns: tuple[str, ...]) -> Callable[[str], bool]:
    parts = (".*".join(map(re.escape, pattern.split("*"))) for pattern in patterns)
    match = re.compile("|".join(f"(?:{part})" for part in parts) or r"(?!)", re.DOTALL).fullmatch
    return lambda text: match(text) is not None
