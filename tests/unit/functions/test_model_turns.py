"""Uploads of one model are decided on one after the other, in whatever order the word of them arrives."""

from __future__ import annotations

import contextlib
import hashlib
from collections import deque
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import infra.models.table
import infra.sqlite
from events.event import Event
from events.models import Repository
from events.ports import Changed, Entry
from events.types import DeliveryFailed, ModelPublished, ModelRejected, ModelStored, ModelSubmitted
from functions.formats.onnx import ONNX
from functions.formats.source import Source
from functions.model_store import model_store
from functions.model_version import model_version
from functions.repository import sidecar, signature, store
from infra.catalog.database import Database
from infra.models.table import StoredModels
from tests.onnx_models import linear
from tests.unit.functions.model_shop import NAMES, REPOSITORIES, Bucket, Shop, read
from tests.unit.functions.test_model_signature import PRIVATE, PUBLIC, STRANGER

SIGNED = Repository(name="apps", bucket="models", prefix="apps/", keys=[PUBLIC], signed=True, sidecars=True)
MODELS = [linear(float(weight)) for weight in range(4)]
UPLOAD = "apps/digits/model.onnx"


class Exact(Bucket):
    """Content that was overwritten is not read as what it was."""

    def stream(self, bucket, key, *, etag=""):
        content = self._get(key)
        if etag and hashlib.md5(content).hexdigest() != etag:
            raise Changed(key)
        yield content


class Hall(Shop):
    """A shop where events lie about until they are dealt with: those of one object in order, the rest in any."""

    def __init__(self, models: Any, repository: Repository) -> None:
        super().__init__(models, repository)
        self.bucket = Exact()
        self.lines: dict[str, deque[Any]] = {}
        self.number = 0

    def run(self, event: Event) -> list[Event]:
        self.number += 1
        self.lines[f"event {self.number}"] = deque([event])
        return []

    def put(self, key: str, content: bytes) -> None:
        """Put an object; the catalogue hears of it some time."""
        self.bucket.write("models", key, content)
        self.lines.setdefault(key, deque()).append(content)

    def push(self, content: bytes, version: int, key: bytes = PRIVATE) -> None:
        """What ``sluice model push`` does."""
        beside = sidecar.text(hashlib.sha256(content).hexdigest(), "model.onnx")
        self.put(f"{UPLOAD}.sha256asc", beside)
        self.put(f"{UPLOAD}.sig", signature.sign(key, "digits", version, content))
        self.put(UPLOAD, content)

    def step(self, which: int) -> None:
        """Deal with one of what lies about."""
        line = sorted(self.lines)[which % len(self.lines)]
        found = self.lines[line].popleft()
        if not self.lines[line]:
            del self.lines[line]
        if not isinstance(found, bytes):
            self.deal(found)
        elif line == UPLOAD:
            self.catalogued(found)
        else:
            self.change(line, digest=f"blake3:{hashlib.sha256(found).hexdigest()}")

    def catalogued(self, content: bytes) -> None:
        found: dict[str, Any] = {
            "digest": f"sha256:{hashlib.sha256(content).hexdigest()}",
            "etag": hashlib.md5(content).hexdigest(),
            "format": "onnx",
            "metadata": ONNX().describe(Source(_Held(content), "models", UPLOAD, len(content), ""), {}),
        }
        self.entries[UPLOAD] = Entry(bucket="models", key=UPLOAD, state="ready", **found)
        self.change(UPLOAD, **found)

    def deal(self, event: Event) -> None:
        if event.type == NAMES[ModelSubmitted]:
            produced = list(model_store(event, event.read(ModelSubmitted), self.bucket, self.models))
        elif event.type == NAMES[ModelPublished]:
            produced = []
        else:
            produced = list(model_version(event, self.models, self.catalog))
        self.seen += produced
        for each in produced:
            self.run(each)

    def until(self, kind: type[Any]) -> Event:
        """Deal with things until an event of this kind lies about; which it is."""
        while not (found := [line[0] for line in self.lines.values() if getattr(line[0], "type", "") == NAMES[kind]]):
            self.step(0)
        event: Event = found[0]
        return event

    def settle(self, order: Any) -> None:
        while self.lines:
            self.step(order.draw(st.integers(0, 7)) if order else 0)


class _Held(Bucket):
    """One object, whatever its key."""

    def __init__(self, content: bytes) -> None:
        super().__init__()
        self.content = content

    def _get(self, key):
        return self.content


