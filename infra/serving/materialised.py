"""Materialised inference: an answer is computed when something it depends on changes, and kept; asking for it infers nothing.

What is asked for while a computation waits is one computation, however many ask: nobody gets an answer that is older than the
question, and nothing is computed twice for one reason. One that fails leaves the last good answer in place, marked as stale.
"""

from __future__ import annotations

import hashlib
import io
import logging
import queue
import threading
import time
from concurrent.futures import Future
from fnmatch import fnmatchcase
from typing import Any

import msgspec
import numpy as np

from events.errors import Reject
from events.ports import NotFound, ObjectStore
from infra.serving import protocol
from infra.serving.model import Unable
from infra.serving.results import MODEL, OBJECT, Definition, Result, Results, checked
from infra.serving.shelf import Shelf, Unknown
from infra.serving.tensors import BadTensor

logger = logging.getLogger("sluice.serving")
#: The largest object that is taken as an input.
MOST = 64 << 20
#: For how long a result that other processes may change is answered from memory.
SHARED_SECONDS = 1.0
#: How a file in numpy's own format begins.
NUMPY_FILE = b"\x93NUMPY"
CATALOGUED = "dev.sluice.catalog.updated.v1"


class Held(msgspec.Struct):
    """A result in memory. ``due`` is the Unix time to compute it again (0: none); ``fault`` why the last computation failed."""

    result: Result
    read: float
    due: float
    fault: str = ""


