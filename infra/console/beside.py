"""The lake beside a process that outlives it. Started again it may be elsewhere, so where it is, is read for each question.

Reading that takes some microseconds, and a question a millisecond. A lake that was killed leaves word of where it was: whether
one answers there shows only then.
"""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from events.ports import ObjectInfo
from infra.config import Config, ConfigError
from infra.console.client import Client, NotRunning, locate
from infra.objects.door_keys import door_keys
from infra.objects.s3 import S3Store


class BesideClient(Client):
    """The API of the lake of ``config``, wherever it is. Raises ``NotRunning`` unless there is one."""

    def __init__(self, config: Config) -> None:
        self._config = config
        super().__init__(locate(config).http, config.http.token, config.folder)

    def stream(self, path: str, **parameters: Any) -> Iterator[dict[str, Any]]:
        self.move(locate(self._config).http)
        return super().stream(path, **parameters)

    def _ask(self, method: str, path: str, **more: Any) -> Any:
        self.move(locate(self._config).http)
        return super()._ask(method, path, **more)


class BesideStore:
    """The ``ObjectStore`` port over the door of the lake of ``config``, wherever it is. Raises ``NotRunning`` unless it is."""

    def __init__(self, config: Config) -> None:
        self._config, self._lock = config, threading.Lock()
        self._store = self._made(locate(config).s3)

    def head(self, bucket: str, key: str, *, version: str = "") -> ObjectInfo:
        return self._now().head(bucket, key, version=version)

    def read(self, bucket: str, key: str, start: int, end: int, *, etag: str = "") -> bytes:
        return self._now().read(bucket, key, start, end, etag=etag)

    def stream(self, bucket: str, key: str, *, etag: str = "") -> Generator[bytes, None, None]:
        return self._now().stream(bucket, key, etag=etag)

    def write(self, bucket: str, key: str, data: bytes, *, content_type: str = "application/octet-stream") -> ObjectInfo:
        return self._now().write(bucket, key, data, content_type=content_type)

    def upload(self, bucket: str, key: str, file: Path, *, content_type: str, user: dict[str, str]) -> ObjectInfo:
        return self._now().upload(bucket, key, file, content_type=content_type, user=user)

    def delete(self, bucket: str, key: str) -> None:
        self._now().delete(bucket, key)

    def list(self, bucket: str, prefix: str = "") -> Iterator[ObjectInfo]:
        return self._now().list(bucket, prefix)

    def close(self) -> None:
        """Free the connections."""
        self._store.close()

    def _now(self) -> S3Store:
        """The door as the lake tells of it; while none does, where it was: that it cannot be reached is told as ever."""
        with self._lock:
            with suppress(NotRunning, ConfigError):
                if (endpoint := locate(self._config).s3) != self._store.endpoint:
                    self._store = self._made(endpoint)  # who has the old one still ends with it; so do its connections
            return self._store

    def _made(self, endpoint: str) -> S3Store:
        return S3Store(endpoint, *door_keys(self._config), self._config.door.region)
