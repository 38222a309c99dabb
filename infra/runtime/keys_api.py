"""API keys by HTTP: made, listed and revoked by administrators."""

from __future__ import annotations

import asyncio

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from infra.access import keys
from infra.access.access import Access
from infra.access.keys import ApiKey, MadeKey, NewKey
from infra.lake import Lake
from infra.runtime.answers import body, reply
from infra.runtime.operation import Operation


class ApiKeys(msgspec.Struct):
    """All keys, the oldest first."""

    keys: list[ApiKey]


class KeysApi:
    """Changes the keys, and has ``access`` know of it at once."""

    def __init__(self, lake: Lake, access: Access) -> None:
        self._lake, self._access = lake, access

    def operations(self) -> list[Operation]:
        return [
            Operation("GET", "/api-keys", "admin", self.every, gives=ApiKeys),
            Operation("POST", "/api-keys", "admin", self.create, takes=NewKey, gives=MadeKey, status=201),
            Operation("DELETE", "/api-keys/{id}", "admin", self.revoke, gives=ApiKey),
        ]

    async def every(self, _: Request) -> Response:
        """List the API keys, without their secrets."""

        def read() -> list[ApiKey]:
            with self._lake.database() as database:
                return keys.listed(database)

        return reply(ApiKeys(await run_in_threadpool(read)))

    async def create(self, request: Request) -> Response:
        """Make an API key. The answer has its token, which is never shown again."""
        wanted: NewKey = await body(request, NewKey)
        guarded = not self._access.open
        made = await asyncio.wrap_future(self._lake.commit(lambda database: (keys.create(database, wanted, guarded), ())))
        await self._reload()
        return reply(made, 201, cache_control="no-store")

    async def revoke(self, request: Request) -> Response:
        """Revoke an API key: at once here, within seconds where other processes serve the same catalogue."""
        id = request.path_params["id"]
        gone = await asyncio.wrap_future(self._lake.commit(lambda database: (keys.revoke(database, id), ())))
        await self._reload()
        return reply(gone)

    async def _reload(self) -> None:
        if self._access.keys:
            await run_in_threadpool(self._access.keys.load)
