"""Materialised inference: an answer is computed when something it depends on changes, and kept; asking for it infers nothing.

What is asked for while a computation waits is one computation, however many ask: nobody gets an answer that is older than the
question, and nothing is computed twice for one reason, by however many servers of one store. One that fails leaves the last
good answer in place, marked as stale; and while nobody can tell whether it is stale, that is what is told.
"""

from __future__ import annotations

import hashlib
import io
import logging
import queue
import threading
import time
import uuid
from concurrent.futures import Future
from typing import Any

import msgspec
import numpy as np

from events.errors import Reject
from events.pattern import matcher
from events.ports import NotFound, ObjectStore
from infra.serving import protocol
from infra.serving.model import OnnxModel, Unable
from infra.serving.results import MODEL, OBJECT, Definition, Result, Results, checked
from infra.serving.shelf import Shelf, Unknown
from infra.serving.tensors import BadTensor

logger = logging.getLogger("sluice.serving")
#: The largest object that is taken as an input.
MOST = 64 << 20
#: For how long a result that other processes may change is answered from memory.
SHARED_SECONDS = 1.0
#: For how long nobody else computes what one server does, and how often the others look.
LEASE_SECONDS, LOOK_SECONDS = 60.0, 0.1
#: One event reaches several servers at times, and by clocks, that differ by no more.
SAME_SECONDS = 2.0
#: How a file in numpy's own format begins.
NUMPY_FILE = b"\x93NUMPY"
CATALOGUED = "dev.sluice.catalog.updated.v1"


class Held(msgspec.Struct):
    """A result in memory. ``due`` is the Unix time to compute it again (0: none); ``fault`` why the last computation failed;
    ``blind`` since when its input cannot be looked at (0: it can).
    """

    result: Result
    read: float
    due: float
    fault: str = ""
    blind: float = 0.0


class _Job(msgspec.Struct):
    """A computation that waits since ``asked``: of a new ``definition``, or once more."""

    name: str
    definition: Definition | None
    done: Future[Result]
    asked: float


