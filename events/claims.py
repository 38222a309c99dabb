"""Digests that people claim of content before it arrives: the port to them, and what breaks one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, runtime_checkable


@runtime_checkable
class Claims(Protocol):
    """What people claim of content before it arrives."""

    def claimed(self, bucket: str, key: str, etag: str) -> dict[str, str]:
        """The digests (hexadecimal, by algorithm) that this content of the object is said to have."""
        ...


def claim_broken(what: str, claimed: Mapping[str, str], digests: Mapping[str, str]) -> str:
    """How the digests of an object contradict what was claimed, for people; ``""`` if they do not."""
    for name, value in claimed.items():
        if digests.get(name, value) != value:
            return f"{what} is not what was to be uploaded: its {name} is {digests[name]}, not {value}. Upload it again."
    return ""


class Unclaimed:
    """Where there is no catalogue, nobody claims anything."""

    def claimed(self, bucket: str, key: str, etag: str) -> dict[str, str]:
        return {}
