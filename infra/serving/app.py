"""The Open Inference Protocol v2 by HTTP, as a plain ASGI application.

Wrong shapes and types are 400, unknown models 404, a model that failed or took too long 500; every error is
``{"error": "..."}``. The repository's routes tell and change what is served, so they want the token; without one, changes are
only taken where nobody but this machine can ask for them. A CloudEvent (``model.published``, ``model.promoted``) posted to
``/`` has the model looked up again.

Source: Open Inference Protocol v2 with its extensions ``model_repository`` and ``binary_tensor_data``.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
from collections.abc import Collection, Sequence
from functools import lru_cache
from typing import Any
from urllib.parse import unquote

import msgspec

from events.errors import Reject, Retry, SluiceError
from functions.repository.layout import ALIASES, touched
from functions.repository.sidecar import Unverified
from infra.models.loader import Loader
from infra.runtime.messages import Receive, Scope, Send, TooLarge, answer, body_of
from infra.serving import protocol, result_routes
from infra.serving.batcher import Closed
from infra.serving.materialised import Materialised
from infra.serving.model import OnnxModel
from infra.serving.shelf import Shelf, Unknown
from infra.serving.tensors import Array, BadTensor

logger = logging.getLogger("sluice.serving")
MAX_BODY = 256 << 20
#: JSON beyond this takes so long to read that others must have their turn in between.
LARGE = 64 << 10
EXTENSIONS = ["binary_tensor_data", "model_repository"]
ANNOUNCED = ("dev.sluice.model.published.v1", "dev.sluice.model.promoted.v1")
UPDATED = "dev.sluice.catalog.updated.v1"
#: A model of this name belongs to the protocol's routes.
INFER = "infer"
TOKENLESS = (
    "without a token, models and results can only be changed on a server that listens on 127.0.0.1: set serving.token "
    "(SLUICE_SERVING_TOKEN) and send it as Authorization: Bearer TOKEN"
)


class Serving:
    """The application over a shelf that loads from one repository: ``only`` these models, or all.

    ``trusting`` says that whoever reaches it may change what is served, if there is no ``token``.
    """

    def __init__(
        self,
        shelf: Shelf,
        loader: Loader,
        token: str = "",
        only: Collection[str] = (),
        results: Materialised | None = None,
        *,
        trusting: bool = False,
    ) -> None:
        self.shelf, self.repository, self._loader, self._token = shelf, loader.repository, loader, token.encode()
        self._only, self._trusting = frozenset(only), trusting
        self.results = results
        self._turn = asyncio.Lock()
        #: The models to serve; ``None`` until the repository was looked at.
        self._wanted: list[str] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise RuntimeError(f"only HTTP is spoken here, not {scope['type']!r}; start the server with lifespan off")
        try:
            await self._route(scope, receive, send)
        except BadTensor as error:
            await answer(send, 400, {"error": str(error)})
        except Unknown as error:
            await answer(send, 404, {"error": str(error)})
        except TooLarge as error:
            await answer(send, 413, {"error": str(error)})
        except _Compressed as error:
            await answer(send, 415, {"error": str(error)})
        except _Forbidden as error:
            challenge = [(b"www-authenticate", b"Bearer")] if error.status == 401 else []
            await answer(send, error.status, {"error": str(error)}, *challenge)
        except Unverified as error:
            await answer(send, 500, {"error": str(error)})
        except Reject as error:
            await answer(send, 400, {"error": str(error)})
        except Retry as error:
            await answer(send, 503, {"error": str(error)})
        except SluiceError as error:
            await answer(send, 500, {"error": str(error)})
        except ConnectionResetError:
            return
        except Exception:
            logger.exception("a request to %s failed", scope["path"])
            await answer(send, 500, {"error": "a fault of the server; its log has it"})

    async def _route(self, scope: Scope, receive: Receive, send: Send) -> None:
        method, steps = scope["method"], _steps(scope)
        if method == "HEAD":
            method = "GET"  # the server leaves the body away
        match method, steps:
            case "POST", ["v2", "models", *rest] if rest[-1:] == [INFER]:
                await self._infer(scope, rest[:-1], receive, send)
            case "GET", ["v2", "health", "live"] | ["healthz"]:
                await answer(send, 200, {"live": True})
            case "GET", ["v2", "health", "ready"] | ["readyz"]:
                missing = self.missing()
                await answer(send, 503 if missing else 200, {"ready": not missing, **({"reason": missing} if missing else {})})
            case "GET", ["v2"]:
                from importlib.metadata import version as version_of  # see _announced

                await answer(send, 200, {"name": "sluice", "version": version_of("sluice"), "extensions": EXTENSIONS})
            case "GET", ["v2", "models", *rest] if rest[-1:] == ["ready"] and rest[:-1]:
                name, version = _named(rest[:-1])
                self.shelf.pick(name, version)
                await answer(send, 200, {"name": name, "ready": True})
            case "GET", ["v2", "models", *rest] if rest:
                name, version = _named(rest)
                await answer(send, 200, self.shelf.pick(name, version).model.metadata(self.shelf.versions(name)))
            case "POST", ["v2", "repository", "index"]:
                if self._token:
                    self._allow(scope)
                await answer(send, 200, self._index(_only_ready(await body_of(scope["headers"], receive))))
            case "POST", ["v2", "repository", "models", *rest] if len(rest) > 1 and rest[-1] in ("load", "unload"):
                await self._change("/".join(rest[:-1]), rest[-1], scope, receive, send)
            case _, ["results", *rest] if self.results is not None:
                await self._kept(self.results, rest, scope, receive, send)
            case "POST", []:
                await self._announced(scope, receive, send)
            case _:
                await answer(send, 404, {"error": f"nothing is at {method} {scope['path'][:200]}"})

    async def _infer(self, scope: Scope, rest: list[str], receive: Receive, send: Send) -> None:
        name, version = _named(rest)
        headers = dict(scope["headers"])
        if (coding := headers.get(b"content-encoding", b"identity").lower()) != b"identity":
            raise _Compressed(f"the body is compressed ({coding.decode('latin-1')[:20]}): send it as it is")
        body = await body_of(scope["headers"], receive, MAX_BODY)
        length = headers.get(protocol.LENGTH)
        if length is not None and not (length.isdigit() and len(length) < 12):
            raise BadTensor("Inference-Header-Content-Length must be a whole number")
        request = await self._parsed(body, None if length is None else int(length))
        model, outputs = await self._ask(name, version, request)
        text, told = protocol.answer(request, name, model.version, outputs)
        told.append((b"content-length", str(len(text)).encode()))
        await send({"type": "http.response.start", "status": 200, "headers": told})
        await send({"type": "http.response.body", "body": text})

    async def _parsed(self, body: bytes, header: int | None) -> protocol.Request:
        """The request; of those with large JSON one in a turn of the event loop, so that health does not wait for all."""
        if (len(body) if header is None else header) <= LARGE:
            return protocol.parse(body, header)
        async with self._turn:
            await asyncio.sleep(0)
            return protocol.parse(body, header)

    async def _ask(self, name: str, version: str, request: protocol.Request) -> tuple[OnnxModel, dict[str, Array]]:
        """Who answered, and what. A version that is being replaced at this very moment sends on to the one in its place."""
        while True:
            batcher = self.shelf.pick(name, version)
            batcher.model.check(request.inputs, request.outputs)
            try:
                return batcher.model, await batcher.infer(request.inputs, request.outputs)
            except Closed:
                continue

    def missing(self) -> str:
        """Why the server is not ready, or nothing.

        All models that it was told to serve must be; of those that it found by itself one, as a broken one of many is no reason
        to take the others from their users.
        """
        if self._wanted is None:
            return "the repository was not looked at yet"
        served = set(self.shelf.names)
        away = [name for name in self._wanted if name not in served and not self.shelf.unloaded(name)]
        if not away or (not self._only and served):
            return ""
        found = self.shelf.faults.get(away[0])
        return f"no version of {away[0]} is served: {found[0].cause if found else 'there is none in the repository'}"

    def _index(self, only_ready: bool) -> list[dict[str, Any]]:
        loaded = [
            {"name": name, "version": str(version), "state": "READY", "reason": ""}
            for name in self.shelf.names
            for version in self.shelf.versions(name)
        ]
        faults = [
            {"name": name, "version": str(each.version or ""), "state": "UNAVAILABLE", "reason": each.cause}
            for name, found in sorted(self.shelf.faults.items())
            for each in found
        ]
        return loaded if only_ready else [*loaded, *faults]

    async def _change(self, name: str, how: str, scope: Scope, receive: Receive, send: Send) -> None:
        self._allow(scope)
        body = await body_of(scope["headers"], receive)
        if how == "unload":
            await asyncio.to_thread(self.shelf.unload, name)
        else:
            if self._only and name not in self._only:
                raise Unknown(f"the model {name[:100]!r} is none of those that this server is to serve (serving.models)")
            await asyncio.to_thread(self._load, name, _version_in(body))
        await answer(send, 200, {"name": name, "state": "READY" if how == "load" else "UNAVAILABLE"})

    def _load(self, name: str, version: int) -> None:
        self._look(name)
        self.shelf.load(name, version)

    async def _announced(self, scope: Scope, receive: Receive, send: Send) -> None:
        """A subscription's delivery. What cannot be loaded is no reason to send the event again."""
        self._allow(scope)
        from events.ingress import read  # the first answers of a start wait for nothing that they do not need

        received = read(scope["headers"], await body_of(scope["headers"], receive))
        if received.rejects:
            await answer(send, 400, {"error": str(received.rejects[0].error)})
            return
        for event in received.events:
            await asyncio.to_thread(self.announced, event.type, event.data)
        await answer(send, 202, {"accepted": len(received.events)})

    def announced(self, kind: str, data: object) -> None:
        """Act on an event: another version of a model is there or to be served, or results are out of date."""
        if kind in ANNOUNCED:
            ours = isinstance(data, dict) and data.get("repository") == self.repository.name
            if isinstance(data, dict) and ours and isinstance(data.get("name"), str):
                self.follow(data["name"])
        elif kind == UPDATED and isinstance(data, dict) and data.get("bucket") == self.repository.bucket:
            self._changed(str(data.get("key", "")))
        if self.results is not None:
            self.results.told(kind, data)

    def _changed(self, key: str) -> None:
        """An object of the repository is other than it was: an alias was written now, or what was damaged is mended."""
        name = touched(key[len(self.repository.prefix) :]) if self._loader.owns(key) else ""
        if name and (name in self.shelf.faults or f"/{ALIASES}/" in key):
            self.follow(name)

    def refresh(self) -> None:
        """Look everything up again."""
        if self.shelf.published is not None:
            self.shelf.published.look()
        found = self._loader.names()
        for name in sorted({*found, *self.shelf.names}):
            self._follow(name)
        self._wanted = sorted(self._only) or found
        if self.results is not None:
            self.results.catch_up()

    def hearing(self, *, all_of_it: bool) -> None:
        """Whether whatever makes results out of date is told from now on, or not."""
        if self.results is not None:
            self.results.seen(all_of_it=all_of_it)

    def follow(self, name: str) -> bool:
        """Serve what is to be served of a model now; whether that worked. Blocks while it loads."""
        self._look(name)
        return self._follow(name)

    def _look(self, name: str) -> None:
        """Ask the lake what it has published of a model; as it told last, where it cannot be asked."""
        if self.shelf.published is not None:
            try:
                self.shelf.published.look(name)
            except Exception as error:
                logger.warning("the lake cannot be asked what it has published of %s: %s", name, error)

    def _follow(self, name: str) -> bool:
        if (self._only and name not in self._only) or self.shelf.unloaded(name):
            return False
        try:
            self.shelf.update(name)
        except Exception as error:
            logger.error("the model %s stays as it is: %s", name, error)
            return False
        if self._wanted is not None and name not in self._wanted:
            self._wanted = sorted([*self._wanted, name])
        if self.results is not None:
            self.results.served(name)
        return True

    async def _kept(self, results: Materialised, rest: Sequence[str], scope: Scope, receive: Receive, send: Send) -> None:
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        if method != "GET":
            self._allow(scope)
        match method, rest:
            case "GET", [name]:
                await result_routes.read(results, name, scope, send)
            case "GET", []:
                await result_routes.listed(results, send)
            case "PUT", [name]:
                await result_routes.define(results, name, scope, receive, send)
            case "POST", [name, "refresh"]:
                await result_routes.refresh(results, name, send)
            case "DELETE", [name]:
                await result_routes.remove(results, name, send)
            case _:
                await answer(send, 404, {"error": f"nothing is at {method} {scope['path'][:200]}"})

    def _allow(self, scope: Scope) -> None:
        """Raises ``_Forbidden`` for whoever may not change what is served."""
        if not self._token:
            if not self._trusting:
                raise _Forbidden(403, TOKENLESS)
            return
        given = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
        if not hmac.compare_digest(given, b"Bearer " + self._token):
            raise _Forbidden(401, "send the token: Authorization: Bearer TOKEN")


