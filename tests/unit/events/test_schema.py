"""The generated documents: every type's data fits its schema, and the AsyncAPI document holds together."""

from typing import Any, get_type_hints

import jsonschema
import msgspec
import pytest

from events.schema import asyncapi, schemas
from events.types import TYPES, S3Record

EXAMPLES = {str: "text", int: 3, float: 2.5, bool: True}


def sample(kind: Any) -> Any:
    """A value of a type, its required and optional parts filled in."""
    info = msgspec.inspect.type_info(kind)
    return _sample(info)


def as_json(value: Any) -> Any:
    """As it arrives."""
    return msgspec.json.decode(msgspec.json.encode(value))


def _sample(info: Any) -> Any:
    match info:
        case msgspec.inspect.StructType():
            return info.cls(**{field.name: _sample(field.type) for field in info.fields})
        case msgspec.inspect.ListType():
            return [_sample(info.item_type)]
        case msgspec.inspect.TupleType():
            return tuple(_sample(part) for part in info.item_types)
        case msgspec.inspect.DictType():
            return {_sample(info.key_type): _sample(info.value_type)}
        case msgspec.inspect.UnionType():
            return _sample(next(part for part in info.types if not isinstance(part, msgspec.inspect.NoneType)))
        case msgspec.inspect.LiteralType():
            return info.values[0]
        case msgspec.inspect.IntType():
            return 3
        case msgspec.inspect.FloatType():
            return 2.5
        case msgspec.inspect.BoolType():
            return True
        case msgspec.inspect.NoneType():
            return None
    return "text"


@pytest.mark.parametrize(("name", "kind"), [*TYPES.items(), ("com.amazonaws.s3.ObjectCreated:*", S3Record)])
def test_data_fit_their_schema(name, kind):
    schema = schemas()[name]
    checker = jsonschema.Draft202012Validator
    checker.check_schema(schema)
    value = as_json(sample(kind))
    checker(schema).validate(value)
    required = [field.encode_name for field in msgspec.structs.fields(kind) if field.required]
    for field in required:
        with pytest.raises(jsonschema.ValidationError):
            checker(schema).validate({key: part for key, part in value.items() if key != field})


def references(node):
    if isinstance(node, dict):
        yield from ([node["$ref"]] if "$ref" in node else [])
        for part in node.values():
            yield from references(part)
    elif isinstance(node, list):
        for part in node:
            yield from references(part)


def test_the_asyncapi_document_holds_together():
    document = asyncapi("https://lake.example.com:8443/base")
    assert document["asyncapi"] == "3.0.0"
    assert set(document["info"]) >= {"title", "version"}
    assert document["servers"]["lake"] == {"host": "lake.example.com:8443", "protocol": "https", "pathname": "/base"}
    found = list(references(document))
    assert found
    for reference in found:
        target = document
        for part in reference.removeprefix("#/").split("/"):
            target = target[part]
    channel = document["channels"]["events"]
    assert {operation["action"] for operation in document["operations"].values()} == {"send", "receive"}
    for operation in document["operations"].values():
        assert operation["channel"] == {"$ref": "#/channels/events"}
        assert len(operation["messages"]) == len(channel["messages"]) == len(schemas())
    assert set(schemas()) >= set(TYPES)


@pytest.mark.parametrize("name", list(TYPES))
def test_a_message_validates_its_event_and_no_other(name):
    document = asyncapi("http://localhost")
    payload = {**document["components"]["messages"][name]["payload"], "components": document["components"]}
    checker = jsonschema.Draft202012Validator(payload)
    event = {"specversion": "1.0", "id": "1", "source": "/s", "type": name, "data": as_json(sample(TYPES[name]))}
    checker.validate(event)
    for broken in ({**event, "type": "other"}, {**event, "id": ""}, {**event, "data": 5}):
        assert not checker.is_valid(broken)


def test_every_type_is_documented():
    assert all(message["summary"] for message in asyncapi("http://localhost")["components"]["messages"].values())
    assert all(get_type_hints(kind) for kind in TYPES.values())
