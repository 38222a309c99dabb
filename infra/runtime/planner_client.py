"""Where a map gets its plan and leaves its statistics: a lake's HTTP API, or the functions themselves over given ports."""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any, Protocol, TypeVar

import httpx
import msgspec

from events.errors import Reject
from events.event import Event, now
from events.json_format import to_json
from events.ports import Catalog, ObjectStore, Profiles, Settings
from events.types import PlanReady, PlanRequested, TaskExecuted
from functions.plan import plan
from functions.profile import profile
from infra.catalog.stores import Stores

logger = logging.getLogger("sluice")
T = TypeVar("T")
#: A planner that has not answered by then does not hold up the map.
PLAN_SECONDS = 2.0
#: Pauses between attempts to publish.
PAUSES = (0.2, 1.0)


class Silent(Exception):
    """The planner did not answer, or not with a plan; the text says how."""


class Planner(Protocol):
    """Who plans, and who learns."""

    def plan(self, request: PlanRequested) -> PlanReady:
        """The plan. Raises ``Reject`` for a request that makes no sense, ``Silent`` where there is no answer."""
        ...

    def publish(self, executed: TaskExecuted) -> None:
        """Tell what a run took. Failing to is logged, never raised: the run's results are safe."""
        ...


@dataclass(frozen=True)
class Ports:
    """What the planning functions need, for planning in this process."""

    catalog: Catalog
    profiles: Profiles
    objects: ObjectStore
    settings: Settings


def plan_with(ports: Ports, request: PlanRequested) -> PlanReady:
    """The plan, made here and now. Raises ``Reject``."""
    catalog = Stores(ports.catalog, ports.objects, ports.settings.bucket)
    (reply,) = plan(event_of(request), request, catalog, ports.profiles, ports.objects, ports.settings)
    return reply.read(PlanReady)


class LocalPlanner:
    """Plans by calling the functions over ``ports``."""

    def __init__(self, ports: Ports) -> None:
        self.ports = ports

    def plan(self, request: PlanRequested) -> PlanReady:
        return within(PLAN_SECONDS, lambda: plan_with(self.ports, request))

    def publish(self, executed: TaskExecuted) -> None:
        try:
            for _ in profile(event_of(executed), executed, self.ports.profiles):
                pass
        except Exception as error:
            logger.warning("the run %s of %s was not learnt: %s", executed.run, executed.task, error)


class HttpPlanner:
    """Plans by asking the API at ``url``; ``token`` is its bearer token, if it wants one."""

    def __init__(self, url: str, token: str = "") -> None:
        self.url = url.rstrip("/")
        self._headers = {"authorization": f"Bearer {token}"} if token else {}

    def plan(self, request: PlanRequested) -> PlanReady:
        def work() -> PlanReady:
            answer = self._post("/plan", msgspec.json.encode(request), "application/json")
            if answer.status_code == httpx.codes.BAD_REQUEST:
                raise Reject(_reason(answer))
            if not answer.is_success:
                raise Silent(f"{self.url} answered {answer.status_code}: {_reason(answer)}")
            return msgspec.json.decode(answer.content, type=PlanReady)

        try:
            return within(PLAN_SECONDS, work)
        except (httpx.HTTPError, httpx.InvalidURL, msgspec.DecodeError) as error:
            raise Silent(f"{self.url}: {error}") from error

    def publish(self, executed: TaskExecuted) -> None:
        event = event_of(executed)
        failure = ""
        for pause in (*PAUSES, None):
            try:
                answer = self._post("/", to_json(event), "application/cloudevents+json")
                if answer.is_success:
                    return
                failure = f"it answered {answer.status_code}: {_reason(answer)}"
                if answer.is_client_error:
                    break
            except httpx.HTTPError as error:
                failure = str(error)
            if pause is not None:
                time.sleep(pause)
        logger.warning("the run %s of %s was not published to %s: %s", executed.run, executed.task, self.url, failure)

    def _post(self, path: str, body: bytes, kind: str) -> httpx.Response:
        headers = {**self._headers, "content-type": kind}
        return httpx.post(self.url + path, content=body, headers=headers, timeout=PLAN_SECONDS)


def within(seconds: float, work: Callable[[], T]) -> T:
    """What ``work`` returns or raises, if it does so in time. Raises ``Silent`` otherwise and leaves it behind."""
    answer: SimpleQueue[tuple[T | None, BaseException | None]] = SimpleQueue()

    def run() -> None:
        try:
            answer.put((work(), None))
        except BaseException as error:
            answer.put((None, error))

    threading.Thread(target=run, name="planner", daemon=True).start()
    try:
        value, error = answer.get(timeout=seconds)
    except Empty:
        raise Silent(f"no answer within {seconds:g} s") from None
    if error is not None:
        raise error
    return value  # type: ignore[return-value]


def event_of(data: Any) -> Event:
    """An event of our own about a task."""
    return Event(
        id=getattr(data, "run", "") or str(uuid.uuid4()),
        source="/sluice/lithops",
        type=data.__event_type__,
        subject=data.task,
        time=now(),
        datacontenttype="application/json",
        data=msgspec.to_builtins(data),
    )


def _reason(answer: httpx.Response) -> str:
    """The error text of an answer of the API, else its beginning."""
    try:
        return str(answer.json()["error"])
    except (ValueError, KeyError, TypeError):
        return answer.text[:200]
