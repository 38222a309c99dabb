"""Functions for the processes of ``test_redis_log.py``: each leaves an effect that shows how often it happened."""

from collections.abc import Iterator

from events.event import Event
from events.ports import Catalog, Entry, Profiles
from events.route import on


@on("test.count")
def count(event: Event, profiles: Profiles) -> Iterator[Event]:
    """An effect in Redis: the ids a subject has had, in their order."""
    known = profiles.get(str(event.subject)) or {"ids": []}
    profiles.put(str(event.subject), {"ids": [*known["ids"], event.id]})
    yield event.reply({}, type="test.counted")


@on("test.count")
def enter(event: Event, catalog: Catalog) -> Iterator[Event]:
    """An effect in the catalogue's database: how many times this event was entered."""
    before = catalog.get("effects", event.id)
    catalog.upsert(Entry(bucket="effects", key=event.id, size=before.size + 1 if before else 1))
    yield event.reply({}, type="test.entered")


@on("test.poison")
def poison(event: Event, profiles: Profiles) -> None:
    """Kills its worker, unless the event is harmless."""
    if event.data == "die":
        import os
        import signal

        os.kill(os.getpid(), signal.SIGKILL)
    known = profiles.get(event.id) or {"ids": []}
    profiles.put(event.id, {"ids": [*known["ids"], event.id]})
