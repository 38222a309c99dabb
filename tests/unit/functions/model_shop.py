"""A lake with just the functions of a model repository, over a bucket in memory."""

from __future__ import annotations

import hashlib
from typing import Any

from events.event import Event
from events.models import Repository
from events.ports import Entry, NotFound, ObjectInfo
from events.types import (
    TYPES,
    CatalogUpdated,
    ModelAdopted,
    ModelPromoted,
    ModelSubmitted,
    PromotionRequested,
)
from functions.alias_store import alias_store
from functions.formats.onnx import ONNX
from functions.formats.source import Source
from functions.model_adopt import model_adopt
from functions.model_alias import model_alias
from functions.model_store import model_store, model_trial
from functions.model_version import model_version

REPOSITORIES = [Repository(name="apps", bucket="models", prefix="apps/"), Repository(name="all", bucket="models")]


class Bucket:
    """Objects in memory, behind the port."""

    def __init__(self) -> None:
        self.found: dict[str, bytes] = {}

    def head(self, bucket, key, *, version=""):
        return ObjectInfo(bucket=bucket, key=key, size=len(self._get(key)), etag=hashlib.md5(self._get(key)).hexdigest())

    def delete(self, bucket, key):
        self.found.pop(key, None)

    def upload(self, bucket, key, file, **more):
        return self.write(bucket, key, file.read_bytes())

    def write(self, bucket, key, data, *, content_type=""):
        self.found[key] = data
        return ObjectInfo(bucket=bucket, key=key, size=len(data), etag=hashlib.md5(data).hexdigest())

    def read(self, bucket, key, start, end, *, etag=""):
        return self._get(key)[start:end]

    def stream(self, bucket, key, *, etag=""):
        yield self._get(key)

    def list(self, bucket, prefix=""):
        return (ObjectInfo(bucket=bucket, key=key, size=0, etag="") for key in sorted(self.found) if key.startswith(prefix))

    def _get(self, key):
        if key not in self.found:
            raise NotFound(key)
        return self.found[key]


class Shop:
    """A lake with just the model functions: what one yields, the others get."""

    def __init__(self, models, repository: Repository) -> None:
        self.models, self.repository, self.bucket = models, repository, Bucket()
        self.seen: list[Event] = []
        self.entries: dict[str, Entry] = {}
        self.catalog: Any = self  # as much of one as is asked for

    def get(self, bucket: str, key: str) -> Entry | None:
        """The catalogue's entry."""
        return self.entries.get(key)

    def beside(self, path: str, content: bytes) -> CatalogUpdated:
        """Put something that is no model; what the catalogue will say of it."""
        self.bucket.write("models", self.repository.prefix + path, content)
        return CatalogUpdated(bucket="models", key=self.repository.prefix + path, change="upserted", digest="blake3:0")

    def tell(self, data: CatalogUpdated) -> list[Event]:
        return self.run(Event(id=f"{len(self.seen)}", source="/t", type="t", subject=data.key).reply(data))

    def upload(self, path: str, content: bytes, user: dict[str, str] | None = None) -> list[Event]:
        key = self.repository.prefix + path
        self.bucket.write("models", key, content)
        source = Source(self.bucket, "models", key, len(content), "")
        known = ONNX().sniff(content, key)
        found: dict[str, Any] = {
            "digest": f"sha256:{hashlib.sha256(content).hexdigest()}",
            "etag": hashlib.md5(content).hexdigest(),
            "format": "onnx" if known else "opaque",
            "metadata": ONNX().describe(source, {}) if known else {},
        }
        self.entries[key] = Entry(bucket="models", key=key, user=user or {}, **found)
        return self.change(key, **found)

    def change(self, key: str, change: str = "upserted", **more) -> list[Event]:
        data = CatalogUpdated(bucket="models", key=key, change=change, **more)
        return self.run(Event(id=f"{len(self.seen)}", source="/t", type="t", subject=key).reply(data))

    def promote(self, name: str, version: int, alias: str = "champion") -> list[Event]:
        wanted = PromotionRequested(repository=self.repository.name, name=name, version=version, alias=alias)
        return self.run(Event(id=f"p{len(self.seen)}", source="/t", type="t").reply(wanted))

    def run(self, event: Event) -> list[Event]:
        wanted: dict[str, list[Any]] = {
            "catalog.updated": [lambda e: model_version(e, self.models, self.catalog)],
            "model.submitted": [
                lambda e: model_store(e, e.read(ModelSubmitted), self.bucket, self.models),
                lambda e: model_trial(e, e.read(ModelSubmitted), self.bucket, self.models),
            ],
            "model.stored": [lambda e: model_version(e, self.models, self.catalog)],
            "model.adopted": [lambda e: model_adopt(e, e.read(ModelAdopted), self.models)],
            "model.rejected": [lambda e: model_version(e, self.models, self.catalog)],
            "promotion.requested": [lambda e: model_alias(e, e.read(PromotionRequested), self.models)],
            "model.promoted": [lambda e: alias_store(e, e.read(ModelPromoted), self.bucket, self.models) or []],
        }
        produced = [event]
        for each in produced:
            for function in wanted.get(each.type.removeprefix("dev.sluice.").removesuffix(".v1"), []):
                produced += list(function(each))
        self.seen += produced[1:]
        return produced[1:]


NAMES = {kind: name for name, kind in TYPES.items()}


def read(events: list[Event], kind) -> list:
    return [event.read(kind) for event in events if event.type == NAMES[kind]]
