"""What our events look like, for machines: JSON Schemas of their data, and an AsyncAPI document of all messages.

Generated from ``events/types/``, so neither can lag behind the code. Sources: JSON Schema 2020-12, AsyncAPI 3.0.0.
"""

from __future__ import annotations

import inspect
from importlib.metadata import PackageNotFoundError, version
from typing import Any
from urllib.parse import urlsplit

import msgspec

from events.types import S3_CREATED, S3_EXPIRED, S3_EXPIRED_CEPH, S3_REMOVED, TYPES, S3Record

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_SCHEMAS = "#/components/schemas/"
_MESSAGES = "#/components/messages/"
_CHANNEL = "#/channels/events"
#: What comes in from the stores; a ``*`` in a type stands for any text.
_INCOMING: dict[str, type[msgspec.Struct]] = dict.fromkeys((S3_CREATED, S3_REMOVED, S3_EXPIRED, S3_EXPIRED_CEPH), S3Record)


def schemas() -> dict[str, dict[str, Any]]:
    """Event type -> JSON Schema of its data, each complete in itself. A ``*`` in a type stands for any text."""
    return {name: {"$schema": _DIALECT, "title": name, **msgspec.json.schema(kind)} for name, kind in _all_types().items()}


def asyncapi(server_url: str) -> dict[str, Any]:
    """The AsyncAPI document of the event endpoint at ``server_url`` (``https://host:port/path``)."""
    kinds = _all_types()
    _, components = msgspec.json.schema_components(kinds.values(), ref_template=_SCHEMAS + "{name}")
    messages = {_identifier(name): _message(name, kind) for name, kind in kinds.items()}
    server = urlsplit(server_url)
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Sluice",
            "version": _version(),
            "description": "Events of the data lake, as CloudEvents 1.0 over HTTP in binary, structured or batched mode.",
        },
        "defaultContentType": "application/cloudevents+json",
        "servers": {
            "lake": {"host": server.netloc, "protocol": server.scheme or "http", "pathname": server.path or "/"},
        },
        "channels": {
            "events": {
                "address": "/events",
                "description": "Every event of the lake. A subscription filters them by type and attributes.",
                "messages": {name: {"$ref": _MESSAGES + name} for name in messages},
            }
        },
        "operations": {
            "accept": _operation("receive", "An event is posted to the lake.", messages),
            "deliver": _operation("send", "The lake posts an event to a subscriber.", messages),
        },
        "components": {"messages": messages, "schemas": {**components, "CloudEvent": _ENVELOPE}},
    }


_ENVELOPE: dict[str, Any] = {
    "type": "object",
    "description": "The attributes of a CloudEvent, in the JSON format 1.0.2. Extensions stand beside them.",
    "required": ["specversion", "id", "source", "type"],
    "properties": {
        "specversion": {"const": "1.0"},
        "id": {"type": "string", "minLength": 1},
        "source": {"type": "string", "format": "uri-reference", "minLength": 1},
        "type": {"type": "string", "minLength": 1},
        "subject": {"type": "string", "minLength": 1},
        "time": {"type": "string", "format": "date-time"},
        "datacontenttype": {"type": "string"},
        "dataschema": {"type": "string", "format": "uri"},
        "partitionkey": {"type": "string", "description": "What must stay in order: bucket/key."},
        "sequence": {"type": "string", "description": "Compares as text within one partition key."},
    },
}


def _all_types() -> dict[str, type[msgspec.Struct]]:
    return {**_INCOMING, **TYPES}


def _identifier(event_type: str) -> str:
    return event_type.removesuffix(":*")


def _message(event_type: str, kind: type[msgspec.Struct]) -> dict[str, Any]:
    exact = {"const": event_type} if "*" not in event_type else {"type": "string", "pattern": f"^{_identifier(event_type)}:"}
    return {
        "name": _identifier(event_type),
        "title": kind.__name__,
        "summary": (inspect.getdoc(kind) or "").partition("\n")[0],
        "contentType": "application/cloudevents+json",
        "payload": {
            "allOf": [
                {"$ref": _SCHEMAS + "CloudEvent"},
                {
                    "type": "object",
                    "properties": {"type": exact, "data": {"$ref": _SCHEMAS + kind.__name__}},
                    "required": ["data"],
                },
            ]
        },
    }


def _operation(action: str, summary: str, messages: dict[str, Any]) -> dict[str, Any]:
    return {
        "action": action,
        "summary": summary,
        "channel": {"$ref": _CHANNEL},
        "messages": [{"$ref": f"{_CHANNEL}/messages/{name}"} for name in messages],
    }


def _version() -> str:
    try:
        return version("sluice")
    except PackageNotFoundError:  # run from a source folder that is not installed
        return "0"
