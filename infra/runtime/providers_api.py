"""The object stores of a lake by HTTP: as they are configured, without their keys."""

from __future__ import annotations

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from infra.objects.providers import Providers
from infra.runtime.answers import reply
from infra.runtime.operation import Operation

#: What the default provider is called where a name is needed.
DEFAULT = "default"


class ShownProvider(msgspec.Struct, frozen=True):
    """An object store: buckets of it are written ``NAME:BUCKET``, those of the default one without a name."""

    name: str
    endpoint: str
    region: str


class ShownProviders(msgspec.Struct, frozen=True):
    """All of them, the default one first."""

    providers: list[ShownProvider]


class ProvidersApi:
    """Lists the configured stores."""

    def __init__(self, objects: Providers | None) -> None:
        self._objects = objects

    def operations(self) -> list[Operation]:
        return [
            Operation("GET", "/providers", "read", self.every, gives=ShownProviders),
            Operation("GET", "/providers/{id}", "read", self.get, gives=ShownProvider),
        ]

    async def every(self, _: Request) -> Response:
        """List the object stores of this lake."""
        return reply(ShownProviders(self._all()))

    async def get(self, request: Request) -> Response:
        """Read one object store."""
        name = request.path_params["id"]
        found = next((each for each in self._all() if each.name == name), None)
        if found is None:
            raise HTTPException(404, f"there is no provider {name}")
        return reply(found)

    def _all(self) -> list[ShownProvider]:
        if self._objects is None:
            return []
        stores = [(name, self._objects.of(f"{name}:bucket")[0]) for name in self._objects.names]
        every = [(DEFAULT, self._objects.default), *stores]
        return [ShownProvider(name, store.endpoint, store.keys[2]) for name, store in every]