class _Compressed(SluiceError):
    """A body in a coding that is not taken. HTTP status 415."""


class _Forbidden(SluiceError):
    """Who asks may not. HTTP status 401, or 403 where nobody may."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


def _steps(scope: Scope) -> tuple[str, ...]:
    path = scope.get("raw_path")
    return _split(scope["path"] if not path else path.decode("latin-1").partition("?")[0])


@lru_cache(1024)
def _split(path: str) -> tuple[str, ...]:
    return tuple(unquote(step) for step in path.split("/") if step)


def _named(rest: list[str]) -> tuple[str, str]:
    """Name (which may have several steps) and version (empty: the default one) of a model's path."""
    if len(rest) > 2 and rest[-2] == "versions":
        return "/".join(rest[:-2]), rest[-1]
    return "/".join(rest), ""


class _Wanted(msgspec.Struct):
    version: int | str | None = None


class _Load(msgspec.Struct):
    parameters: _Wanted | None = None


def _version_in(body: bytes) -> int:
    """The version that a load asks for in its ``parameters``, 0 for the default one. Raises ``BadTensor``."""
    try:
        wanted = msgspec.json.decode(body or b"{}", type=_Load).parameters
        return int(wanted.version or 0) if wanted else 0
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise BadTensor(f'load takes nothing, or {{"parameters": {{"version": N}}}}: {error}') from error


def _only_ready(body: bytes) -> bool:
    """Whether only models that are ready are asked for. Raises ``BadTensor``."""
    try:
        return msgspec.json.decode(body or b"{}", type=dict[str, Any]).get("ready") is True
    except (msgspec.MsgspecError, RecursionError) as error:
        raise BadTensor(f'the index takes nothing, or {{"ready": true}}: {error}') from error
