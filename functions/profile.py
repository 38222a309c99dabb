"""Every executed map teaches its task's profile: once, whatever comes twice or late."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from events.event import Event
from events.ports import Profiles
from events.route import on
from events.types import ProfileUpdated, TaskExecuted
from functions.planner.history import fold, profile_key, read_history


@on("dev.sluice.task.executed.v1")
def profile(event: Event, data: TaskExecuted, profiles: Profiles) -> Iterator[Event]:
    """Fold a run into the profile of its task, format and backend."""
    key = profile_key(data.task, data.code, data.format, data.backend, data.image)
    document = profiles.get(key)
    before = read_history(document) if document else None
    history = fold(before, data)
    if before is None or history.runs != before.runs:
        profiles.put(key, msgspec.to_builtins(history))
    run = next((run for run in history.runs if run.run == data.run), None)
    volume = sum(wave.bytes for wave in data.waves)
    yield event.reply(
        ProfileUpdated(
            key=key,
            run=data.run,
            task=data.task,
            code=data.code,
            format=data.format,
            backend=data.backend,
            image=data.image,
            runs=len(history.runs),
            throughput=volume / run.seconds if run and run.seconds else 0.0,
            error=run.misjudged if run else None,
            median_error=history.median_error,
        ),
        subject=key,
    )
