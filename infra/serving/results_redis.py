"""Stored results in a Redis hash: several serving processes share them."""

from __future__ import annotations

import msgspec
import redis

from infra.config import ConfigError
from infra.serving.results import Result

KEY = "sluice:results"


class RedisResults:
    """The ``Results`` port over ``redis://host:port/database``. Raises ``ConfigError`` where none answers."""

    shared = True

    def __init__(self, url: str, key: str = KEY) -> None:
        try:
            self._client: redis.Redis = redis.Redis.from_url(url, socket_timeout=5, socket_connect_timeout=5)
            self._client.ping()
        except (redis.RedisError, ValueError) as error:
            raise ConfigError(f"the Redis of sluice.serving.results cannot be used: {error}") from error
        self._key = key

    def get(self, name: str) -> Result | None:
        found = self._client.hget(self._key, name)
        return msgspec.msgpack.decode(found, type=Result) if isinstance(found, bytes) else None

    def put(self, name: str, result: Result) -> None:
        self._client.hset(self._key, name, msgspec.msgpack.encode(result))

    def remove(self, name: str) -> bool:
        return self._client.hdel(self._key, name) == 1

    def names(self) -> list[str]:
        return sorted(name.decode() for name in self._client.hkeys(self._key))  # type: ignore[union-attr]

    def close(self) -> None:
        self._client.close()
