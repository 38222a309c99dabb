"""The HTTP API of a lake: what people and programs ask it. JSON in and out; errors are ``{"error": "..."}``.

Each noun has a file of its own (``..._api.py``); here they are put together, with what is about the lake as a whole.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Iterator
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from events.errors import Reject, Retry
from events.event import Event, now
from events.schema import asyncapi, schemas
from events.types import PlanReady, PlanRequested
from infra.access.access import Access
from infra.catalog.database import Database
from infra.catalog.resources import Binding, Provider, Resource
from infra.delivery.metrics import CONTENT_TYPE
from infra.delivery.reconcile import Tally
from infra.lake import Lake
from infra.objects.providers import Providers
from infra.runtime.answers import HANDLERS, body, reply
from infra.runtime.dcat_api import DcatApi
from infra.runtime.entries_api import EntriesApi
from infra.runtime.events_api import EventsApi
from infra.runtime.facts_api import FactsApi
from infra.runtime.failures_api import FailuresApi
from infra.runtime.keys_api import KeysApi
from infra.runtime.lineage_api import LineageApi
from infra.runtime.members_api import MembersApi
from infra.runtime.model_events_api import ModelEventsApi
from infra.runtime.models_api import ModelsApi
from infra.runtime.openapi import document
from infra.runtime.operation import Operation, caller_of, others
from infra.runtime.repairs_api import RepairsApi
from infra.runtime.requested import check
from infra.runtime.resources_api import ResourcesApi
from infra.runtime.series_api import SeriesApi
from infra.runtime.sparql_api import SparqlApi
from infra.runtime.subscriptions_api import SubscriptionsApi
from infra.runtime.uploads_api import UploadsApi
from infra.runtime.versions_api import VersionsApi


class Api:
    """The answers. ``ready`` says whether the lake may be sent work yet; ``sweep`` reconciles a bucket, if there is a store."""

    def __init__(
        self,
        lake: Lake,
        ready: Callable[[], bool],
        url: str,
        sweep: Callable[..., Iterator[Tally]] | None = None,
        objects: Providers | None = None,
        access: Access | None = None,
    ) -> None:
        self.lake, self.ready, self.url = lake, ready, url
        self.closing = asyncio.Event()
        uploads, dcat = UploadsApi(lake, objects), DcatApi(lake, url)
        self.operations = [
            Operation("GET", "/healthz", "", self.health),
            Operation("GET", "/readyz", "", self.readiness),
            Operation("GET", "/status", "admin", self.status),
            Operation("GET", "/metrics", "admin", self.metrics),
            *EventsApi(lake, self.closing).operations(),
            *uploads.operations(),
            *VersionsApi(lake, objects).operations(),
            *ResourcesApi(
                lake, {"data-object": uploads.create}, {"binding": self._bound, "provider": self._keyed}
            ).operations(),
            *FailuresApi(lake).operations(),
            *MembersApi(lake, self.closing).operations(),
            *LineageApi(lake, url).operations(),
            *dcat.operations(),
            *EntriesApi(lake, dcat.by_type).operations(),
            *ModelsApi(lake).operations(),
            *ModelEventsApi(lake, self.closing).operations(),
            *SeriesApi(lake).operations(),
            *FactsApi(lake).operations(),
            *SparqlApi(lake).operations(),
            Operation("GET", "/profiles", "admin", self.profiles, query=("prefix",)),
            Operation("POST", "/plan", "read", self.plan, takes=PlanRequested, gives=PlanReady),
            *SubscriptionsApi(lake).operations(),
            *KeysApi(lake, access or Access()).operations(),
            *RepairsApi(lake, self.closing, sweep).operations(),
            Operation("GET", "/schemas", "read", self.schemas),
            Operation("GET", "/asyncapi.json", "read", self.asyncapi),
            Operation("GET", "/openapi.json", "read", self.openapi),
        ]

    def application(self) -> Starlette:
        """The ASGI application."""
        routes = [operation.route for operation in self.operations]
        return Starlette(routes=[*routes, *others(self.operations)], exception_handlers=HANDLERS)

    def _bound(self, resource: Resource, database: Database) -> None:
        if isinstance(resource, Binding):
            check(self.lake.routes, resource, database, self.lake.config)

    def _keyed(self, resource: Resource, _: Database) -> None:
        if isinstance(resource, Provider) and not resource.configured:
            known = sorted(each.name for each in self.lake.config.credentials)
            if resource.credential not in known:
                raise Reject(
                    f"credential: {resource.credential[:80]!r} is none of sluice.credentials ({', '.join(known) or 'empty'})"
                )

    async def health(self, _: Request) -> Response:
        """Say that the process lives."""
        return reply({"status": "ok"})

    async def readiness(self, _: Request) -> Response:
        """Say whether it takes work: it has started, and its event log answers."""
        if not self.ready():
            return reply({"status": "starting"}, 503)
        try:
            await run_in_threadpool(self.lake.log.end)
        except Retry as error:
            return reply({"status": str(error)}, 503)
        return reply({"status": "ready"}, 200)

    async def status(self, _: Request) -> Response:
        """The lake in numbers."""
        return reply(await run_in_threadpool(self.lake.status))

    async def metrics(self, _: Request) -> Response:
        """The lake in numbers, for Prometheus."""
        return Response(await run_in_threadpool(self.lake.metrics.text), headers={"content-type": CONTENT_TYPE})

    async def profiles(self, request: Request) -> Response:
        """What maps taught."""
        prefix = request.query_params.get("prefix", "")
        return reply({"profiles": await run_in_threadpool(self.lake.profiles, prefix)})

    async def plan(self, request: Request) -> Response:
        """Plan a task over objects that the caller may view."""
        wanted = await body(request, dict[str, Any])
        event = Event(
            id=str(uuid.uuid4()), source="/http", type="dev.sluice.plan.requested.v1", time=now(),
            datacontenttype="application/json", data=wanted,
        )  # fmt: skip
        replies = await run_in_threadpool(self.lake.call, "plan", event, caller_of(request))
        return reply(replies[0].data)

    async def schemas(self, _: Request) -> Response:
        """JSON Schemas of all events' data."""
        return reply(schemas())

    async def asyncapi(self, _: Request) -> Response:
        """The AsyncAPI document of the events."""
        return reply(asyncapi(self.url))

    async def openapi(self, _: Request) -> Response:
        """Describe this API (OpenAPI)."""
        return reply(document(self.operations, self.url))
