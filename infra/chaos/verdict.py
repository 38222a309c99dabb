"""The verdict: what the lake holds, against what was acknowledged."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from infra.chaos.effects import BUCKET
from infra.chaos.load import Load
from infra.chaos.processes import Stuck, until
from infra.chaos.world import QUEUED, SINK_ATTEMPTS, World

UPDATED = "dev.sluice.catalog.updated.v1"
#: After an unclean stop of radosgw its queues are locked for 90 s; then they come with the next look.
QUEUE_SECONDS = 240.0


class Verdict(msgspec.Struct):
    """What was found in a round: nothing is lost or doubled, and ``wrong`` (order, dead letters, no rest) is empty."""

    acknowledged: int = 0
    lost: list[str] = []
    doubled: list[str] = []
    wrong: list[str] = []

    @property
    def good(self) -> bool:
        """Whether there is nothing to complain of."""
        return not (self.lost or self.doubled or self.wrong)

    def add(self, other: Verdict) -> None:
        """Count another round in."""
        self.acknowledged += other.acknowledged
        for name in ("lost", "doubled", "wrong"):
            getattr(self, name).extend(getattr(other, name))


def check(world: World, load: Load) -> Verdict:
    """The verdict on a round whose world is quiet."""
    verdict = Verdict(load.acknowledged)
    log = world.log(world.mark)
    world.mark = log[-1]["seq"] if log else world.mark
    events = [item["event"] for item in log]
    ids = [id for sent in load.sent.values() for id in sent]
    _log(verdict, events, ids)
    _effects(verdict, world, load)
    _subscribers(verdict, world, load)
    _dead_letters(verdict, world, load)
    final = {place: etag for place, etag in load.final.items() if place[0] != QUEUED}
    world.owed |= {key: etag for (bucket, key), etag in load.final.items() if bucket == QUEUED}
    for bucket in {bucket for bucket, _ in final}:
        wanted = {key: etag for (of, key), etag in final.items() if of == bucket}
        _catalogue(verdict, world, bucket, f"r{load.number}/", wanted, events)
    return verdict


def check_queued(world: World) -> Verdict:
    """The verdict on the uploads that Ceph's persistent topic tells of, once its queue has been taken."""
    verdict = Verdict()

    def arrived() -> bool:
        found = {key: entry["etag"] for key, entry in _entries(world, QUEUED, "").items()}
        return found == {key: etag for key, etag in world.owed.items() if etag is not None}

    try:
        until(arrived, "Ceph's queue", QUEUE_SECONDS)
    except Stuck as error:
        verdict.wrong.append(str(error))
    world.quiet()
    _catalogue(verdict, world, QUEUED, "", world.owed, [item["event"] for item in world.log(0)])
    return verdict


def _log(verdict: Verdict, events: list[dict[str, Any]], ids: list[str]) -> None:
    """Every event once, and each function's reply to it once."""
    keys = Counter((event["source"], event["id"], event["type"], event.get("subject")) for event in events)
    verdict.doubled += [f"{key} is in the log {count} times" for key, count in keys.items() if count > 1]
    accepted = Counter(
        event["id"] for event in events if event["source"] == "/chaos" and event["type"].startswith("chaos.event.")
    )
    _once(verdict, "in the log", ids, accepted)
    for kind in ("chaos.counted", "chaos.entered"):
        _once(verdict, kind, ids, Counter(event["data"]["id"] for event in events if event["type"] == kind))


def _effects(verdict: Verdict, world: World, load: Load) -> None:
    """Each event has had its effect once, in its subject's order."""
    entries = _entries(world, BUCKET, f"r{load.number}-")
    profiles = world.get("/profiles")["profiles"]
    for subject, ids in load.sent.items():
        _once(verdict, "entered", ids, {id: entries[id]["size"] for id in ids if id in entries})
        told = profiles.get(subject, {"ids": []})["ids"]
        _once(verdict, "tallied", ids, Counter(told))
        _ordered(verdict, f"effects of {subject}", ids, told)


