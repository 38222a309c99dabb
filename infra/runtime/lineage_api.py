"""Lineage by HTTP: which functions made an object, of what, and what was made of it."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from infra.catalog.lineage import Entity, Lineage, lineage
from infra.lake import Lake
from infra.runtime.answers import reply
from infra.runtime.operation import Operation, caller_of


class LineageApi:
    """Reads lineage for those who may view."""

    def __init__(self, lake: Lake, url: str) -> None:
        self._lake, self._url = lake, url

    def operations(self) -> list[Operation]:
        return [
            Operation("GET", "/lineage/{bucket}/{key:path}", "read", self.lineage, gives=Lineage, query=("format",)),
        ]

    async def lineage(self, request: Request) -> Response:
        """Tell the lineage of an object, with ``format=prov-json`` in that form (W3C PROV-JSON)."""
        bucket, key, caller = request.path_params["bucket"], request.path_params["key"], caller_of(request)
        form = request.query_params.get("format", "")
        if form not in ("", "prov-json"):
            raise HTTPException(400, f"format={form!r} is not known; prov-json is")

        def read() -> Lineage:
            with self._lake.database() as database:
                return lineage(database, bucket, key, caller)

        found = await run_in_threadpool(read)
        return reply(prov(found, self._url) if form else found)


def prov(found: Lineage, url: str) -> dict[str, Any]:
    """Lineage as PROV-JSON (W3C member submission, 2013-04-24). Entities are named below ``lake:``, the lake's address."""
    document: dict[str, Any] = {
        "prefix": {"lake": f"{url}/prov/"},
        "entity": {}, "activity": {}, "agent": {"lake:sluice": {"prov:type": "prov:SoftwareAgent"}},
        "used": {}, "wasGeneratedBy": {}, "wasAssociatedWith": {},
    }  # fmt: skip
    activities = {each.id: each for each in (*found.origin, *found.use)}
    for number, each in enumerate(activities.values()):
        name = f"lake:{quote(each.id)}"
        document["activity"][name] = {
            "prov:startTime": each.started, "prov:endTime": each.ended, "prov:label": each.function,
        }  # fmt: skip
        if each.failed:
            document["activity"][name]["lake:failed"] = each.failed
        document["wasAssociatedWith"][f"_:a{number}"] = {"prov:activity": name, "prov:agent": "lake:sluice"}
        for relation, entities in (("used", each.used), ("wasGeneratedBy", each.generated)):
            for one in entities:
                document["entity"][_name(one)] = {"prov:label": one.entity, "lake:version": one.version}
                place = f"_:{relation[0]}{len(document[relation])}"
                document[relation][place] = {"prov:activity": name, "prov:entity": _name(one)}
    return document


def _name(of: Entity) -> str:
    version = f"@{of.version}" if of.version else ""
    return f"lake:{quote(of.entity + version, safe='/@')}"
