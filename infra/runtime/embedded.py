"""The embedded profile: one process hosts the S3 door, the event endpoint with its API, and the worker."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TextIO

import msgspec
import uvicorn

from infra.access.access import Access
from infra.access.issuer import Issuer
from infra.access.keys import Keys
from infra.catalog.database import Database
from infra.catalog.providers import DEFAULT, configure
from infra.config import Config, ConfigError, Provider
from infra.delivery.relay import Relay
from infra.graph.cached import CachedStore
from infra.graph.opened import opened
from infra.graph.retention import Retention
from infra.lake import Lake
from infra.objects.door import Door
from infra.objects.door_keys import door_keys
from infra.objects.providers import Providers
from infra.objects.s3 import S3Store
from infra.runtime.activation import adopt, inherited
from infra.runtime.api import Api
from infra.runtime.asgi import Endpoint
from infra.runtime.endpoints import FILE, Endpoints
from infra.runtime.garbage import settle_in
from infra.runtime.http11 import Http11
from infra.runtime.lineage_reader import LineageReader
from infra.runtime.listen import listen, url_of
from infra.runtime.overdue import Overdue
from infra.runtime.quiet import Quiet
from infra.runtime.silent_recorder import SilentRecorder
from infra.semantics.service import SemanticService
from infra.semantics.tbox import Tbox
from infra.series.service import SeriesService
from infra.sources import running as sources
from infra.sources.push import Push
from infra.sources.sns import Topics
from infra.sources.sweep import Sweeper
from infra.sources.token import push_token

logger = logging.getLogger("sluice")
STOP_SECONDS = 5


class _Server(uvicorn.Server):
    """A server whose signals are handled by who hosts it."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[TextIO]:
    """Hold the folder for this process. Raises ``ConfigError`` while another one runs on it, or if it cannot be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / "lock").open("a+")
    except OSError as error:
        raise ConfigError(
            f"cannot write to {folder} ({error.strerror}): let user {os.getuid()} write there, or choose another SLUICE_DATA"
        ) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise ConfigError(f"another sluice is running on {folder}; stop it, or choose another SLUICE_DATA") from error
        yield lock


async def serve(config: Config, started: Callable[[Endpoints], None] | None = None, fd: int | None = None) -> None:
    """Run until SIGINT or SIGTERM; then stop cleanly: no request is cut, no delivery left half done.

    Listening sockets that were handed over (``fd`` for HTTP, or as systemd does) are used instead of new ones.
    """
    with alone(config.folder), contextlib.ExitStack() as stack:
        given = inherited(os.environ, fd)
        http = stack.enter_context(adopt(given["http"]) if "http" in given else listen(config.http.host, config.http.port))
        door, s3 = _door(config, stack, given.get("s3"))
        objects = _objects(config, url_of(s3) if s3 else "")
        providers = Providers(objects, config.providers)
        stack.callback(providers.close)
        lake = Lake(config, providers)
        stack.callback(lake.close)
        own = Provider(name=DEFAULT, endpoint=objects.endpoint, region=objects.keys[2])
        lake.catalog.writer.submit(lambda connection: configure(Database(connection), own, config.providers)).result()
        access = access_of(config, lake)
        endpoints = Endpoints(url_of(http), url_of(s3) if s3 else config.objects.endpoint, os.getpid())
        lake.series = SeriesService(config.series, config.folder / "series", objects, lake)
        stack.callback(lake.series.close)
        lake.parts["series"] = lake.series.status
        lake.graph = graph = CachedStore(opened(config.semantics, config.folder / "graph"))
        stack.callback(graph.close)
        for upkeep in (Retention(graph, config.semantics.observation_days), Tbox(lake.vocabulary, graph)):
            upkeep.start()
            stack.callback(upkeep.stop)
        semantics = SemanticService(lake, graph)
        stack.callback(semantics.close)
        lake.parts["semantics"] = semantics.status
        state = {"ready": False}
        sweeper = Sweeper(lake, providers, config.reconcile)
        api = Api(lake, lambda: state["ready"], endpoints.http, sweeper.sweep, providers, access)
        topics = Topics(config.sources)
        endpoint = Endpoint(lake, api.application(), access, topics.check)
        servers = [(_server(Push(endpoint, lake, push_token(config), topics)), http)]
        if door and s3:
            servers.insert(0, (_server(door.app), s3))
        running = [asyncio.create_task(server.serve(sockets=[bound])) for server, bound in servers]
        stopping = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stopping.set)
        for server, _ in servers:
            while not server.started:
                await asyncio.sleep(0.005)
        await asyncio.to_thread(_own_bucket, objects, config, quiet=door is not None)
        settle_in()
        lake.worker.start()
        await asyncio.to_thread(lake.series.start)
        semantics.start()
        if door:
            relay = Relay(door, lake, config.door.targets)
            relay.start()
            stack.callback(relay.stop)
            lake.parts["door"] = lambda: {"outbox": door.backlog()}
        stack.callback(await asyncio.to_thread(sources.start, config, lake, objects, sweeper))
        overdue = Overdue(lake, providers)
        overdue.start()
        stack.callback(overdue.stop)
        for follower in (Quiet(lake), LineageReader(lake), SilentRecorder(lake)):
            follower.start()
            stack.callback(follower.stop)
        file = config.folder / FILE
        fresh = file.with_suffix(".new")  # renamed into place: nobody shall read half of it
        fresh.write_bytes(msgspec.json.encode(endpoints))
        fresh.replace(file)
        stack.callback(file.unlink, missing_ok=True)
        state["ready"] = True
        if started:
            started(endpoints)
        ended = asyncio.create_task(stopping.wait())
        await asyncio.wait([ended, *running], return_when=asyncio.FIRST_COMPLETED)
        state["ready"] = False
        api.closing.set()
        if door:
            door.hang_up()
        for server, _ in servers:
            server.should_exit = True
        await asyncio.gather(*running)
        ended.cancel()


def _door(config: Config, stack: contextlib.ExitStack, given: int | None) -> tuple[Door | None, socket.socket | None]:
    if not config.door.enabled:
        if not config.objects.endpoint:
            raise ConfigError("sluice.door.enabled is false and sluice.objects.endpoint is empty: there is no object store")
        return None, None
    access, secret = door_keys(config)
    bound = stack.enter_context(listen(config.door.host, config.door.port) if given is None else adopt(given))
    settings = config.door
    door = Door(
        config.folder / "objects", {access: secret}, region=settings.region, notify=settings.notify, targets=settings.targets
    )
    stack.callback(door.close)
    return door, bound


def _objects(config: Config, door: str) -> S3Store:
    wanted = config.objects
    if wanted.endpoint:
        return S3Store(wanted.endpoint, wanted.access_key, wanted.secret_key, wanted.region)
    access, secret = door_keys(config)
    return S3Store(door, access, secret, config.door.region)


def access_of(config: Config, lake: Lake) -> Access:
    """Who may call this lake. Raises ``ConfigError`` for an issuer that is only half configured."""
    issuer = Issuer(config.access) if config.access.issuer else None
    return Access(config.http.token, Keys(lake.database), issuer)


def _own_bucket(objects: S3Store, config: Config, quiet: bool) -> None:
    """The lake's own bucket, whose changes interest nobody."""
    objects.ensure(config.bucket)
    if quiet:
        objects.client.put_bucket_notification_configuration(Bucket=config.bucket, NotificationConfiguration={})


def _server(app: Any) -> _Server:
    return _Server(
        uvicorn.Config(
            app,
            http=Http11,
            log_level="warning",
            access_log=False,
            lifespan="off",
            server_header=False,
            timeout_graceful_shutdown=STOP_SECONDS,
            timeout_keep_alive=30,
            ws="none",
        )
    )
