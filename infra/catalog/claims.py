"""What senders claim of the content that they are about to send: digests, which are held against what arrives.

A claim is for the next content only. Once that was found to be so, its digests are the object's; where it was not, the object
is FAILED and the claim stays, for whoever sends it again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from sqlalchemy import bindparam, select

from events.claims import claim_broken
from events.errors import Reject
from infra.catalog.database import Database
from infra.catalog.resources import DataObject, object_id
from infra.catalog.schema import data_object

#: What can be claimed: the algorithms that the lake computes, and the hexadecimal digits of each.
DIGITS = {"md5": 32, "sha1": 40, "sha256": 64, "sha512": 128, "blake3": 64}
_c = data_object.c
_FIND = select(_c.claims, _c.state, _c.etag, _c.digest).where(_c.id == bindparam("id_"))


def checked(told: Mapping[str, str]) -> dict[str, str]:
    """Digests as people give them, in one form. Raises ``Reject`` for one that nothing can have."""
    made = {}
    for name, value in told.items():
        algorithm = name.lower()
        if algorithm not in DIGITS:
            raise Reject(f"digests: {name[:40]!r} cannot be checked here; those that can are {', '.join(DIGITS)}")
        if not re.fullmatch(f"[0-9a-fA-F]{{{DIGITS[algorithm]}}}", value):
            raise Reject(f"digests: a {algorithm} has {DIGITS[algorithm]} hexadecimal digits, unlike {value[:140]!r}")
        made[algorithm] = value.lower()
    return made


def held_against(found: DataObject, digests: Mapping[str, str]) -> str:
    """How what was claimed of an object contradicts these digests of it; ``""`` if it does not."""
    return claim_broken(f"s3://{found.bucket}/{found.key}", found.claims, digests)


class StoredClaims:
    """The ``Claims`` port."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def claimed(self, bucket: str, key: str, etag: str) -> dict[str, str]:
        row = self._database.row(_FIND, {"id_": object_id(bucket, key)})
        if row is None or ((row["state"], row["etag"]) == ("READY", etag) and row["digest"]):
            return {}  # content that is known: another upload is under way, and its claim is for what comes
        found: dict[str, str] = row["claims"]
        return found
