"""MinIO's listen API: the endless stream of a bucket's changes, followed by its SDK. The embedded door speaks it too.

The stream is quick, and it is a hint only: what happens while nobody is connected is not told, and the SDK connects again
without a word. So each connection, once it stands, asks for a sweep of what it follows (``infra/delivery/reconcile.py``).
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import urllib3
from minio import Minio
from minio.error import MinioException

from events.s3 import events_from
from infra.delivery import intake
from infra.lake import Lake
from infra.objects.s3 import S3Store

logger = logging.getLogger("sluice.listen")
EVENTS = ("s3:ObjectCreated:*", "s3:ObjectRemoved:*")
PAUSE, PAUSE_MAX = 0.5, 30.0
#: A stream that is silent for so long is dead: MinIO sends a blank line every half second.
SILENT_SECONDS = 30.0


class Stopped(Exception):
    """The listener has been told to stop."""


class Connection(urllib3.PoolManager):
    """The SDK's way to the store, which tells of every new stream and can be cut."""

    def __init__(self, connected: Callable[[], None]) -> None:
        super().__init__(timeout=urllib3.Timeout(connect=5.0, read=SILENT_SECONDS), retries=False)
        self._connected = connected
        self._response: urllib3.BaseHTTPResponse | None = None
        self._cut = False

    def urlopen(self, method: str, url: str, redirect: bool = True, **more: Any) -> urllib3.BaseHTTPResponse:  # type: ignore[override]
        if self._cut:
            raise Stopped
        response = super().urlopen(method, url, redirect=redirect, **more)
        if "events=" in url and response.status == 200:
            self._response = response
            if self._cut:  # between the two, cut() saw the stream before
                response.close()
                raise Stopped
            self._connected()
        return response

    def cut(self) -> None:
        """End the stream, whatever its reader waits for."""
        self._cut = True
        if self._response is not None:
            with suppress(RuntimeError):  # it has just ended by itself
                self._response.shutdown()


class Listener:
    """A thread that follows the stream of ``s3://BUCKET/PREFIX``.

    Args:
        address: what to follow.
        objects: the store.
        lake: where the events go.
        sweep: asks for a sweep of bucket and prefix; called from the listener's thread, returns at once.

    """

    def __init__(self, address: str, objects: S3Store, lake: Lake, sweep: Callable[[str, str], None]) -> None:
        self._bucket, _, self._prefix = address.removeprefix("s3://").partition("/")
        self._lake, self._sweep = lake, sweep
        #: How often a stream has begun.
        self.connections = 0
        self._pool = Connection(self._on_connection)
        parts = urlsplit(objects.endpoint)
        access, secret, region = objects.keys
        self._client = Minio(
            parts.netloc,
            access_key=access,
            secret_key=secret,
            region=region,
            secure=parts.scheme == "https",
            http_client=self._pool,
        )
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"listen {self._bucket}", daemon=True)

    def start(self) -> None:
        """Begin to listen."""
        self._thread.start()

    def stop(self) -> None:
        """Cut the stream and wait for the thread."""
        self._stopping.set()
        with suppress(OSError, ValueError):  # the other side was quicker
            self._pool.cut()
        if self._thread.ident is not None:
            self._thread.join()
        self._pool.clear()

    def _on_connection(self) -> None:
        self.connections += 1
        self._sweep(self._bucket, self._prefix)

    def _run(self) -> None:
        pause = PAUSE
        while not self._stopping.is_set():
            before = self.connections
            try:
                self._follow()
            except Stopped:
                return
            except Exception as error:  # of the network, the store, the SDK or our own log: all may come back
                if self._stopping.is_set():
                    return
                pause = PAUSE if self.connections > before else min(pause * 2, PAUSE_MAX)
                known = isinstance(error, MinioException | urllib3.exceptions.HTTPError | OSError | ValueError)
                logger.warning("listening to s3://%s: again in %.1f s: %s", self._bucket, pause, error, exc_info=not known)
            self._stopping.wait(pause)

    def _follow(self) -> None:
        """Read the stream until it breaks for good; the SDK mends what it can."""
        with self._client.listen_bucket_notification(self._bucket, self._prefix, events=EVENTS) as lines:
            for line in lines:
                received = events_from(line)
                if received is not None:
                    intake.store(self._lake, received)