class Materialised:
    """The results of one server. One thread computes; ``close`` ends it."""

    def __init__(self, shelf: Shelf, objects: ObjectStore, results: Results) -> None:
        self._shelf, self._objects, self._results = shelf, objects, results
        self._held: dict[str, Held] = {}
        self._waiting: dict[str, Future[Result]] = {}
        self._lock = threading.Lock()
        self._queue: queue.SimpleQueue[tuple[str, Definition | None, Future[Result]] | None] = queue.SimpleQueue()
        for name in results.names():
            self._load(name)
        self._thread = threading.Thread(target=self._run, name="materialise", daemon=True)
        self._thread.start()

    def get(self, name: str) -> Held | None:
        """The result as it is now, from memory."""
        return self._held.get(name)

    def fresh(self, name: str) -> bool:
        """Whether ``get`` may be believed; if not, ``reload`` first."""
        held = self._held.get(name)
        return not self._results.shared or (held is not None and time.monotonic() - held.read < SHARED_SECONDS)

    def reload(self, name: str) -> None:
        """Read a result again that another process may have changed; what is known is kept if that fails. Blocks."""
        try:
            self._load(name)
        except Exception as error:
            held = self._held.get(name)
            if held is None:
                raise Unable(f"the store of results cannot be asked: {error}") from error
            logger.warning("the result %s cannot be read again: %s", name, error)
            held.read = time.monotonic()

    def define(self, name: str, definition: Definition) -> Future[Result]:
        """Compute for the first time, and keep the definition if that works. Raises ``Reject``; so does the future."""
        definition.check()
        done: Future[Result] = Future()
        self._queue.put((checked(name), definition, done))
        return done

    def refresh(self, name: str) -> Future[Result]:
        """Compute again, together with everybody else who waits for it. Raises ``Unknown``."""
        if name not in self._held:
            raise Unknown(f"there is no result {name[:100]!r}")
        with self._lock:
            done = self._waiting.get(name)
            if done is None:
                done = self._waiting[name] = Future()
                self._queue.put((name, None, done))
        return done

    def remove(self, name: str) -> bool:
        """Forget a result; whether there was one."""
        self._held.pop(name, None)
        return self._results.remove(name)

    def told(self, kind: str, data: Any) -> None:
        """An event happened: refresh what it makes out of date. A model's own events are told by ``served``."""
        for name, held in list(self._held.items()):
            definition = held.result.definition
            changed = (
                kind == CATALOGUED
                and OBJECT in definition.trigger
                and isinstance(data, dict)
                and (data.get("bucket"), data.get("key")) == definition.place
                and (data.get("etag") != held.result.source or data.get("change") == "removed")
            )
            if changed or any("." in each and fnmatchcase(kind, each) for each in definition.trigger):
                self.refresh(name)

    def served(self, model: str) -> None:
        """A model was looked up: refresh what another version of it answered."""
        for name, held in list(self._held.items()):
            definition = held.result.definition
            if definition.model == model and MODEL in definition.trigger and not definition.version:
                try:
                    now = self._shelf.default(model)
                except Unknown:
                    continue
                if (now.version, now.record.digest) != (held.result.version, held.result.digest):
                    self.refresh(name)

    def catch_up(self) -> None:
        """Refresh what became out of date while nobody told. Blocks while it asks the store."""
        for name, held in list(self._held.items()):
            place = held.result.definition.place
            if place and OBJECT in held.result.definition.trigger:
                try:
                    current = self._objects.head(*place).etag
                except Exception as error:
                    logger.warning("the input of the result %s cannot be looked at: %s", name, error)
                    continue
                if current != held.result.source:
                    self.refresh(name)

    def listed(self) -> list[dict[str, Any]]:
        """All results, as ``GET /results`` tells them."""
        return [self.shown(name, held) for name, held in sorted(self._held.items())]

    def shown(self, name: str, held: Held) -> dict[str, Any]:
        """One result without its bytes."""
        result = held.result
        return {
            "name": name,
            "model": result.definition.model,
            "version": result.version,
            "etag": result.etag,
            "computed": result.computed,
            "age_s": round(max(0.0, time.time() - result.computed), 3),
            "size": len(result.body),
            "stale": self.stale(name),
            "trigger": result.definition.trigger,
            "every_s": result.definition.every_s,
        }

    def stale(self, name: str) -> str:
        """Why the result is not the latest it could be, or nothing."""
        held = self._held.get(name)
        return "being computed again" if name in self._waiting else held.fault if held else ""

    def close(self) -> None:
        """End the thread; what waits is left."""
        self._queue.put(None)
        self._thread.join(10)
        self._results.close()

    def _load(self, name: str) -> None:
        found = self._results.get(name)
        if found is None:
            self._held.pop(name, None)
            return
        held = self._held.get(name)
        every = found.definition.every_s
        self._held[name] = Held(found, time.monotonic(), every and found.computed + every, held.fault if held else "")

    def _run(self) -> None:
        while True:
            try:
                item = self._queue.get(timeout=self._next())
            except queue.Empty:
                self._by_time()
                continue
            if item is None:
                return
            name, definition, done = item
            if definition is None:
                with self._lock:
                    self._waiting.pop(name, None)
            self._one(name, definition, done)

    def _next(self) -> float | None:
        """Seconds until the next result is due by time."""
        due = [held.due for held in list(self._held.values()) if held.due]
        return max(0.0, min(due) - time.time()) if due else None

    def _by_time(self) -> None:
        now = time.time()
        for name, held in list(self._held.items()):
            if held.due and held.due <= now:
                held.due = now + held.result.definition.every_s
                self.refresh(name)

    def _one(self, name: str, definition: Definition | None, done: Future[Result]) -> None:
        if not done.set_running_or_notify_cancel():
            return
        held = self._held.get(name)
        wanted = definition or (held.result.definition if held else None)
        try:
            if wanted is None:
                raise Unknown(f"the result {name} was removed")
            result = self._compute(wanted)
            if definition is None and name not in self._held:
                raise Unknown(f"the result {name} was removed")
            self._results.put(name, result)
        except Exception as error:
            if definition is None and held is not None:
                held.fault = str(error)
                logger.warning("the result %s stays as it is: %s", name, error)
            done.set_exception(error)
            return
        self._held[name] = Held(result, time.monotonic(), wanted.every_s and time.time() + wanted.every_s)
        done.set_result(result)

    def _compute(self, wanted: Definition) -> Result:
        model = self._shelf.pick(wanted.model, wanted.version).model if wanted.version else self._shelf.default(wanted.model)
        source = ""
        if wanted.place is None:
            content = msgspec.json.encode(wanted.input)
        else:
            content, source = self._read(*wanted.place)
        request = _array(content, model.inputs) if content.startswith(NUMPY_FILE) else protocol.parse(content, None)
        model.check(request.inputs, request.outputs)
        outputs = model.run(request.inputs, request.outputs)
        body, _ = protocol.answer(msgspec.structs.replace(request, raw=False), wanted.model, model.version, outputs)
        return Result(
            definition=wanted,
            body=body,
            etag=f'"{hashlib.sha256(body).hexdigest()[:32]}"',
            computed=time.time(),
            version=model.version,
            digest=model.record.digest,
            source=source,
        )

    def _read(self, bucket: str, key: str) -> tuple[bytes, str]:
        try:
            info = self._objects.head(bucket, key)
            if info.size > MOST:
                raise Reject(f"s3://{bucket}/{key} has {info.size} bytes; an input has at most {MOST}")
            return b"".join(self._objects.stream(bucket, key, etag=info.etag)), info.etag
        except NotFound as error:
            raise Unknown(f"the input s3://{bucket}/{key} is not there") from error


def _array(content: bytes, inputs: dict[str, Any]) -> protocol.Request:
    if len(inputs) != 1:
        raise BadTensor(f"an array can only be the input of a model with one; this one takes {', '.join(inputs)}")
    try:
        array = np.load(io.BytesIO(content), allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise BadTensor(f"the input is no array that numpy can read: {error}") from error
    return protocol.Request("", {next(iter(inputs)): array}, None, False)
