"""What the messages of several stores have in common on the wire: a name, and an object with S3's members."""

from __future__ import annotations

from typing import Any

import msgspec


class Named(msgspec.Struct):
    """Something of which only the name matters here: a bucket."""

    name: str


class Entity(msgspec.Struct, rename="camel"):
    """An object as S3's records write it, with what a store cares to tell of it."""

    key: str
    size: int | None = None
    e_tag: str | None = None
    version_id: str | None = None
    sequencer: str | None = None

    def told(self, removed: bool = False) -> dict[str, Any]:
        """``s3.object`` of a record. What a removal tells of size and ETag was true of what is gone."""
        content = {} if removed else {"size": self.size, "eTag": self.e_tag}
        return {"key": self.key, "versionId": self.version_id, "sequencer": self.sequencer, **content}
