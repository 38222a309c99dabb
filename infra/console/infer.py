"""``sluice infer``: one version of a model over the objects of the lake, as a planned map."""

from __future__ import annotations

import tempfile
import uuid
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from events.event import Event, now
from events.types import InferenceCompleted, ObjectVersion
from infra.console import address, text
from infra.console.client import Complaint
from infra.console.plan import Deadline, Memory, Objective, Slices, Workers
from infra.console.session import Session, command, mapping


@command
def infer(
    session: Session,
    objects: Annotated[list[str], typer.Argument(metavar="s3://BUCKET/KEY...")],
    model: Annotated[str, typer.Option(metavar="NAME[@ALIAS|:VERSION]", help="The model; else as the server means it.")],
    into: Annotated[str, typer.Option(metavar="s3://BUCKET/KEY.parquet", help="Where the results go.")],
    columns: Annotated[str, typer.Option(help="The columns that are its input, joined by commas.", show_default=False)] = "",
    rows: Annotated[int, typer.Option(min=1, help="Rows of one run.")] = 256,
    repository: Annotated[str, typer.Option(help="The repository, if there are several.", show_default=False)] = "",
    objective: Objective = "balanced",
    deadline: Deadline = None,
    slices: Slices = 0,
    workers: Workers = 0,
    memory: Memory = 0,
) -> None:
    """Infer every row of objects with one version of a model, by a planned map; the results become one Parquet object."""
    from infra.models.loader import Loader
    from infra.objects.s3 import S3Store
    from infra.runtime.lithops import SluiceExecutor
    from infra.serving import batch
    from infra.serving.model import unavailable
    from infra.serving.published import Published
    from infra.serving.server import repository_of

    bucket, key = address.full(into)
    if key.endswith("/"):
        raise Complaint(f"{into} is a prefix: name the object, such as {into}results.parquet")
    for each in objects:
        if address.full(each) == (bucket, key):
            raise Complaint(f"{into} is one of the objects to infer from: write somewhere else")
    config = session.config
    serving = msgspec.structs.replace(config.serving, repository=repository or config.serving.repository)
    if why := unavailable(serving.devices):
        raise Complaint(f"sluice.serving.devices is {list(serving.devices)}, but {why}")
    where = repository_of(msgspec.structs.replace(config, serving=serving))
    store, file = S3Store(*session.store()), str(session.config_file) if session.config_file else None
    try:
        with session.api() as api:
            published = Published(api, where.name)
            published.look()
        found = batch.chosen(Loader(store, where, config.models), model, serving.alias, published)
        options = batch.Options(
            tuple(serving.devices), serving.threads, serving.seconds, rows, tuple(filter(None, columns.split(",")))
        )
        shown = False if session.json else None
        with SluiceExecutor(sluice=config, config_file=file, url=session.endpoints.http, progress=shown) as executor:
            run = executor.map(
                batch.task(found, options), objects, extra_args=(found.content,),
                objective=objective, deadline=deadline, slices=slices, workers=workers, memory=memory,
            )  # fmt: skip
            with mapping("the inference"):
                results = run.result()
        with tempfile.TemporaryDirectory(prefix="sluice-") as folder:
            made = Path(folder, "results.parquet")
            count = batch.write(made, run.slices, results, found.record)
            user = {
                "sluice-model": f"{where.name}/{found.record.name}:{found.record.version}",
                "sluice-digest": found.record.digest,
            }
            info = store.upload(bucket, key, made, content_type="application/vnd.apache.parquet", user=user)
        source = store.head(where.bucket, found.record.key)
        completed = InferenceCompleted(
            repository=where.name,
            name=found.record.name,
            version=found.record.version,
            source=ObjectVersion(bucket=where.bucket, key=found.record.key, etag=source.etag, size=source.size),
            objects=batch.versions(run.slices),
            result=ObjectVersion(bucket=bucket, key=key, etag=info.etag, size=info.size, version=info.version),
            rows=count,
        )
        with session.api() as api:
            api.send(_event(completed, into))
    finally:
        store.close()
    if session.json:
        session.answer({"completed": msgspec.to_builtins(completed), "plan": msgspec.to_builtins(run.plan)})
        return
    how = f"{text.count(len(results), 'slice')}, {text.count(run.plan.workers, 'worker')}"
    typer.echo(
        f"{text.count(count, 'row')} by {where.name}/{found.record.name} version {found.record.version} -> {into} ({how})"
    )


def _event(data: InferenceCompleted, subject: str) -> Event:
    return Event(
        id=str(uuid.uuid4()),
        source="/sluice/console",
        type="dev.sluice.inference.completed.v1",
        subject=subject,
        time=now(),
        datacontenttype="application/json",
        data=msgspec.to_builtins(data),
    )
