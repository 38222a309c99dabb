"""What the event log says of lineage: each reply of a function names its cause, and both name what they are about."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

from events.event import Event
from events.s3.record import TYPE_PREFIX
from infra.catalog.lineage import Entity, Invocation, activity_id
from infra.catalog.resources import object_id
from infra.delivery.dead_letter import FAILED
from infra.delivery.subscription import PREFIX as SINKS

OURS = "dev.sluice."
REPLIES = "/sluice/"
#: Causes that are remembered; a reply comes soon after its cause.
REMEMBERED = 20_000


class Provenance:
    """Makes invocations of a log that it reads from its beginning to its end. ``bucket`` is the lake's own."""

    def __init__(self, bucket: str) -> None:
        self._bucket = bucket
        self._causes: OrderedDict[str, tuple[int, frozenset[Entity]]] = OrderedDict()

    def read(self, page: Sequence[tuple[int, float, Event]]) -> list[Invocation]:
        """The invocations that the next events of the log tell of."""
        found: dict[str, Invocation] = {}
        for _, recorded, event in page:
            at = round(recorded * 1000)
            cause = event.extensions.get("causationid")
            if event.source.startswith(REPLIES) and cause and not _to_a_sink(event):
                made = self._invocation(event, str(cause), at)
                before = found.get(made.id)
                found[made.id] = _joined(before, made) if before else made
            self._causes[event.id] = at, about(event)
            if len(self._causes) > REMEMBERED:
                self._causes.popitem(last=False)
        return [each for each in found.values() if each.used or each.generated]

    def _invocation(self, event: Event, cause: str, at: int) -> Invocation:
        function, failed = event.source.removeprefix(REPLIES), ""
        if event.type == FAILED and isinstance(event.data, dict):
            function, failed = str(event.data["function"]), str(event.data["cause"])
        started, objects = self._causes.get(cause, (at, frozenset[Entity]()))
        told = event.id if failed else event.subject  # each time that it failed is another
        made = self._generated(event)
        return Invocation(
            activity_id(function, cause, told), function, cause, started, at, (objects | about(event)) - made, made, failed
        )

    def _generated(self, event: Event) -> frozenset[Entity]:
        data: dict[str, Any] = event.data if isinstance(event.data, dict) else {}
        noun = event.type.removeprefix(OURS).removesuffix(".v1")
        if not event.type.startswith(OURS):
            return frozenset((Entity(f"event/{event.id}"),))
        if noun in ("object.derived", "model.trained"):
            return frozenset((_object(data["result"]),))
        if noun == "metadata.extracted" and data.get("index"):
            return frozenset((Entity(f"s3://{self._bucket}/{data['index']}"),))
        if noun == "catalog.updated":
            return frozenset((Entity(object_id(data["bucket"], data["key"]), str(data.get("etag", ""))),))
        if noun.startswith("dataset.") and "cursor" in data:
            return frozenset((Entity(data["dataset"], str(data["cursor"])),))
        if noun == "model.stored":
            return frozenset((_object(data),))
        if noun == "model.published":
            return frozenset((Entity(f"model/{data['repository']}/{data['name']}", str(data["version"])),))
        return frozenset((Entity(f"plan/{event.id}"),)) if noun == "plan.ready" else frozenset()


def _to_a_sink(event: Event) -> bool:
    """Whether what failed was no function, but the post to a subscriber: who that is, is nobody else's business."""
    data = event.data if event.type == FAILED and isinstance(event.data, dict) else {}
    return str(data.get("function", "")).startswith(SINKS)


def about(event: Event) -> frozenset[Entity]:
    """The objects and records that an event names; none in data that are not as their type says."""
    data = event.data
    if not isinstance(data, dict):
        return frozenset()
    try:
        if event.type.startswith(TYPE_PREFIX):
            of = data["s3"]["object"]
            return frozenset((_object({"bucket": data["s3"]["bucket"]["name"], "key": of["key"], "etag": of.get("eTag", "")}),))
        if not event.type.startswith(OURS):
            return frozenset()
        if "of" in data:
            return frozenset((_object(data["of"]),))
        if isinstance(data.get("object"), dict):
            told = data.get("datasets", ()) if event.type.startswith(f"{OURS}model.") else ()
            return frozenset((_object(data["object"]), *(Entity(str(each)) for each in told)))
        if "bucket" in data:
            return frozenset((_object(data),))
        if "resource" in data:
            return frozenset((Entity(data["resource"]),))
        named = data.get("objects", ())
        found = frozenset(Entity(each) if isinstance(each, str) else _object(each) for each in named)
        return found | {Entity(f"training/{data['run']}")} if "run" in data and "agent" in data else found
    except (KeyError, TypeError):
        return frozenset()


def _object(data: dict[str, Any]) -> Entity:
    return Entity(f"s3://{data['bucket']}/{data['key']}", str(data.get("etag", "")))


def _joined(one: Invocation, other: Invocation) -> Invocation:
    return Invocation(
        one.id, one.function, one.cause, one.started, other.ended, one.used | other.used, one.generated | other.generated
    )
