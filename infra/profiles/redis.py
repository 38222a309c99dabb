"""Task profiles as JSON documents in Redis, for deliveries of a Redis log."""

from __future__ import annotations

from typing import Any

import msgspec

from infra.log.redis_unit import ReadingUnit, RedisUnit

TABLE = "profile"
_decode = msgspec.json.Decoder(dict[str, Any]).decode
_encode = msgspec.json.Encoder().encode


class RedisProfiles:
    """The ``Profiles`` port over a unit of work; writes belong to the delivery at hand."""

    def __init__(self, unit: RedisUnit | ReadingUnit) -> None:
        self._unit = unit

    def get(self, key: str) -> dict[str, Any] | None:
        found = self._unit.get(TABLE, key)
        return None if found is None else _decode(found)

    def put(self, key: str, profile: dict[str, Any]) -> None:
        self._unit.put(TABLE, key, _encode(profile).decode())

    def keys(self, prefix: str = "") -> list[str]:
        return self._unit.keys(TABLE, prefix)
