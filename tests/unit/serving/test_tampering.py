"""Nothing that was tampered with is served: a lake publishes over a real door, a server asks it, somebody writes the bucket."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from events.event import Event
from events.models import Repository
from functions.repository import layout, sidecar, store
from infra.models.loader import Loader
from infra.objects.s3 import S3Store
from infra.serving.app import Serving
from infra.serving.faults import Faults
from infra.serving.shelf import Shelf
from tests.conftest import serving
from tests.onnx_models import linear

REPOSITORY = Repository(name="models", bucket="models")
FILES = ["model.onnx", "version.json"]
BOTH = [name for file in FILES for name in (file, f"{file}.sha256asc")]
ALIAS = ["aliases/champion.json", "aliases/champion.json.sha256asc"]
#: Everything that a load of version 2 by its alias reads.
PARTS = [*(f"2/{name}" for name in BOTH), *ALIAS]


class Told(list[Event]):
    """A lake that only listens."""

    def send(self, event: Event) -> None:
        self.append(event)


@dataclass
class Place:
    """Version 1 is served by the alias champion; version 2 is published, and the alias is about to mean it."""

    objects: S3Store
    app: Serving
    client: httpx.Client
    good: dict[str, bytes]
    told: Told = field(default_factory=Told)

    def refused(self, changes: dict[str, bytes | None]) -> str:
        """Why version 2 is refused with these changes; the old version must serve on, the lake be told, and all be mended."""
        self._put(changes)
        try:
            self.app.announced("dev.sluice.model.promoted.v1", {"repository": "models", "name": "linear"})
            asked = {"inputs": [{"name": "x", "shape": [1, 3], "datatype": "FP32", "data": [1, 1, 1]}]}
            answer = self.client.post("/v2/models/linear/infer", json=asked).json()
            assert (answer["model_version"], answer["outputs"][0]["data"]) == ("1", [2, 2, 2])
            states = {each["state"]: each for each in self.client.post("/v2/repository/index").json()}
            cause: str = states["UNAVAILABLE"]["reason"]
            assert cause
            self.told.clear()
            Faults(self.app, self.told).tell()
            (event,) = self.told
            assert (event.type, event.subject) == ("dev.sluice.model.rejected.v1", "models/linear")
            assert event.data["cause"] == cause
            return cause
        finally:
            self._put({key: self.good[key] for key in changes if key in self.good})
            for key in changes.keys() - self.good.keys():
                self.objects.delete("models", f"linear/{key}")
            self.app.shelf.unload("linear")
            self.app.shelf.load("linear", 1)

    def _put(self, changes: dict[str, bytes | None]) -> None:
        for key, content in changes.items():
            if content is None:
                self.objects.delete("models", f"linear/{key}")
            else:
                self.objects.write("models", f"linear/{key}", content)


@pytest.fixture
def place(objects: S3Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    import json

    monkeypatch.setattr("infra.serving.faults.AGAIN_SECONDS", 0)
    objects.ensure("models")
    digests = {}
    for version in (1, 2, 3):
        content = linear(version + 1)
        digests[version] = f"sha256:{hashlib.sha256(content).hexdigest()}"
        key = layout.file_key("", "linear", version)
        record = {"name": "linear", "version": version, "key": key, "digest": digests[version], "size": len(content)}
        store.write(objects, REPOSITORY, key, content, "application/onnx")
        store.write(objects, REPOSITORY, layout.record_key("", "linear", version), json.dumps(record).encode(), store.JSON)

    def promote(alias: str, version: int) -> None:
        told = {"name": "linear", "alias": alias, "version": version, "digest": digests[version]}
        store.write(objects, REPOSITORY, layout.alias_key("", "linear", alias), json.dumps(told).encode(), store.JSON)

    loader = Loader(objects, REPOSITORY)
    app = Serving(Shelf(loader), loader, trusting=True)
    promote("champion", 1)
    app.refresh()
    stale = {f"{key} of 1": objects.read("models", f"linear/{key}", 0, 9999) for key in ALIAS}
    promote("other", 3)
    promote("champion", 2)
    keys = [info.key.removeprefix("linear/") for info in objects.list("models", "linear/")]
    good = {key: objects.read("models", f"linear/{key}", 0, 9999) for key in keys}
    with serving(app) as url, httpx.Client(base_url=url, timeout=30) as client:
        made = Place(objects, app, client, {**good, **stale})
        made.app.shelf.unload("linear")
        made.app.shelf.load("linear", 1)
        yield made
    app.shelf.close()


def flipped(content: bytes, where: int, by: int) -> bytes:
    changed = bytearray(content)
    changed[where % len(changed)] ^= by
    return bytes(changed)


@given(part=st.sampled_from(PARTS), where=st.integers(0, 10_000), by=st.integers(1, 255))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_one_flipped_byte_anywhere_is_refused_and_the_old_version_serves(place: Place, part, where, by) -> None:
    place.refused({part: flipped(place.good[part], where, by)})


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("content", [None, b"", b"\xff\xfe", b"0" * 10_000])
def test_what_is_missing_empty_or_nonsense_is_refused(place: Place, part: str, content: bytes | None) -> None:
    if (part, content) == ("2/model.onnx", None):
        place.refused({part: content})  # nothing but the alias tells that there should be one
    assert part.rsplit("/", 1)[-1].removesuffix(".sha256asc") in place.refused({part: content})


Change = Callable[[dict[str, bytes]], dict[str, bytes | None]]
SWAPS: dict[str, tuple[Change, str]] = {
    "the file of another version": (lambda good: {"2/model.onnx": good["1/model.onnx"]}, "is not what its sidecar says"),
    "and its sidecar": (
        lambda good: {f"2/model.onnx{end}": good[f"1/model.onnx{end}"] for end in ("", ".sha256asc")}, "names another digest"
    ),
    "and its record": (lambda good: {f"2/{name}": good[f"1/{name}"] for name in BOTH}, "is the record of version 1"),
    "a stale sidecar": (lambda good: {"2/model.onnx.sha256asc": good["1/model.onnx.sha256asc"]}, "sidecar has"),
    "a stale record": (lambda good: {"2/version.json": good["1/version.json"]}, "is not what its sidecar says"),
    "a sidecar of another algorithm": (
        lambda good: {"2/model.onnx.sha256asc": hashlib.sha512(good["2/model.onnx"]).hexdigest().encode()}, "cannot be checked"
    ),
    "a sidecar in capitals": (
        lambda good: {"2/model.onnx.sha256asc": good["2/model.onnx.sha256asc"].upper()}, "is not what `sha256sum model.onnx`"
    ),
    "an alias without its sidecar": (lambda good: {ALIAS[0]: good[f"{ALIAS[0]} of 1"]}, "is not what its sidecar says"),
    "another alias in its place": (
        lambda good: {ALIAS[0]: good["aliases/other.json"],
                      ALIAS[1]: good["aliases/other.json.sha256asc"].replace(b"other", b"champion")}, "is the alias other"
    ),
    "an alias of a digest that the version has not": (
        lambda good: _alias(good, {"version": 2, "digest": "sha256:" + "0" * 64}), "names another digest than version 2"
    ),
    "an alias of a version that is not there": (lambda good: _alias(good, {"version": 9}), "9/version.json"),
}  # fmt: skip


def _alias(good: dict[str, bytes], more: dict[str, object]) -> dict[str, bytes | None]:
    import json

    content = json.dumps({**json.loads(good[ALIAS[0]]), **more}).encode()
    return {ALIAS[0]: content, ALIAS[1]: sidecar.text(hashlib.sha256(content).hexdigest(), "champion.json")}


@pytest.mark.parametrize("how", SWAPS)
def test_what_was_swapped_stale_or_replaced_is_refused(place: Place, how: str) -> None:
    change, reason = SWAPS[how]
    assert reason in place.refused(change(place.good))


def test_it_is_served_once_it_is_mended_and_a_fault_is_told_once(place: Place) -> None:
    faults = Faults(place.app, place.told)
    place.objects.write("models", "linear/2/model.onnx", b"other")
    for _ in range(3):
        place.app.follow("linear")
        faults.tell()
    assert len(place.told) == 1
    place.objects.write("models", "linear/2/model.onnx", place.good["2/model.onnx"])
    place.app.announced("dev.sluice.catalog.updated.v1", {"bucket": "models", "key": "linear/2/model.onnx"})
    faults.tell()
    assert len(place.told) == 1
    assert place.app.shelf.default("linear").version == 2


def test_an_alias_is_followed_once_it_is_written_and_what_is_half_written_is_not_told(place: Place, monkeypatch) -> None:
    def served() -> int:
        return place.app.shelf.default("linear").version

    stale = {key: place.good[f"{key} of 1"] for key in ALIAS}
    place._put({**stale})
    place.app.announced("dev.sluice.model.promoted.v1", {"repository": "models", "name": "linear"})
    assert served() == 1, "the event is ahead of the bucket"
    place._put({ALIAS[1]: place.good[ALIAS[1]]})
    place.app.announced("dev.sluice.catalog.updated.v1", {"bucket": "models", "key": f"linear/{ALIAS[1]}"})
    assert (served(), list(place.app.shelf.faults)) == (1, ["linear"])
    with monkeypatch.context() as waiting:
        clock = SimpleNamespace(monotonic=time.monotonic, sleep=lambda _: place._put({ALIAS[0]: place.good[ALIAS[0]]}))
        waiting.setattr("infra.serving.faults.time", clock)  # not that of all other threads
        Faults(place.app, place.told).tell()
    assert (served(), place.told, place.app.shelf.faults) == (2, [], {})
    place._put({**stale})
    place.app.announced("dev.sluice.catalog.updated.v1", {"bucket": "models", "key": f"linear/{ALIAS[0]}"})
    assert served() == 1
    place.app.announced("dev.sluice.catalog.updated.v1", {"bucket": "models", "key": "linear/model.onnx"})
    place.app.announced("dev.sluice.catalog.updated.v1", {"bucket": "other", "key": f"linear/{ALIAS[0]}"})
    assert served() == 1
