"""What a task's runs taught: a bounded set of measured runs, the same whatever the order and number of their arrivals.

A profile is the union of its runs cut to the newest ``WINDOW``. Union and cut are commutative, associative and idempotent, so
events that come twice, late or in another order end in the same profile; a run that was cut is older than all that stay, so
its repetition is cut again. Old behaviour is forgotten with the window, and weighs less before (see ``model``).
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from statistics import median
from typing import Any

import msgspec

from events.errors import Reject
from events.ports import Profiles
from events.types import TaskExecuted, Wave

#: Runs that a profile remembers.
WINDOW = 64


class Run(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One execution of a map. ``finished`` is RFC 3339 in UTC with microseconds, so that it sorts as text."""

    run: str
    finished: str
    waves: list[Wave]
    seconds: float = 0.0
    predicted_s: float = 0.0
    cost: float = 0.0
    predicted_cost: float = 0.0
    error: str = ""

    @property
    def order(self) -> tuple[str, str, bytes]:
        """Newer runs are greater; the content breaks ties, so that even two tellings of one run have an order."""
        return self.finished, self.run, msgspec.json.encode(self)

    @property
    def complete(self) -> bool:
        """Whether every call succeeded. Only then does it teach a duration: a failure's time is the failure's."""
        return not self.error and bool(self.waves) and all(not wave.failed and wave.seconds > 0 for wave in self.waves)

    def teaches(self, wave: Wave) -> bool:
        """Whether there is something to learn of a wave: its duration, or that its memory did not suffice."""
        return bool(wave.out_of_memory) or not (self.error or wave.failed or wave.seconds <= 0)

    @property
    def misjudged(self) -> float | None:
        """Predicted over measured time less one; ``None`` without a prediction or a duration."""
        return self.predicted_s / self.seconds - 1 if self.predicted_s and self.seconds and self.complete else None


class History(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A task's profile, as the ``Profiles`` port keeps it: its newest runs, oldest first."""

    task: str
    code: str = ""
    format: str = ""
    backend: str = ""
    image: str = ""
    runs: list[Run] = []

    @property
    def waves(self) -> list[list[Wave]]:
        """The waves to learn from, one list a run, newest run first: those that succeeded, and what memory others died of."""
        found = ([wave for wave in run.waves if run.teaches(wave)] for run in reversed(self.runs))
        return [waves for waves in found if waves]

    @property
    def median_error(self) -> float | None:
        """The median size of the prediction error over the runs that had a prediction."""
        errors = [abs(run.misjudged) for run in self.runs if run.misjudged is not None]
        return median(errors) if errors else None


def profile_key(task: str, code: str, format: str, backend: str, image: str = "") -> str:
    """Where the profile of a task over a format on a backend, in an image, is kept."""
    return f"{task}@{code}/{format}/{backend}" + (f"/{image}" if image else "")


def read_history(document: dict[str, Any]) -> History:
    """The profile that ``Profiles.get`` gave. Raises ``msgspec.ValidationError`` for what is none."""
    return msgspec.convert(document, History)


def fold(history: History | None, executed: TaskExecuted) -> History:
    """The profile with this run in it, once. Raises ``Reject`` for a time that is none."""
    told = Run(
        run=executed.run,
        finished=_utc(executed.finished, executed.run),
        waves=executed.waves,
        seconds=executed.seconds or sum(wave.seconds for wave in executed.waves),
        predicted_s=executed.predicted_s,
        cost=executed.cost,
        predicted_cost=executed.predicted_cost,
        error=executed.error,
    )
    known = history or History(
        task=executed.task, code=executed.code, format=executed.format, backend=executed.backend, image=executed.image
    )
    return msgspec.structs.replace(known, runs=merge([*known.runs, told]))


def merge(runs: Iterable[Run]) -> list[Run]:
    """The newest ``WINDOW`` of these runs, each once, oldest first."""
    latest: dict[str, Run] = {}
    for run in runs:
        before = latest.get(run.run)
        if before is None or before.order < run.order:
            latest[run.run] = run
    return sorted(latest.values(), key=lambda run: run.order)[-WINDOW:]


def find(profiles: Profiles, task: str, code: str, format: str, backend: str, image: str = "") -> History | None:
    """The profile of this task; without ``code`` or ``backend`` that of the latest run under any."""
    if code and backend:
        document = profiles.get(profile_key(task, code, format, backend, image))
        return read_history(document) if document else None
    found = []
    for key in profiles.keys(f"{task}@{code}"):
        document = profiles.get(key)
        history = read_history(document) if document else None
        if (
            history
            and history.task == task
            and history.format == format
            and backend in ("", history.backend)
            and image in ("", history.image)
        ):
            found.append(history)
    return max((one for one in found if one.runs), key=lambda one: one.runs[-1].order, default=None)


def _utc(text: str, run: str) -> str:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise Reject(f"run {run!r} finished at {text!r}, which is no RFC 3339 time") from error
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return aware.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