@settings(max_examples=60)
@given(data=st.data())
def test_who_signs_the_next_version_gets_its_number_whatever_came_before(data):
    """Also where others' uploads were refused, whose sidecars and signatures arrive in any order around the models."""
    with contextlib.closing(infra.sqlite.connect(Path(":memory:"))) as connection:
        connection.executescript(f"{infra.models.table.SCHEMA}; {infra.models.table.REGISTRY}")
        hall = Hall(StoredModels(Database(connection), [SIGNED]), SIGNED)
        latest = b""
        for _ in range(data.draw(st.integers(1, 3))):
            for _ in range(data.draw(st.integers(0, 3))):
                hall.push(data.draw(st.sampled_from(MODELS)), data.draw(st.integers(1, 3)), STRANGER)
                for _ in range(data.draw(st.integers(0, 6))):
                    if hall.lines:
                        hall.step(data.draw(st.integers(0, 7)))
            hall.settle(data)
            before = [each.version for each in hall.models.versions()]
            wanted = len(before) + 1
            content = data.draw(st.sampled_from([each for each in MODELS if each != latest]))
            hall.push(content, wanted)
            hall.settle(data)
            assert [each.version for each in hall.models.versions()] == [*before, wanted]
            assert hall.bucket.found[f"apps/digits/{wanted}/model.onnx"] == content
            latest = content


@settings(max_examples=40)
@given(data=st.data())
def test_of_many_uploads_at_once_the_last_is_published_and_no_number_is_left_out(data):
    with contextlib.closing(infra.sqlite.connect(Path(":memory:"))) as connection:
        connection.executescript(f"{infra.models.table.SCHEMA}; {infra.models.table.REGISTRY}")
        hall = Hall(StoredModels(Database(connection), [REPOSITORIES[0]]), REPOSITORIES[0])
        content = b""
        for _ in range(data.draw(st.integers(1, 6))):
            content = data.draw(st.sampled_from(MODELS))
            hall.put(UPLOAD, content)
            for _ in range(data.draw(st.integers(0, 4))):
                if hall.lines:
                    hall.step(data.draw(st.integers(0, 7)))
        hall.settle(data)
        versions = hall.models.versions()
        assert [each.version for each in versions] == list(range(1, len(versions) + 1))
        assert hall.bucket.found[versions[-1].key] == content
        refused = read(hall.seen, ModelRejected)
        assert all("overwritten" in each.cause for each in refused)


def submitted(hall: Hall) -> Event:
    """The submission that lies about."""
    found: Event
    (found,) = [line[0] for line in hall.lines.values() if line[0].type == NAMES[ModelSubmitted]]
    hall.lines.clear()
    return found


def failed(event: Event, function: str = "model_store") -> Event:
    """What tells that an event became a dead letter."""
    return event.reply(DeliveryFailed(event=event.id, type=event.type, function=function, cause="it broke", attempts=9))


def contents(hall: Hall) -> list[tuple[int, bytes]]:
    """What is published."""
    return [(each.version, hall.bucket.found[each.key]) for each in hall.models.versions()]


@pytest.fixture
def hall(database) -> Hall:
    return Hall(StoredModels(database, REPOSITORIES), REPOSITORIES[0])


def test_a_submission_that_failed_holds_nobody_up_and_may_be_replayed(hall):
    hall.put(UPLOAD, MODELS[1])
    hall.step(0)
    hall.step(0)
    broken = submitted(hall)
    hall.put(UPLOAD, MODELS[2])  # waits for its turn
    hall.step(0)
    hall.step(0)
    assert hall.lines == {}
    hall.run(failed(broken))
    hall.settle(None)
    assert [(each.version, each.source) for each in hall.models.versions()] == [(1, f"s3://models/{UPLOAD}")]
    assert hall.bucket.found["apps/digits/1/model.onnx"] == MODELS[2]
    hall.run(broken)  # it is replayed, too late
    hall.settle(None)
    (refused,) = read(hall.seen, ModelRejected)
    assert (refused.version, refused.cause) == (0, "its number, 1, went to another upload meanwhile: upload it again")
    assert hall.bucket.found["apps/digits/1/model.onnx"] == MODELS[2]


@pytest.mark.parametrize("kind", [ModelSubmitted, ModelStored])
def test_what_failed_is_published_when_it_is_replayed(hall, kind):
    hall.put(UPLOAD, MODELS[1])
    waiting = hall.until(kind)
    hall.lines.clear()
    hall.run(failed(waiting))
    hall.settle(None)
    assert hall.models.versions() == []
    hall.run(waiting)
    hall.settle(None)
    assert [each.version for each in hall.models.versions()] == [1]


