"""What a pipeline asks of the running lake: plans, what its results were like before, and to take in what it made."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import quote

import httpx
import msgspec

from events.errors import Reject, Retry
from events.event import Event, now
from events.json_format import to_json
from events.types import ObjectDerived, ObjectVersion, PlanReady, PlanRequested
from infra.config import Config
from infra.console.client import Client, Complaint, Unanswered, locate
from infra.runtime.derived import PART_BYTES, address

#: Seconds that the lake has to catalogue a stage's results.
PATIENCE = 300.0
#: Most results of earlier runs that are looked at.
LOOKED_AT = 1000


class Lake:
    """The lake of a configuration, by HTTP. A context; leaving it closes the connections."""

    def __init__(self, config: Config) -> None:
        try:
            url = locate(config).http
        except Complaint:  # it runs elsewhere
            url = f"http://{config.http.host}:{config.http.port}"
        self._api = Client(url, config.http.token, config.folder)
        self._headers = {"authorization": f"Bearer {config.http.token}"} if config.http.token else {}

    def __enter__(self) -> Lake:
        return self

    def __exit__(self, *_: object) -> None:
        self._api.close()

    def plan(self, request: PlanRequested, volume: int) -> PlanReady:
        """The plan for this request; over a part of its objects of ``volume`` bytes, where that is not 0. Raises ``Reject``."""
        plan = self.ask(request)
        if not volume or not plan.bytes or volume >= plan.bytes:
            return plan
        return self.ask(msgspec.structs.replace(request, done=1 - volume / plan.bytes))

    def ask(self, request: PlanRequested) -> PlanReady:
        """The plan for this request. Raises ``Reject``."""
        try:
            return msgspec.convert(self._api.post("/plan", request), PlanReady)
        except Complaint as error:
            raise Reject(str(error)) from error

    def growth(self, to: str) -> float:
        """Bytes of what lies below ``to`` over the bytes that it was made of; 1 where nothing does."""
        bucket, prefix = address(to)
        found = list(self._api.pages(bucket=bucket, prefix=prefix, state="ready", limit=LOOKED_AT))
        told = [(each["size"], int(each["user"][PART_BYTES])) for each in found if PART_BYTES in each.get("user", {})]
        of = sum(bytes for _, bytes in told)
        return sum(size for size, _ in told) / of if of else 1.0

    def told(self, run: str, made: Sequence[ObjectDerived]) -> None:
        """Tell which object was made of which, for lineage. Raises ``Retry`` where the lake does not take it."""
        for number, one in enumerate(made):
            subject = f"{one.result.bucket}/{one.result.key}"
            event = Event(
                id=str(uuid.uuid5(uuid.UUID(run), f"{one.function} {number} {subject}")),
                source=f"/sluice/{one.function}",
                type="dev.sluice.object.derived.v1",
                subject=subject,
                time=now(),
                datacontenttype="application/json",
                data=msgspec.to_builtins(one),
                extensions={"causationid": run, "correlationid": run},
            )
            headers = {**self._headers, "content-type": "application/cloudevents+json"}
            try:
                answer = httpx.post(self._api.url, content=to_json(event), headers=headers, timeout=30.0, trust_env=False)
            except httpx.HTTPError as error:
                raise Retry(f"the lake at {self._api.url} does not take events: {error}") from error
            if not answer.is_success:
                raise Reject(f"the lake at {self._api.url} did not take what {one.function} made: {answer.text[:200]}")

    def keep(self, run: str, made: Sequence[ObjectDerived], name: str, discard: Callable[[], None]) -> None:
        """Tell what was made of what, and let the data set of this name consist of it: all of it, or ``discard`` it.

        It is not discarded where the data set may consist of it already. Raises as ``told``, ``catalogued``, ``define`` and
        ``joined`` do.
        """
        results = list({(one.result.bucket, one.result.key): one.result for one in made}.values())
        try:
            self.told(run, made)
            self.catalogued(results)
        except BaseException:
            discard()
            raise
        try:
            self.define(name, results)
        except (Complaint, Reject) as error:
            if not isinstance(error, Unanswered):
                discard()
            raise
        self.joined(name, results)

    def catalogued(self, results: Sequence[ObjectVersion]) -> None:
        """Wait until the catalogue has these versions. ``Reject`` for one that it refuses, ``Retry`` if it takes long."""
        end, pause = time.monotonic() + PATIENCE, 0.02
        for one in results:
            what = f"s3://{one.bucket}/{one.key}"
            while True:
                entry = self._entry(one)
                if entry and entry["etag"] == one.etag:
                    if entry["state"] == "failed":
                        raise Reject(f"the lake refused {what}: {entry['cause']}")
                    if entry["state"] == "ready":
                        break
                if time.monotonic() > end:
                    raise Retry(f"{what} is not in the catalogue after {PATIENCE:g} s; does the lake hear of its bucket?")
                time.sleep(pause)
                pause = min(pause * 1.5, 1.0)

    def define(self, name: str, results: Sequence[ObjectVersion]) -> None:
        """Let the data set of this name have these objects as members; made if there is none. Raises ``Reject`` without any."""
        if not results:
            raise Reject(f"there is no object to make the data set {name} of: all results are empty")
        keys: dict[str, list[str]] = {}
        for one in results:
            keys.setdefault(one.bucket, []).append(_quoted(one.key))
        parts = [f"(bucket = {_quoted(bucket)} AND key IN ({', '.join(found)}))" for bucket, found in keys.items()]
        document = {"name": name, "object-filter": " OR ".join(parts)}
        found = self._api.get("/data-sets", filter=f"name = {_quoted(name)}", limit=1)["resources"]
        if found:
            self._api.patch(f"/data-sets/{found[0]['id'].removeprefix('data-set/')}", document)
        else:
            self._api.post("/data-sets", document)

    def joined(self, name: str, results: Sequence[ObjectVersion]) -> None:
        """Wait until these objects, and no others, are the members of the data set. Raises ``Retry`` if it takes long."""
        wanted, end = {(one.bucket, one.key) for one in results}, time.monotonic() + PATIENCE
        id = self._api.get("/data-sets", filter=f"name = {_quoted(name)}", limit=1)["resources"][0]["id"]
        while True:
            page = self._api.get(f"/data-sets/{id.removeprefix('data-set/')}/members", limit=10_000)
            found = {(one.get("bucket"), one.get("key")) for one in page["members"]}
            if found == wanted or (page["next"] and found <= wanted):
                return
            if time.monotonic() > end:
                raise Retry(f"the data set {name} does not have its members after {PATIENCE:g} s")
            time.sleep(0.1)

    def _entry(self, of: ObjectVersion) -> dict[str, Any] | None:
        try:
            entry: dict[str, Any] = self._api.get(f"/catalog/{quote(of.bucket)}/{quote(of.key)}")
        except Complaint:
            return None
        return entry


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
