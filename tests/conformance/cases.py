"""Events as they arrive, with what a case of the specification changes of them."""

import json
from typing import Any

from events.codec import decode

CORE: dict[str, Any] = {"specversion": "1.0", "id": "1", "source": "/s", "type": "t"}


def binary(body=b"", content_type=None, *, drop=None, raw=(), **attributes):
    headers = [(f"ce-{name}".encode(), str(value).encode()) for name, value in {**CORE, **attributes}.items() if name != drop]
    headers += [(name.encode() if isinstance(name, str) else name, value) for name, value in raw]
    if content_type:
        headers.append((b"content-type", content_type.encode()))
    return decode(headers, body)[0]


def structured(content_type="application/cloudevents+json", headers=(), **members):
    return decode([*headers, (b"content-type", content_type.encode())], json.dumps({**CORE, **members}).encode())[0]
