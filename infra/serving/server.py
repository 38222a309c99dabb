"""The serving process: models from a repository's bucket, kept up to date by what the lake announces."""

from __future__ import annotations

import gc
import logging
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import uvicorn

from events.models import Repository
from events.ports import ObjectStore
from infra.config import Config, ConfigError
from infra.models.loader import Loader
from infra.serving import memory
from infra.serving.app import Serving
from infra.serving.faults import Faults
from infra.serving.materialised import Materialised
from infra.serving.model import OnnxModel, unavailable
from infra.serving.published import Published
from infra.serving.quick import Quick
from infra.serving.results import Results
from infra.serving.results_sqlite import SqliteResults
from infra.serving.shelf import Shelf

if TYPE_CHECKING:
    from events.event import Event

logger = logging.getLogger("sluice.serving")
#: How long to wait before a lake that went away is asked again.
AGAIN_SECONDS = 2.0
#: How often a bucket is looked at for new versions that no lake announces.
LOOK_SECONDS = 30.0


class Lake(Protocol):
    """What is asked of a lake: its API, the events behind a number as they come, until it stops, and to take one."""

    def get(self, path: str, **parameters: Any) -> Any: ...

    def follow(self, after: int) -> Iterator[dict[str, Any]]: ...

    def send(self, event: Event) -> None: ...


def repository_of(config: Config) -> Repository:
    """The repository to serve. Raises ``ConfigError``."""
    name = config.serving.repository
    found = next((each for each in config.models if name in ("", each.name)), None)
    if found is None:
        raise ConfigError(f"sluice.serving.repository is {name!r}, but sluice.models has no repository of that name")
    return found


def application(config: Config, objects: ObjectStore, *, keep: bool = True) -> Serving:
    """The application, with nothing loaded yet; it keeps results unless told not to. Raises ``ConfigError``."""
    wanted, repository = config.serving, repository_of(config)
    if why := unavailable(wanted.devices):
        raise ConfigError(f"sluice.serving.devices is {list(wanted.devices)}, but {why}")
    make = partial(OnnxModel, devices=wanted.devices, threads=wanted.threads, seconds=wanted.seconds)
    loader = Loader(objects, repository, config.models)
    shelf = Shelf(loader, make, wanted.alias, canary=wanted.canary, share=wanted.canary_share)
    results = Materialised(shelf, objects, _results(config)) if keep else None
    return Serving(shelf, loader, wanted.token, wanted.models, results, trusting=_is_loopback(wanted.host))


def _is_loopback(host: str) -> bool:
    """Whether nobody but this machine reaches a server on this address."""
    if host in ("127.0.0.1", "localhost"):
        return True
    import ipaddress  # a hundredth of the start

    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _results(config: Config) -> Results:
    url = config.serving.results
    if not url:
        return SqliteResults(config.folder / "results.db")
    from infra.serving.results_redis import RedisResults  # who has none shall not wait for its client

    return RedisResults(url)


def follow(app: Serving, lake: Lake, stopping: threading.Event, changed: Callable[[], None] = lambda: None) -> None:
    """Load everything; then whatever the lake announces, until ``stopping``. After a gap everything is looked up again.

    Only what the lake has published is served. ``changed`` is called whenever something may be served that was not.
    """
    after, faults = -1, Faults(app, lake)
    app.shelf.loading.ended = partial(_again, app, changed)
    app.shelf.published = Published(lake, app.repository.name)
    while not stopping.is_set():
        try:
            app.refresh()
            changed()
            faults.tell()
            if after < 0:
                after = end(lake)
                app.refresh()  # what came before that end, but after the first look
            app.hearing(all_of_it=True)
            for line in lake.follow(after):
                after = line["seq"]
                app.announced(line["event"]["type"], line["event"].get("data"))
                changed()
                faults.tell()
                if stopping.is_set():
                    return
        except Exception as error:
            logger.warning("the lake cannot be followed (%s); trying again", error)
        app.hearing(all_of_it=False)
        stopping.wait(AGAIN_SECONDS)


def end(lake: Lake) -> int:
    """A number that no event so far is behind: history is no news. Bisects, since the numbers have gaps."""
    low, high = 0, 2**62
    while low < high:
        middle = (low + high) // 2
        if lake.get("/events", after=middle, limit=1)["events"]:
            low = middle + 1
        else:
            high = middle
    return low


def look(app: Serving, stopping: threading.Event, changed: Callable[[], None] = lambda: None) -> None:
    """Load everything, and look for new versions again and again, until ``stopping``: the bucket alone is enough."""
    app.shelf.loading.ended = partial(_again, app, changed)
    while not stopping.is_set():
        try:
            app.refresh()
            changed()
            app.hearing(all_of_it=True)
        except Exception as error:
            app.hearing(all_of_it=False)
            logger.warning("the repository cannot be looked at (%s); trying again", error)
        stopping.wait(AGAIN_SECONDS if app.missing() else LOOK_SECONDS)


def _again(app: Serving, changed: Callable[[], None]) -> None:
    """What took too long has been loaded, and what waited for its place may be."""
    app.refresh()
    changed()


class _Server(uvicorn.Server):
    """Ends in peace: uvicorn's own raises the signal again once it has finished, which looks like a crash from outside."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self.handle_exit)
        yield


def serve(app: Serving, config: Config, sockets: list[Any] | None = None) -> None:
    """Answer until SIGTERM; requests at hand are finished."""
    gc.freeze()
    gc.enable()  # see start.py
    wanted = config.serving
    memory.limit(wanted.memory_gb)
    settings = uvicorn.Config(
        app,
        http=Quick,
        host=wanted.host,
        port=wanted.port,
        access_log=False,
        log_config=None,
        lifespan="off",
        ws="none",
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=30,
    )
    _Server(settings).run(sockets=sockets)
    app.shelf.loading.leave()
