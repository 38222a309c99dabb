"""Full text, made the same for both databases: the words of a text, in lower case, with single spaces between."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from typing import Any

_WORD = re.compile(r"[^\W_]+")
#: Most characters that are indexed of one resource.
MOST = 4096


def words(text: str) -> list[str]:
    """The words of a text: letters and digits, whatever stands between them."""
    return _WORD.findall(text.lower() if text.isascii() else unicodedata.normalize("NFKC", text).casefold())


def indexed(*parts: Any) -> str:
    """What full text finds of these values, nested ones included, cut at ``MOST`` characters."""
    texts: list[str] = []
    _gather(parts, texts)
    return " ".join(words(" ".join(texts)[:MOST]))


def _gather(values: Iterable[Any], texts: list[str]) -> None:
    for value in values:
        if isinstance(value, str):
            texts.append(value)
        elif isinstance(value, dict):
            _gather(value.values(), texts)
        elif isinstance(value, list) and len(texts) < MOST:
            _gather(value, texts)
