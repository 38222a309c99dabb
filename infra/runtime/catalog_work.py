"""Questions to the catalogue and changes of it, from the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from starlette.concurrency import run_in_threadpool

from events.event import Event
from infra.catalog.store import Store
from infra.lake import Lake

T = TypeVar("T")


async def read(lake: Lake, work: Callable[[Store], T]) -> T:
    """Ask the catalogue."""

    def asked() -> T:
        with lake.database() as database:
            return work(Store(database))

    return await run_in_threadpool(asked)


async def commit(lake: Lake, work: Callable[[Store], tuple[T, list[Event]]]) -> T:
    """Change the catalogue and tell of it, in one transaction."""
    return await asyncio.wrap_future(lake.commit(lambda database: work(Store(database))))
