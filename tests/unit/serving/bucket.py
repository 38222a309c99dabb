"""A model repository in memory, for the tests of servers."""

from __future__ import annotations

import json

from events.models import Repository
from events.ports import NotFound, ObjectInfo
from functions.repository import layout, sidecar
from tests.onnx_models import operators

REPOSITORY = Repository(name="models", bucket="models")


class Bucket:
    """A repository in memory, which publishes what it is told."""

    def __init__(self) -> None:
        self.found: dict[str, bytes] = {}

    def stream(self, bucket, key, *, etag=""):
        yield self.read(bucket, key, 0, 1 << 30)

    def read(self, bucket, key, start, end, *, etag=""):
        if key not in self.found:
            raise NotFound(key)
        return self.found[key][start:end]

    def list(self, bucket, prefix=""):
        return (ObjectInfo(bucket=bucket, key=key, size=0, etag="") for key in sorted(self.found) if key.startswith(prefix))

    def put(self, key: str, content: bytes) -> str:
        made = sidecar.hasher("sha256")
        made.update(content)
        self.found[key] = content
        self.found[sidecar.key(key, "sha256")] = sidecar.text(made.hexdigest(), key.rsplit("/", 1)[-1])
        return f"sha256:{made.hexdigest()}"

    def publish(self, name: str, version: int, content: bytes) -> None:
        key = layout.file_key("", name, version)
        digest = self.put(key, content)
        record = {
            "name": name, "version": version, "key": key, "digest": digest, "size": len(content),
            "metadata": {"operators": operators(content)},
        }  # fmt: skip
        self.put(layout.record_key("", name, version), json.dumps(record).encode())

    def promote(self, name: str, alias: str, version: int) -> None:
        digest = json.loads(self.found[layout.record_key("", name, version)])["digest"]
        told = {"name": name, "alias": alias, "version": version, "digest": digest}
        self.put(layout.alias_key("", name, alias), json.dumps(told).encode())
