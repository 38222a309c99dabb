"""Real notifications of a real door, as events; and lakes with just the functions of a model repository."""

from __future__ import annotations

import pytest

from events.ports import Settings
from events.s3 import events_from
from infra.models.table import StoredModels
from tests.unit.functions.model_shop import REPOSITORIES, Shop


@pytest.fixture
def settings():
    return Settings()


@pytest.fixture
def notified(door, objects):
    """Put objects and get the events of all changes since: ``notified(("key", b"content"), ...)``."""
    objects.ensure("raw")

    def put(*contents):
        for key, content in contents:
            if content is None:
                objects.delete("raw", key)
            else:
                objects.write("raw", key, content)
        batch = door.pending(1000)
        door.delivered([number for number, _, _ in batch])
        received = events_from({"Records": [record for _, _, record in batch]})
        assert received is not None
        return received.events

    return put


@pytest.fixture
def shops(database):
    return lambda repository=REPOSITORIES[0]: Shop(StoredModels(database, [repository, *REPOSITORIES[1:]]), repository)


@pytest.fixture
def shop(shops):
    return shops()
