"""Stored results in a Redis hash: several serving processes share them.

KEY is the hash of the results, KEY:began that of when each began, and KEY:lease:NAME who computes one at the moment.
"""

from __future__ import annotations

import msgspec
import redis

from infra.config import ConfigError
from infra.serving.results import Result

KEY = "sluice:results"
#: Of the results and the times: name, time, content, and whether it must be there already.
PUT = """
local began = redis.call('HGET', KEYS[2], ARGV[1])
if ARGV[4] == '1' and redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 then return 0 end
if began and tonumber(began) > tonumber(ARGV[2]) then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
return 1
"""
#: Of a lease: its owner.
RELEASE = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"


class RedisResults:
    """The ``Results`` port over ``redis://host:port/database``. Raises ``ConfigError`` where none answers."""

    shared = True

    def __init__(self, url: str, key: str = KEY) -> None:
        try:
            self._client: redis.Redis = redis.Redis.from_url(url, socket_timeout=5, socket_connect_timeout=5)
            self._client.ping()
        except (redis.RedisError, ValueError) as error:
            raise ConfigError(f"the Redis of sluice.serving.results cannot be used: {error}") from error
        self._key, self._times = key, f"{key}:began"
        self._put, self._release = self._client.register_script(PUT), self._client.register_script(RELEASE)

    def get(self, name: str) -> Result | None:
        found = self._client.hget(self._key, name)
        return msgspec.msgpack.decode(found, type=Result) if isinstance(found, bytes) else None

    def put(self, name: str, result: Result, *, again: bool = False) -> bool:
        content = msgspec.msgpack.encode(result)
        return bool(self._put([self._key, self._times], [name, f"{result.began:.6f}", content, int(again)]))

    def claim(self, name: str, owner: str, seconds: float) -> bool:
        key = f"{self._key}:lease:{name}"
        return bool(self._client.set(key, owner, nx=True, px=int(seconds * 1000)))

    def release(self, name: str, owner: str) -> None:
        self._release([f"{self._key}:lease:{name}"], [owner])

    def remove(self, name: str) -> bool:
        self._client.hdel(self._times, name)
        return self._client.hdel(self._key, name) == 1

    def names(self) -> list[str]:
        return sorted(name.decode() for name in self._client.hkeys(self._key))  # type: ignore[union-attr]

    def close(self) -> None:
        self._client.close()