@pytest.mark.parametrize("kind", [ModelSubmitted, ModelStored])
def test_a_subscriber_that_fails_changes_nothing(hall, kind):
    hall.put(UPLOAD, MODELS[1])
    event = hall.until(kind)
    hall.lines["a webhook"] = deque([failed(event, "subscription/hook")])
    hall.put(UPLOAD, MODELS[2])
    while len(hall.lines) > 1:  # the upload before what was on its way
        hall.step(sorted(hall.lines).index("a webhook") if "a webhook" in hall.lines else len(hall.lines) - 1)
    hall.settle(None)
    assert [content for _, content in contents(hall)][-1] == MODELS[2]
    assert not [each.cause for each in read(hall.seen, ModelRejected) if "already" in each.cause]


def test_what_was_stored_but_not_announced_keeps_its_place_and_nobody_waits_for_it(hall):
    hall.put(UPLOAD, MODELS[1])
    stored = hall.until(ModelStored)
    hall.lines.clear()
    hall.put(UPLOAD, MODELS[2])
    hall.run(failed(stored, "model_version"))
    hall.settle(None)
    hall.put(UPLOAD, MODELS[3])
    hall.settle(None)
    assert contents(hall) == [(2, MODELS[2]), (3, MODELS[3])]
    hall.run(stored)  # it is replayed
    hall.settle(None)
    assert contents(hall) == [(1, MODELS[1]), (2, MODELS[2]), (3, MODELS[3])]
    assert read(hall.seen, ModelRejected) == []


def test_the_same_content_again_is_looked_at_when_the_one_before_is_refused(hall):
    """By its place it may be another: this one is whole, and what was submitted is not there any more."""
    hall.put("apps/digits.onnx", MODELS[1])
    found = {"digest": f"sha256:{hashlib.sha256(MODELS[1]).hexdigest()}", "etag": "gone", "format": "onnx"}
    hall.lines.clear()
    hall.change("apps/digits.onnx", **found)
    hall.put(UPLOAD, MODELS[1])
    hall.step(sorted(hall.lines).index(UPLOAD))
    hall.settle(None)
    assert [content for _, content in contents(hall)] == [MODELS[1]]
    assert len(read(hall.seen, ModelRejected)) == 1


def test_a_submission_that_was_lost_does_not_hold_up_uploads_for_ever(hall, monkeypatch):
    hall.put(UPLOAD, MODELS[1])
    hall.step(0)
    hall.step(0)
    submitted(hall)  # and with its log it is gone
    hall.put(UPLOAD, MODELS[1])
    hall.settle(None)
    hall.put(UPLOAD, MODELS[2])
    hall.settle(None)
    assert hall.models.versions() == [], "it may be on its way"
    monkeypatch.setattr(infra.models.table, "PATIENCE_SECONDS", 0.0)
    hall.put(UPLOAD, MODELS[3])
    hall.settle(None)
    assert contents(hall)[-1][1] == MODELS[3]
    assert contents(hall) == [(1, MODELS[3])], "the others were overwritten by then"
    monkeypatch.undo()
    hall.put(UPLOAD, MODELS[1])
    hall.step(0)
    hall.put(UPLOAD, MODELS[2])  # at once: they wait for nobody but each other
    hall.settle(None)
    assert contents(hall)[-1][1] == MODELS[2]


def test_a_lost_submission_is_made_again_with_its_number(hall, monkeypatch):
    hall.put(UPLOAD, MODELS[1])
    hall.step(0)
    hall.step(0)
    submitted(hall)
    monkeypatch.setattr(infra.models.table, "PATIENCE_SECONDS", 0.0)
    hall.put(UPLOAD, MODELS[1])
    hall.settle(None)
    assert [each.version for each in hall.models.versions()] == [1]


def test_events_of_a_lake_before_are_still_understood(hall):
    """What was stored did not tell of its upload then."""
    hall.put(UPLOAD, MODELS[1])
    waiting = hall.until(ModelStored)
    hall.lines.clear()
    hall.run(waiting.reply(msgspec.structs.replace(waiting.read(ModelStored), upload="")))
    hall.settle(None)
    assert [each.digest for each in hall.models.versions()] == [f"sha256:{store.digest_of(MODELS[1], 'sha256')}"]
