"""The OpenAPI document of the HTTP API, made from its operations and the types of their bodies.

Source: OpenAPI Specification 3.1.0.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import msgspec

from infra.runtime.answers import Error
from infra.runtime.operation import Operation

REF = "#/components/schemas/{name}"
_PARAMETER = re.compile(r"\{(\w+)(?::\w+)?\}")
JSON, LINES = "application/json", "application/x-ndjson"
CONDITIONS = {
    "If-Match": "Entity tags: do it only if the revision is one of them.",
    "If-None-Match": "Entity tags: send it only if the revision is none of them.",
}
INTEGERS = frozenset({"limit", "offset", "first", "last"})
FLAGS = frozenset({"bulk"})
REPEATED = frozenset({"where", "aggregation", "filter", "filter-lang"})


def document(operations: Sequence[Operation], url: str) -> dict[str, Any]:
    """The document of the lake at ``url``."""
    kinds = [Error]
    for each in operations:
        kinds += [kind for kind in (each.takes, each.gives, each.lines) if kind is not None and kind not in kinds]
    schemas, components = msgspec.json.schema_components(kinds, ref_template=REF)
    schema_of = dict(zip(map(repr, kinds), schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for each in operations:
        paths.setdefault(_PARAMETER.sub(r"{\1}", each.path), {})[each.method.lower()] = _operation(each, schema_of)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Sluice", "version": "1", "description": "The HTTP API of a lake."},
        "servers": [{"url": url}],
        "security": [{"bearer": []}, {}],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": "An API key, or a token of the lake's issuer."}
            },
        },
    }


def _operation(of: Operation, schema_of: dict[str, Any]) -> dict[str, Any]:
    text = {"type": "string"}
    named = [{"name": name, "in": "path", "required": True, "schema": text} for name in _PARAMETER.findall(of.path)]
    asked: list[dict[str, Any]] = [{"name": name, "in": "query", "schema": _query(name)} for name in of.query]
    asked = [{**each, "allowEmptyValue": True} if each["name"] in FLAGS else each for each in asked]
    asked += [{"name": name, "in": "header", "description": CONDITIONS[name], "schema": text} for name in of.headers]
    answer: dict[str, Any] = {"description": "As asked."}
    if of.etag:
        answer["headers"] = {"ETag": {"description": "The revision.", "schema": text}}
    if of.gives is not None:
        answer["content"] = {JSON: {"schema": schema_of[repr(of.gives)]}}
    refusal = {"description": "Why not.", "content": {JSON: {"schema": schema_of[repr(Error)]}}}
    told: dict[str, Any] = {
        "operationId": f"{of.method.lower()}{re.sub(r'[^a-zA-Z0-9]+', '_', of.path).rstrip('_')}",
        "summary": " ".join((of.handler.__doc__ or "").split("\n\n")[0].split()),
        "parameters": [*named, *asked],
        "responses": {str(of.status): answer, "default": refusal},
    }
    if "If-None-Match" in of.headers:
        told["responses"]["304"] = {"description": "It is what the caller has.", "headers": answer["headers"]}
    if "If-Match" in of.headers:
        told["responses"]["412"] = {**refusal, "description": "It is of another revision."}
    if of.scope:
        told["description"] = f"A credential needs the scope `{of.scope}`."
    else:
        told["security"] = [{}]
    if of.takes is not None:
        told["requestBody"] = {"required": not of.optional, "content": {JSON: {"schema": schema_of[repr(of.takes)]}}}
    if of.lines is not None:
        told["requestBody"]["content"][LINES] = {"schema": text}
        told["responses"]["200"] = {
            "description": "With `bulk`: how far it is, a line each time.",
            "content": {LINES: {"schema": schema_of[repr(of.lines)]}},
        }
    return told


def _query(name: str) -> dict[str, Any]:
    one: dict[str, Any] = {"type": "integer" if name in INTEGERS else "string"}
    return {"type": "array", "items": one} if name in REPEATED else one
