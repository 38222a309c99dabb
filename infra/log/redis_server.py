"""The Redis server behind the event log: one connection pool, the one script, and errors that say what to do."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as Unreachable
from redis.exceptions import InvalidResponse, NoScriptError, RedisError, ResponseError, WatchError
from redis.exceptions import TimeoutError as TimedOut
from redis.retry import Retry as ClientRetry

from events.errors import Retry
from infra.config import ConfigError

logger = logging.getLogger("sluice.log")
SCRIPT = Path(__file__).with_name("redis.lua").read_text()
TIMEOUT_SECONDS = 10.0
#: Answers of a server that cannot write now, whatever it is asked: out of memory, full disk, replica, election, long script.
UNWILLING = ("OOM", "MISCONF", "READONLY", "MASTERDOWN", "NOREPLICAS", "CLUSTERDOWN", "TRYAGAIN", "NOPERM", "BUSY")
_GONE = (Unreachable, TimedOut, OSError)
_encode = msgspec.msgpack.Encoder().encode


class RedisServer:
    """Calls of ``redis.lua``, and plain commands. Nothing is repeated here: who calls knows what may be."""

    def __init__(self, url: str, prefix: str) -> None:
        self.prefix = f"{{{prefix}}}"
        try:
            self.client = Redis.from_url(
                url,
                protocol=2,
                socket_timeout=TIMEOUT_SECONDS,
                socket_connect_timeout=TIMEOUT_SECONDS,
                retry=ClientRetry(NoBackoff(), 0),
            )
            parts = urlsplit(url)
            self.where = f"redis://{parts.hostname or ''}:{parts.port or 6379}{parts.path}"
        except ValueError as error:
            raise ConfigError(f"sluice.log.url is no Redis address: {error}; write redis://HOST:PORT/DATABASE") from None
        self._execute: Callable[..., Any] = self.client.execute_command
        for command in ("XPENDING", "XCLAIM", "XREADGROUP", "XINFO CONSUMERS"):
            self.client.set_response_callback(command, lambda answer, **_: answer)  # as it comes: no dictionaries
        try:
            self._check()
        except BaseException:
            self.client.close()
            raise

    def _check(self) -> None:
        try:
            self._sha = self.client.script_load(SCRIPT)
            info: dict[str, Any] = {
                **self.client.info("server"),
                **self.client.info("persistence"),
                **self.client.info("memory"),
            }
        except RedisError as error:
            raise ConfigError(
                f"the event log {self.where} cannot be used: {error}; start Redis there, or correct sluice.log.url "
                "(leave it empty for the embedded log)"
            ) from error
        if not info.get("aof_enabled"):
            logger.warning("Redis at %s has appendonly off: accepted events do not survive its end", self.where)
        if info.get("maxmemory_policy", "noeviction") != "noeviction":
            raise ConfigError(f"Redis at {self.where} may evict keys, so it can lose events: set maxmemory-policy noeviction")

    def key(self, *parts: object) -> str:
        """The key of this name."""
        return ":".join((self.prefix, *map(str, parts)))

    def call(self, command: str, *arguments: Any) -> Any:
        """Run a command of the script. Raises ``Retry`` when the server does not answer or refuses to write."""
        return self.run("EVALSHA", self._sha, 1, self.prefix, command, _encode(arguments))

    def run(self, *command: Any) -> Any:
        """Run a Redis command. Raises ``Retry`` as ``call`` does."""
        with self._answering():
            try:
                return self._execute(*command)
            except NoScriptError:  # the server was started again
                self.client.script_load(SCRIPT)
                return self._execute(*command)

    def run_if(self, keys: Sequence[str], wanted: bytes, *command: Any) -> tuple[list[int], Any]:
        """Run a Redis command if all of these keys hold ``wanted`` when it runs; else it does not run and answers ``None``.

        Also returns which of them (their indexes) held something else. Raises ``Retry`` as ``call`` does.
        """
        with self._answering(), self.client.pipeline() as opened:
            pipe: Any = opened
            pipe.watch(*keys)
            others = [n for n, value in enumerate(pipe.execute_command("MGET", *keys)) if value != wanted]
            if others:
                return others, None
            pipe.multi()
            pipe.execute_command(*command)
            try:
                return [], pipe.execute()[0]
            except WatchError as error:
                if isinstance(error.__context__, _GONE):  # the client says so of a lost connection, too: it may have run
                    raise
                return [], None  # somebody has changed one in between

    @contextmanager
    def _answering(self) -> Iterator[None]:
        """What the server cannot do now may be tried again."""
        try:
            yield
        except (*_GONE, InvalidResponse, WatchError) as error:
            raise Retry(f"the event log {self.where} cannot be reached: {error}") from error
        except ResponseError as error:
            if (error.status_code or str(error).partition(" ")[0]) in UNWILLING:
                raise Retry(f"the event log {self.where} takes no events now: {error}") from error
            raise

    def close(self) -> None:
        self.client.close()