class Materialised:
    """The results of one server. One thread computes; ``close`` ends it."""

    def __init__(self, shelf: Shelf, objects: ObjectStore, results: Results) -> None:
        self._shelf, self._objects, self._results = shelf, objects, results
        self._held: dict[str, Held] = {}
        self._waiting: dict[str, Future[Result]] = {}
        self._lock = threading.Lock()
        self._queue: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._owner = uuid.uuid4().hex
        self._elsewhere: list[_Job] = []  # what another server computes at the moment
        self._computing, self._blind = "", 0.0
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
        self._queue.put(_Job(checked(name), definition, done, time.time()))
        return done

    def refresh(self, name: str) -> Future[Result]:
        """Compute again, together with everybody else who waits for it. Raises ``Unknown``."""
        if name not in self._held:
            raise Unknown(f"there is no result {name[:100]!r}")
        with self._lock:
            done = self._waiting.get(name)
            if done is None:
                done = self._waiting[name] = Future()
                self._queue.put(_Job(name, None, done, time.time()))
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
            if changed or matcher(each for each in definition.trigger if "." in each)(kind):
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
                except NotFound:
                    current = ""  # it was removed: computing again tells so
                except Exception as error:
                    logger.warning("the input of the result %s cannot be looked at: %s", name, error)
                    held.blind = held.blind or time.time()
                    continue
                held.blind = 0.0
                if current != held.result.source:
                    self.refresh(name)

    def seen(self, *, all_of_it: bool) -> None:
        """Whether the server hears of whatever makes results out of date, or does not from now on."""
        self._blind = 0.0 if all_of_it else self._blind or time.time()

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
        """Why the result is not the latest it could be, or since when that cannot be known, or nothing."""
        held = self._held.get(name)
        if name in self._waiting or name == self._computing:
            return "being computed again"
        if held is None or held.fault:
            return held.fault if held else ""
        since = held.blind or self._blind
        return (
            f"cannot be known since {time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime(since))}"
            if since and held.result.definition.trigger
            else ""
        )

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
        held, every = self._held.get(name), found.definition.every_s
        made = Held(found, time.monotonic(), every and found.computed + every)
        if held is not None and (held.result.computed, held.result.by) == (found.computed, found.by):
            made.fault, made.blind = held.fault, held.blind
        self._held[name] = made

    def _run(self) -> None:
        look = 0.0
        while True:
            if self._elsewhere and time.monotonic() >= look:
                for each in self._elsewhere:
                    self._queue.put(each)
                self._elsewhere.clear()
            try:
                job = self._queue.get(timeout=self._next())
            except queue.Empty:
                self._by_time()
                continue
            if job is None:
                return
            if job.definition is not None:
                self._one(job)
            elif self._claimed(job.name):
                self._computing = job.name
                with self._lock:
                    self._waiting.pop(job.name, None)
                try:
                    self._one(job)
                finally:
                    self._computing = ""
                    self._release(job.name)
            else:
                look = look if self._elsewhere else time.monotonic() + LOOK_SECONDS
                self._elsewhere.append(job)

    def _claimed(self, name: str) -> bool:
        try:
            return self._results.claim(name, self._owner, LEASE_SECONDS)
        except Exception as error:  # it will fail again when the result is to be kept, and be told then
            logger.warning("nobody can say who computes the result %s: %s", name, error)
            return True

    def _release(self, name: str) -> None:
        try:
            self._results.release(name, self._owner)
        except Exception as error:
            logger.warning("others will wait for the result %s until the lease ends: %s", name, error)

    def _next(self) -> float | None:
        """Seconds until the next result is due by time."""
        due = [held.due for held in list(self._held.values()) if held.due]
        wait = max(0.0, min(due) - time.time()) if due else None
        return wait if not self._elsewhere else LOOK_SECONDS if wait is None else min(wait, LOOK_SECONDS)

    def _by_time(self) -> None:
        now = time.time()
        for name, held in list(self._held.items()):
            if held.due and held.due <= now:
                held.due = now + held.result.definition.every_s
                self.refresh(name)

    def _one(self, job: _Job) -> None:
        if not job.done.set_running_or_notify_cancel():
            return
        name, definition, held = job.name, job.definition, self._held.get(job.name)
        try:
            result = self._made(name, definition) if definition else self._others(job) or self._made(name, None)
        except Exception as error:
            if definition is None and held is not None:
                held.fault = str(error)
                logger.warning("the result %s stays as it is: %s", name, error)
            self._computing = ""
            job.done.set_exception(error)
            return
        every = result.definition.every_s
        self._held[name] = Held(result, time.monotonic(), every and time.time() + every)
        self._computing = ""
        job.done.set_result(result)

    def _made(self, name: str, definition: Definition | None) -> Result:
        """The result, computed and kept; or the one of another server that began later. Raises ``Unknown``."""
        held = self._held.get(name)
        wanted = definition or (held.result.definition if held else None)
        if wanted is None:
            raise Unknown(f"the result {name} was removed")
        result = self._compute(wanted)
        if definition is None and name not in self._held:
            raise Unknown(f"the result {name} was removed")
        if self._results.put(name, result, again=definition is None):
            return result
        newer = self._results.get(name)
        if newer is None:
            self._held.pop(name, None)
            raise Unknown(f"the result {name} was removed")
        return newer

    def _others(self, job: _Job) -> Result | None:
        """What another server has just computed for the same reason, of what is there now."""
        found = self._results.get(job.name)
        if found is None or found.by in ("", self._owner) or found.began < job.asked - SAME_SECONDS:
            return None
        wanted = found.definition
        try:
            now = self._answering(wanted)
            source = self._objects.head(*wanted.place).etag if wanted.place else ""
        except Exception:  # computing will fail in the same way, and say why
            return None
        same = (found.version, found.digest, found.source) == (now.version, now.record.digest, source)
        return found if same else None

    def _answering(self, wanted: Definition) -> OnnxModel:
        return self._shelf.pick(wanted.model, wanted.version).model if wanted.version else self._shelf.default(wanted.model)

    def _compute(self, wanted: Definition) -> Result:
        model, source, began = self._answering(wanted), "", time.time()
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
            began=began,
            by=self._owner,
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
