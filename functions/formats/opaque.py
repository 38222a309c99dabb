"""Anything that no other format knows: it is stored and found, but not looked into."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

from events.errors import Reject
from events.ports import ObjectStore
from functions.formats.format import Index, Slice
from functions.formats.source import Source
from functions.formats.where import Where


class Opaque:
    """Bytes."""

    name = "opaque"
    media_type = "application/octet-stream"
    suffixes: tuple[str, ...] = ()

    def sniff(self, head: bytes, name: str) -> bool:
        return True

    def scanner(self) -> None:
        return None

    def describe(self, source: Source, scan: dict[str, Any]) -> dict[str, Any]:
        """Nothing: name and size are in the catalogue anyway."""
        return {}

    def index(self, source: Source, scan: dict[str, Any]) -> Index | None:
        """``None``: there is nothing known to cut at."""
        return None

    def slices(self, index: Index, count: int, *, bucket: str, key: str, index_at: str = "") -> list[Slice]:
        raise Reject(f"s3://{bucket}/{key} has an unknown format and cannot be cut")

    def open(
        self, part: Slice, objects: ObjectStore, *, columns: Sequence[str] | None = None, where: Where = ()
    ) -> AbstractContextManager[Any]:
        raise Reject(f"s3://{part.bucket}/{part.key} has an unknown format and cannot be cut")
