"""All configured sources of one lake, begun and ended together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from infra.config import Config
from infra.lake import Lake
from infra.objects.s3 import S3Store
from infra.sources.sqs import Poller
from infra.sources.sweep import Sweeper


class Source(Protocol):
    """Something that runs in threads of its own."""

    def start(self) -> None: ...

    def stop(self) -> None: ...


def start(config: Config, lake: Lake, objects: S3Store, sweeper: Sweeper) -> Callable[[], None]:
    """Begin the sources that ``config`` names, ``sweeper`` among them; returns the function that ends them, which waits."""
    running: list[Source] = [
        *(Poller(queue, lake) for queue in config.sources.queues),
        *_listeners(config, lake, objects, sweeper),
        sweeper,  # last: the listeners ask it for sweeps until they end
    ]
    for source in running:
        source.start()

    def stop() -> None:
        for source in running:
            source.stop()

    return stop


def _listeners(config: Config, lake: Lake, objects: S3Store, sweeper: Sweeper) -> list[Source]:
    if not config.sources.listen:
        return []
    from infra.sources.minio import Listener  # who listens to no MinIO shall not wait for its client

    return [Listener(address, objects, lake, sweeper.request) for address in config.sources.listen]
