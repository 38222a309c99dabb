"""A lake's HTTP API over its own stores, for callers with keys of their own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from infra.access.access import Access
from infra.access.keys import Keys, NewKey, create
from infra.catalog.database import Database
from infra.catalog.providers import configure
from infra.config import CatalogStore, Config, Credential, EventLog, Provider
from infra.delivery import commits, outbox
from infra.delivery.relay import Relay
from infra.lake import Lake
from infra.objects.door import Door
from infra.objects.providers import Providers
from infra.objects.s3 import S3Store
from infra.runtime.api import Api
from infra.runtime.asgi import Endpoint
from tests.conftest import ACCESS, SECRET, eventually, serving


@dataclass
class Service:
    """A running API."""

    lake: Lake
    objects: Providers
    access: Access
    url: str
    relay: Relay
    door: Door
    stack: ExitStack

    def as_(self, name: str = "", *scopes: str, principals: tuple[str, ...] = ()) -> httpx.Client:
        """A client with a new key of this name, which acts as ``user/NAME`` unless it has other principals; or without one."""
        headers = {}
        if name:
            wanted = NewKey(name=name, scopes=list(scopes or ("read", "write")), principals=list(principals))
            made = self.lake.commit(lambda database: (create(database, wanted, guarded=True), ())).result(10)
            assert self.access.keys is not None
            self.access.keys.load()
            headers["authorization"] = f"Bearer {made.token}"
        return self.stack.enter_context(httpx.Client(base_url=self.url, timeout=30, headers=headers))

    def settle(self) -> None:
        """Wait until everything has gone its way."""
        eventually(self._still, 60, "the lake to settle")

    def _still(self) -> bool:
        if self.lake.config.log.url:
            with self.lake.database() as database:
                if outbox.unpublished(database, commits.PREFIX):
                    return False
        before = self.lake.log.counts()  # a notification may move from the outbox to the log between two looks
        return before["waiting"] == 0 and not self.door.backlog() and self.lake.log.counts()["events"] == before["events"]


#: For modules whose tests are for both stores: ``pytestmark = both_stores``.
both_stores = pytest.mark.parametrize(
    "service", ["sqlite", pytest.param("postgresql", marks=pytest.mark.server)], indirect=True
)


@pytest.fixture
def service(request: pytest.FixtureRequest, tmp_path: Path, door: Door, objects: S3Store) -> Iterator[Service]:
    """A lake at work with its door and API; its catalogue is in SQLite, or in PostgreSQL with the log in Redis."""
    keys = [Credential(name="far", access_key=ACCESS, secret_key=SECRET)]
    config = Config(data=str(tmp_path), credentials=keys)
    if getattr(request, "param", "sqlite") == "postgresql":
        url = request.getfixturevalue("postgres").new(request.getfixturevalue("postgres_template"))
        log = EventLog(url=request.getfixturevalue("redis_server").url)
        config = Config(data=str(tmp_path), log=log, catalog=CatalogStore(url=url), credentials=keys)
    providers = Providers(objects)
    lake = Lake(config, providers)
    own = Provider(name="default", endpoint=objects.endpoint)
    lake.catalog.writer.submit(lambda connection: configure(Database(connection), own, [])).result(10)
    relay = Relay(door, lake)
    access = Access("", Keys(lake.database))
    api = Api(lake, lambda: True, "http://127.0.0.1", None, providers, access)
    with serving(Endpoint(lake, api.application(), access)) as url, ExitStack() as stack:
        lake.worker.start()
        relay.start()
        yield Service(lake, providers, access, url, relay, door, stack)
        api.closing.set()
        relay.stop()
        lake.close()
