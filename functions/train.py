"""Training: an agent is trained in a process of its own, and its model uploaded to a repository, which publishes it.

Below ``training/RUN/`` in the lake's own bucket lie its ``checkpoint``, which the next attempt begins from, its
``progress.json`` and its ``curve.svg``. ``RUN`` follows from the event, so a repetition goes on with the same training, and
ends with the same model. When it has ended, ``checkpoint.py`` removes the checkpoint.
"""

from __future__ import annotations

import hashlib
import importlib.util
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec

from events.errors import Reject
from events.event import Event
from events.models import Models, Repository
from events.ports import Changed, NotFound, ObjectStore, Settings, Stopping
from events.route import on
from events.types import ModelTrained, ObjectVersion, TrainingRequested
from functions.repository import layout, store
from functions.training.curve import svg, thinned
from functions.training.process import Process
from functions.training.settings import settings_of

#: Seconds between two writes of the progress, and between two of the checkpoint.
TELL, KEEP = 1.0, 2.0
#: Bytes of data that a training may ask for.
MOST = 1 << 30


@on("dev.sluice.training.requested.v1")
def train(
    event: Event, data: TrainingRequested, objects: ObjectStore, models: Models, settings: Settings, stopping: Stopping
) -> Iterator[Event]:
    """Train, and upload the model. Raises ``Reject`` for what cannot be trained here."""
    wanted = settings_of(data.agent, data.parameters)
    repository, name = _repository(models, data.repository), data.name or data.agent
    if layout.place(f"{name}/{layout.FILE}") != layout.Place(name):
        raise Reject(f"{name[:100]!r} cannot be the name of a model in {repository.name}")
    if importlib.util.find_spec("torch") is None:
        raise Reject("training needs PyTorch: pip install 'sluice[train]', then replay this event")
    run = run_of(event)
    with TemporaryDirectory(prefix="sluice-train-") as temporary:
        folder = Path(temporary)
        sources = [_fetch(address, objects, folder / f"data.{number}") for number, address in enumerate(data.data)]
        told = {"sluice.agent": data.agent, "sluice.run": run, "sluice.data": " ".join(data.data)}
        request = {"agent": data.agent, "parameters": data.parameters, "told": told, "data": len(sources)}
        (folder / "request.json").write_bytes(msgspec.json.encode(request))
        course = _Course(objects, settings.bucket, run, data.agent, folder, wanted.steps)
        metrics = course.follow(stopping)
        uploaded = _upload(objects, repository, name, (folder / layout.FILE).read_bytes())
    trained = ModelTrained(
        run=run,
        agent=data.agent,
        repository=repository.name,
        name=name,
        result=uploaded,
        objects=sources,
        parameters=msgspec.to_builtins(wanted),
        metrics=metrics,
    )
    yield event.reply(trained, subject=f"{repository.name}/{name}")


def run_of(event: Event) -> str:
    """The name of the training that an event asks for."""
    return hashlib.blake2b(event.key.encode(), digest_size=12).hexdigest()


class _Course:
    """One training under way, and what the lake keeps of it."""

    def __init__(self, objects: ObjectStore, bucket: str, run: str, agent: str, folder: Path, total: int) -> None:
        self._objects, self._bucket, self._prefix, self._folder = objects, bucket, f"training/{run}/", folder
        self._told: dict[str, Any] = {"run": run, "agent": agent, "total": total}
        self._points: list[dict[str, float]] = []
        self._kept = self._shown = time.monotonic()

    def follow(self, stopping: Stopping) -> dict[str, float]:
        """Train from the last checkpoint to the end; the metrics."""
        self._resume()
        self._show("running")
        with Process(self._folder) as process:
            for said in process.lines(stopping):
                if "checkpoint" in said:
                    self._keep()
                elif "metrics" in said:
                    metrics: dict[str, float] = said["metrics"]
                else:
                    self._points.append(said)
                    if time.monotonic() - self._shown >= TELL:
                        self._show("running")
        self._show("trained", metrics)
        title = f"{self._told['agent']}: success of {self._told['run']}"
        self._objects.write(
            self._bucket, f"{self._prefix}curve.svg", svg(title, self._points).encode(), content_type="image/svg+xml"
        )
        return metrics

    def _resume(self) -> None:
        """One object holds the networks and the curve up to there: it is the last one or the one before, never a mixture."""
        try:
            kept = msgspec.msgpack.decode(b"".join(self._objects.stream(self._bucket, f"{self._prefix}checkpoint")))
            self._points = kept["points"]
            (self._folder / "checkpoint").write_bytes(kept["state"])
        except NotFound:
            return
        except (msgspec.DecodeError, KeyError, TypeError) as error:
            raise Reject(f"s3://{self._bucket}/{self._prefix}checkpoint is none: remove it, then replay this event") from error

    def _keep(self) -> None:
        if time.monotonic() - self._kept < KEEP:
            return
        kept = msgspec.msgpack.encode({"points": self._points, "state": (self._folder / "checkpoint").read_bytes()})
        self._objects.write(self._bucket, f"{self._prefix}checkpoint", kept)
        self._kept = time.monotonic()

    def _show(self, state: str, metrics: dict[str, float] | None = None) -> None:
        self._shown = time.monotonic()
        document = {**self._told, "state": state, "metrics": metrics or {}, "points": thinned(self._points)}
        content = msgspec.json.encode(document)
        self._objects.write(self._bucket, f"{self._prefix}progress.json", content, content_type="application/json")


def _repository(models: Models, name: str) -> Repository:
    known = models.repositories()
    found = [each for each in known if not name or each.name == name]
    if len(found) != 1:
        names = ", ".join(each.name for each in known) or "none"
        raise Reject(f"the request must name one of the model repositories: {names}; it names {name[:60] or 'none'!r}")
    return found[0]


def _fetch(address: str, objects: ObjectStore, file: Path) -> ObjectVersion:
    """Copy an object to a file. Raises ``Reject``."""
    bucket, _, key = address.removeprefix("s3://").partition("/")
    if not address.startswith("s3://") or not key:
        raise Reject(f"{address[:200]!r} is no address of an object: s3://BUCKET/KEY")
    try:
        info = objects.head(bucket, key)
        if info.size > MOST:
            raise Reject(f"{address} has {info.size} bytes; a training takes objects of at most {MOST}")
        with file.open("wb") as out:
            for chunk in objects.stream(bucket, key, etag=info.etag):
                out.write(chunk)
    except (NotFound, Changed) as error:
        raise Reject(f"{address} is not there, or was just overwritten: {error}") from error
    return ObjectVersion(bucket=bucket, key=key, etag=info.etag, size=info.size, version=info.version)


def _upload(objects: ObjectStore, repository: Repository, name: str, content: bytes) -> ObjectVersion:
    """Upload as people do: the sidecar first, then the model."""
    key = f"{repository.prefix}{name}/{layout.FILE}"
    info = store.write(objects, repository, key, content, "application/onnx")
    return ObjectVersion(bucket=repository.bucket, key=key, etag=info.etag, size=info.size, version=info.version)
