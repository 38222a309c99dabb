"""How each S3 store writes its records: the key's encoding, and what orders the changes of one key.

``sequence`` compares as text among the changes of one key of one store. Where a store sends no usable sequencer, the event's
time stands in for it. Found by measuring (Ceph RGW 16.2), by reading (MinIO, AWS) and by design (our own door).
"""

from __future__ import annotations

import re
from calendar import timegm
from typing import Any
from urllib.parse import unquote_plus

from events.errors import BadEvent

_HEX = re.compile(r"[0-9A-Fa-f]+").fullmatch
_TIME = re.compile(r"(\d+)-(\d+)-(\d+).(\d+):(\d+):(\d+)(?:\.(\d+))?(?:([+-])(\d+):(\d+)|.)").fullmatch


def nanoseconds(time: str) -> str:
    """An RFC 3339 time as 16 hex digits: nanoseconds since 1970, which compare as text. ``BadEvent`` if it is none."""
    found = _TIME(time)
    if found is None:
        raise BadEvent(f"{time[:60]!r} is no RFC 3339 time")
    year, month, day, hour, minute, second = map(int, found.group(1, 2, 3, 4, 5, 6))
    seconds = timegm((year, month, day, hour, minute, second))
    if found[8]:
        seconds -= (int(found[9]) * 60 + int(found[10])) * (60 if found[8] == "+" else -60)
    return f"{max(0, seconds * 10**9 + int((found[7] or '0')[:9].ljust(9, '0'))):016X}"


class Store:
    """A store that writes as AWS documents it; base of those that differ."""

    def key(self, raw: str) -> str:
        """The key in plain text: form-decoded. ``BadEvent`` unless it is UTF-8."""
        try:
            return unquote_plus(raw, errors="strict")
        except UnicodeDecodeError as error:
            raise BadEvent(f"the key {raw[:200]!r} is not form-encoded UTF-8: {error}") from error

    def sequence(self, time: str, sequencer: str) -> str:
        """Hex text of varying length, to be padded on the right before it is compared (S3 user guide)."""
        return sequencer.upper().ljust(32, "0") if _HEX(sequencer) else nanoseconds(time)

    def tidy(self, entity: dict[str, Any]) -> None:
        """Correct, in place, what the store's ``s3.object`` gets wrong."""


class RawKeys(Store):
    """A store whose keys come as they are, and whose sequencer is a number of up to 16 hex digits, the highest first.

    Our own door, and MinIO's listen stream.
    """

    def key(self, raw: str) -> str:
        return raw

    def sequence(self, time: str, sequencer: str) -> str:
        return sequencer.upper().rjust(16, "0") if _HEX(sequencer) else nanoseconds(time)


class Minio(RawKeys):
    """MinIO's notification targets: ``url.QueryEscape``-d keys, ``sequencer`` the modification time in nanoseconds."""

    def key(self, raw: str) -> str:
        return Store.key(self, raw)


class Ceph(RawKeys):
    """Ceph RGW: raw keys; ``sequencer`` is the *notification's* time as two little-endian words, seconds and nanoseconds.

    Of writers that race for one key, the winner is the one with the latest ``eventTime``: it counts before the sequencer.
    """

    def sequence(self, time: str, sequencer: str) -> str:
        notified = 0
        if len(sequencer) == 16 and _HEX(sequencer):
            raw = bytes.fromhex(sequencer)
            notified = int.from_bytes(raw[:4], "little") * 10**9 + int.from_bytes(raw[4:], "little")
        return f"{nanoseconds(time)}{notified:016X}"

    def tidy(self, entity: dict[str, Any]) -> None:
        """Without user metadata RGW lists the request's own headers in their place: only ``x-amz-meta-`` are the object's."""
        metadata = entity.get("metadata")
        if isinstance(metadata, list):
            entity["metadata"] = [
                pair for pair in metadata if isinstance(pair, dict) and str(pair.get("key", "")).startswith("x-amz-meta-")
            ]


AWS = Store()
RAW_KEYS = RawKeys()
MINIO = Minio()
#: By the first part of ``eventSource``. Whoever is not listed is read as AWS writes.
STORES: dict[str, Store] = {"aws": AWS, "ceph": Ceph(), "minio": MINIO, "sluice": RAW_KEYS}


def store_of(source: str) -> Store:
    """The store that calls itself ``source`` (``ceph:s3``)."""
    return STORES.get(source.partition(":")[0], AWS)