def _subscribers(verdict: Verdict, world: World, load: Load) -> None:
    """Each subscriber has had each event, for the first time in its subject's order. Repetitions have the same id."""
    for subject, ids in load.sent.items():
        paths = {"/ok": ids, "/flaky": [id for id in ids if id in load.others and load.how.kind == "flaky"]}
        for path, wanted in paths.items():
            known = set(wanted)
            taken = list(dict.fromkeys(id for id in world.sink.taken[path] if id in known))
            verdict.lost += [f"{id} was not delivered to {path}" for id in wanted if id not in taken]
            _ordered(verdict, f"deliveries of {subject} to {path}", wanted, taken)


def _dead_letters(verdict: Verdict, world: World, load: Load) -> None:
    """Those that a subscriber never took, each once after all its attempts, and no other; and nobody waited for them."""
    doomed = load.others if load.how.kind == "doomed" else set()
    tried, calls = Counter(world.sink.refused["/never"]), world.sink.calls
    verdict.wrong += [f"{id} was given up after {tried[id]} attempts" for id in sorted(doomed) if tried[id] < SINK_ATTEMPTS]
    if doomed and calls[::-1].index("/ok") < calls[::-1].index("/never"):
        verdict.wrong.append("a subscriber that refuses everything held up another one")
    letters = [each for each in world.get("/dead-letters", limit=10_000)["dead_letters"] if each["id"] not in world.letters]
    world.letters |= {each["id"] for each in letters}
    found: Counter[str] = Counter()
    for each in letters:
        id = (each["event"] or {}).get("id", "")
        if id in doomed and each["function"].startswith("subscription/"):
            found[id] += 1
        else:
            verdict.wrong.append(f"a dead letter of {each['function']}: {each['cause']}")
    _once(verdict, "a dead letter", doomed, found)


def _catalogue(
    verdict: Verdict, world: World, bucket: str, prefix: str, wanted: Mapping[str, str | None], events: list[dict[str, Any]]
) -> None:
    """Every object with its last content, removed ones not, and each content told of at most once."""
    entries = _entries(world, bucket, prefix)
    for key, etag in wanted.items():
        entry, what = entries.pop(key, None), f"s3://{bucket}/{key}"
        if etag is None and entry is not None:
            verdict.lost.append(f"{what} was removed but is in the catalogue")
        elif etag is not None and (entry is None or (entry["state"], entry["etag"]) != ("ready", etag)):
            verdict.lost.append(f"{what} is {entry and (entry['state'], entry['etag'])} in the catalogue, not {etag}")
    verdict.wrong += [f"s3://{bucket}/{key} is in the catalogue and was never uploaded" for key in entries]
    changes = [event["data"] for event in events if event["type"] == UPDATED and event["data"]["bucket"] == bucket]
    # an object may be removed several times; what tells them apart is their place in the order
    told = Counter((data["key"], data["change"], data.get("etag") or data.get("sequence")) for data in changes)
    verdict.doubled += [f"s3://{bucket}/{key[0]} was told of {count} times: {key}" for key, count in told.items() if count > 1]
    verdict.lost += [
        f"s3://{bucket}/{key} was never told of" for key, etag in wanted.items() if etag and not told[key, "upserted", etag]
    ]


def _entries(world: World, bucket: str, prefix: str) -> dict[str, dict[str, Any]]:
    """The catalogue's entries below a prefix."""
    found: dict[str, dict[str, Any]] = {}
    after = ""
    while True:
        page = world.get("/catalog", bucket=bucket, prefix=prefix, limit=10_000, **({"after": after} if after else {}))
        found |= {entry["key"]: entry for entry in page["entries"]}
        if not page["next"]:
            return found
        after = page["next"]


def _once(verdict: Verdict, what: str, ids: Iterable[str], found: Mapping[str, int]) -> None:
    for id in ids:
        count = found.get(id, 0)
        if count == 0:
            verdict.lost.append(f"{id}: never {what}")
        elif count > 1:
            verdict.doubled.append(f"{id}: {count} times {what}")


def _ordered(verdict: Verdict, what: str, ids: list[str], found: list[str]) -> None:
    if [id for id in ids if id in set(found)] != list(dict.fromkeys(found)):
        verdict.wrong.append(f"{what} are out of order: {found}")
