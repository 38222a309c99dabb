"""``/results``: materialised inference by HTTP."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable

import msgspec

from infra.etags import weak
from infra.runtime.messages import Answer, Receive, Scope, Send, answer, body_of
from infra.serving.materialised import Held, Materialised
from infra.serving.results import Definition
from infra.serving.shelf import Unknown
from infra.serving.tensors import BadTensor

JSON = (b"content-type", b"application/json")


async def read(results: Materialised, name: str, scope: Scope, send: Send) -> None:
    """``GET /results/NAME``: the kept bytes, or 304. Raises ``Unknown``."""
    if not results.fresh(name):
        await asyncio.to_thread(results.reload, name)
    held = results.get(name)
    if held is None:
        raise Unknown(f"there is no result {name[:100]!r}; PUT /results/{name[:100]} makes one")
    status, headers, body = found(held, results.stale(name), scope["headers"])
    if status == 200:
        headers.append((b"content-length", b"%d" % len(body)))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def found(held: Held, stale: str, asked: Iterable[tuple[bytes, bytes]]) -> Answer:
    """The answer with a kept result, to a request with the headers ``asked``; without its length."""
    result = held.result
    headers = [
        JSON,
        (b"etag", result.etag.encode()),
        (b"age", b"%d" % max(0, time.time() - result.computed)),
        (b"cache-control", b"no-cache"),  # keep it, but ask whether it is still the same
        (b"sluice-model-version", b"%d" % result.version),
    ]
    if stale:
        headers.append((b"sluice-stale", " ".join(stale.split())[:200].encode("ascii", "replace")))
    for name, value in asked:
        if len(name) == 13 and name.lower() == b"if-none-match" and weak(value.decode("latin-1"), result.etag):
            return Answer(304, headers, b"")
    return Answer(200, headers, result.body)


async def listed(results: Materialised, send: Send) -> None:
    """``GET /results``."""
    await answer(send, 200, {"results": results.listed()})


async def define(results: Materialised, name: str, scope: Scope, receive: Receive, send: Send) -> None:
    """``PUT /results/NAME``: answers once the result is there. Raises what makes it impossible."""
    try:
        wanted = msgspec.json.decode(await body_of(scope["headers"], receive), type=Definition)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadTensor(f"the body is not what /results takes: {error}") from error
    known = results.get(name) is not None
    await asyncio.shield(asyncio.wrap_future(results.define(name, wanted)))
    await _told(results, name, send, 200 if known else 201)


async def refresh(results: Materialised, name: str, send: Send) -> None:
    """``POST /results/NAME/refresh``: answers once it is computed again. Raises what made that impossible."""
    if not results.fresh(name):
        await asyncio.to_thread(results.reload, name)
    await asyncio.shield(asyncio.wrap_future(results.refresh(name)))
    await _told(results, name, send, 200)


async def remove(results: Materialised, name: str, send: Send) -> None:
    """``DELETE /results/NAME``. Raises ``Unknown``."""
    if not await asyncio.to_thread(results.remove, name):
        raise Unknown(f"there is no result {name[:100]!r}")
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})


async def _told(results: Materialised, name: str, send: Send, status: int) -> None:
    held: Held | None = results.get(name)
    if held is None:
        raise Unknown(f"the result {name[:100]!r} was removed meanwhile")
    await answer(send, status, results.shown(name, held), (b"etag", held.result.etag.encode()))
