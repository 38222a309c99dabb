"""Resources as JSON documents from outside: checked, typed, and changed by a merge patch."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from events.errors import Reject
from infra.catalog.acl import Acl
from infra.catalog.resources import KINDS, Resource

_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
#: What the server says of every resource; a body may repeat it, as it came from a GET.
SERVERS = frozenset({"id", "created", "updated", "revision", "resource-type"})


def known(kind: str, document: Mapping[str, Any]) -> None:
    """Refuse attributes that no such resource has: a misspelt one must not be silent."""
    names = {field.encode_name for field in msgspec.structs.fields(KINDS[kind])} | SERVERS
    if unknown := sorted(document.keys() - names):
        raise Reject(f"a {kind} has no attribute {unknown[0][:100]!r}; its own are {', '.join(sorted(names - SERVERS))}")
    if _NUL.search(msgspec.json.encode(document)):
        raise Reject("no text may hold the character U+0000")
    if (told := document.get("resource-type", kind)) != kind:
        raise Reject(f"a {kind} is asked for, not a {str(told)[:100]}")


def resource(kind: str, document: Mapping[str, Any]) -> Resource:
    """A document as a resource; without an access list it has an empty one. Raises ``Reject``."""
    known(kind, document)
    told = {name: value for name, value in document.items() if name not in SERVERS}
    try:
        made: Resource = msgspec.convert({"acl": Acl(), **told}, KINDS[kind])
    except msgspec.ValidationError as error:
        raise Reject(f"this is no {kind}: {error}") from error
    return made


def merge(target: Any, patch: Any) -> Any:
    """A JSON Merge Patch applied (RFC 7396, section 2)."""
    if not isinstance(patch, dict):
        return patch
    kept = target if isinstance(target, dict) else {}
    merged = {name: value for name, value in kept.items() if name not in patch}
    return {**merged, **{name: merge(kept.get(name), value) for name, value in patch.items() if value is not None}}
