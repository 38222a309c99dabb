"""``sluice train``: ask for trainings, and follow them."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from events.event import Event, now
from events.ports import NotFound
from events.types import TrainingRequested
from functions.training.curve import line, svg
from functions.training.settings import settings_of
from infra.console.client import Client, Complaint
from infra.console.progress import Progress
from infra.console.session import Session, command

#: Seconds between two looks at how far a training is.
LOOK = 0.5
TRAINED, FAILED = "dev.sluice.model.trained.v1", "dev.sluice.delivery.failed.v1"
PUBLISHED, REJECTED = "dev.sluice.model.published.v1", "dev.sluice.model.rejected.v1"


@command
def train(
    session: Session,
    agents: Annotated[list[str], typer.Argument(metavar="AGENT...", help="What to train: evacuation, flood.")],
    parameters: Annotated[list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="A parameter.")] = None,
    on: Annotated[list[str] | None, typer.Option(metavar="s3://BUCKET/KEY", help="What to learn from.")] = None,
    name: Annotated[str, typer.Option(help="The model's name, if not the agent's.", show_default=False)] = "",
    repository: Annotated[str, typer.Option(help="The repository, if there are several.", show_default=False)] = "",
    curve: Annotated[Path | None, typer.Option(metavar="FILE.svg", help="Draw the curve there.", show_default=False)] = None,
    follow: Annotated[bool, typer.Option("--follow/--no-follow", help="Wait for the model.")] = True,
) -> None:
    """Train agents in the lake and publish their models. Stopping this command does not stop the training."""
    from infra.serving.server import end

    given = dict(_pair(text) for text in parameters or [])
    wanted = [
        TrainingRequested(agent=agent, name=name, repository=repository, parameters=given, data=on or []) for agent in agents
    ]
    for each in wanted:
        settings_of(each.agent, each.parameters)
    if name and len(wanted) > 1:
        raise Complaint("--name is for one agent")
    with session.api() as api:
        after = end(api)
        asked = [_ask(api, each) for each in wanted]
        if not follow:
            events = [each.id for each in asked]
            session.answer({"asked": events}) if session.json else typer.echo("\n".join(events))
            return
        found = [_follow(session, api, each, after) for each in asked]
    if curve is not None:
        curve.write_text(svg(", ".join(agents), found[0]["points"]), encoding="utf-8")
    if session.json:
        session.answer({"trainings": [{name: value for name, value in each.items() if name != "points"} for each in found]})


def _ask(api: Client, wanted: TrainingRequested) -> Event:
    event = Event(
        id=str(uuid.uuid4()),
        source="/sluice/console",
        type="dev.sluice.training.requested.v1",
        subject=f"{wanted.repository}/{wanted.name or wanted.agent}",
        time=now(),
        datacontenttype="application/json",
        data=msgspec.to_builtins(wanted),
    )
    api.send(event)
    return event


def _follow(session: Session, api: Client, event: Event, after: int) -> dict[str, Any]:
    """Wait for the model of one request; its version, metrics and curve. Raises ``Complaint`` for a training that failed."""
    shown = _Shown(session, event)
    for each in _news(api, after, shown):
        data = each["data"]
        if each["type"] == FAILED and data["event"] == event.id:
            raise Complaint(f"the training failed: {data['cause']}")
        if each["type"] == TRAINED and each.get("causationid") == event.id:
            shown.trained = data
        elif shown.trained and data.get("name") == shown.trained["name"] and data["repository"] == shown.trained["repository"]:
            if each["type"] == PUBLISHED and (data.get("metadata") or {}).get("properties", {}).get("sluice.run") == shown.run:
                return shown.end(data)
            if each["type"] == REJECTED:
                raise Complaint(f"the model was trained, but the repository rejected it: {data['cause']}")
    raise Complaint("the lake stopped; the training goes on when it is started again")


def _news(api: Client, after: int, shown: _Shown) -> Iterator[dict[str, Any]]:
    """What is said of models and of failures, with a look at the progress in between."""
    while True:
        page = api.get("/events", after=after, type="dev.sluice.*", limit=1000)["events"]
        for each in page:
            after = each["seq"]
            if each["event"]["type"] in (TRAINED, FAILED, PUBLISHED, REJECTED):
                yield each["event"]
        if not page:
            shown.look()
            time.sleep(LOOK)


class _Shown:
    """The progress of one training, read from the lake's own bucket; without keys of its store there is none to be seen."""

    def __init__(self, session: Session, event: Event) -> None:
        from functions.train import run_of
        from infra.objects.s3 import S3Store

        self.run, self._session, self._agent = run_of(event), session, str(event.data["agent"])
        self.trained: dict[str, Any] = {}
        self._told: dict[str, Any] = {}
        self._bar: Progress | None = None
        self._done = 0.0
        try:
            self._store: S3Store | None = S3Store(*session.store())
        except Complaint:
            self._store = None

    def look(self) -> None:
        """Show how far it is."""
        if self._store is None:
            return
        try:
            found = b"".join(self._store.stream(self._session.config.bucket, f"training/{self.run}/progress.json"))
        except NotFound:
            return
        self._told = msgspec.json.decode(found)
        points = self._told["points"]
        if self._bar is None:
            total, session = self._told["total"], self._session
            self._bar = Progress(f"training {self._agent}", total, session.err, quiet=session.json, unit="steps")
            self._bar.__enter__()
        steps = points[-1]["steps"] if points else 0.0
        if steps > self._done:
            self._bar.advance(steps - self._done)
            self._done = steps

    def end(self, version: dict[str, Any]) -> dict[str, Any]:
        """Show what came of it."""
        self.look()
        if self._bar is not None:
            self._bar.__exit__()
        if self._store is not None:
            self._store.close()
        points, metrics = self._told.get("points", []), self.trained["metrics"]
        answer = {
            "run": self.run, "repository": version["repository"], "name": version["name"], "version": version["version"],
            "digest": version["digest"], "metrics": metrics, "points": points,
        }  # fmt: skip
        if not self._session.json:
            if points:
                typer.echo(f"success {line([each['success'] for each in points])} over {points[-1]['steps']:,.0f} steps")
            typer.echo(", ".join(f"{name} {value:.1%}" for name, value in metrics.items()))
            typer.echo(f"published {version['repository']}/{version['name']} version {version['version']}")
        return answer


def _pair(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals:
        raise Complaint(f"{text!r} is no parameter: --set NAME=VALUE")
    try:
        return name, msgspec.json.decode(value)
    except msgspec.DecodeError:
        return name, value
