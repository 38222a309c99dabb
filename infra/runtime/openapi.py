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
INTEGERS = frozenset({"limit", "offset", "first", "last"})
REPEATED = frozenset({"where", "aggregation", "filter", "filter-lang"})


def document(operations: Sequence[Operation], url: str) -> dict[str, Any]:
    """The document of the lake at ``url``."""
    kinds = [Error]
    for each in operations:
        kinds += [kind for kind in (each.takes, each.gives) if kind is not None and kind not in kinds]
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
    asked = [{"name": name, "in": "query", "schema": _query(name)} for name in of.query]
    answer: dict[str, Any] = {"description": "As asked."}
    if of.gives is not None:
        answer["content"] = {"application/json": {"schema": schema_of[repr(of.gives)]}}
    refusal = {"description": "Why not.", "content": {"application/json": {"schema": schema_of[repr(Error)]}}}
    told: dict[str, Any] = {
        "operationId": f"{of.method.lower()}{re.sub(r'[^a-zA-Z0-9]+', '_', of.path).rstrip('_')}",
        "summary": " ".join((of.handler.__doc__ or "").split("\n\n")[0].split()),
        "parameters": [*named, *asked],
        "responses": {str(of.status): answer, "default": refusal},
    }
    if of.scope:
        told["description"] = f"A credential needs the scope `{of.scope}`."
    else:
        told["security"] = [{}]
    if of.takes is not None:
        told["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema_of[repr(of.takes)]}}}
    return told


def _query(name: str) -> dict[str, Any]:
    one = {"type": "integer" if name in INTEGERS else "string"}
    return {"type": "array", "items": one} if name in REPEATED else one
