"""What went wrong with a slice: whether to try it again, and how the caller is told."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from events.errors import Reject
from events.ports import Changed, NotFound
from functions.formats.format import Slice
from infra.runtime.journal import Outcome

#: Errors that a repetition does not change.
FINAL = (Reject, Changed, NotFound)


@contextmanager
def contained() -> Iterator[None]:
    """Let what a task raises to end its process (``sys.exit()``) end its slice only: ``except Exception`` catches that, too.

    Raises ``RuntimeError`` in its place: sent to the caller of the map as it is, it would end the caller.
    """
    try:
        yield
    except Exception:
        raise
    except BaseException as error:
        raise RuntimeError(f"{type(error).__name__}: {error}".rstrip(": ")) from error


def noted(error: BaseException, outcome: Outcome, part: Slice, which: str) -> BaseException:
    """The error with notes of which slice it was (``which``: "in slice 0 of 2"), of what object, and where in the function."""
    error.add_note(f"{which}: part {part.number} of {part.of} of s3://{part.bucket}/{part.key}")
    error.add_note(outcome.trace)
    return error


def slice_of(error: BaseException) -> str:
    """Which slice the error was noted to be of; empty for one of none."""
    return next((note for note in getattr(error, "__notes__", ()) if note.startswith("in slice ")), "")


def killed(error: MemoryError) -> bool:
    """Whether a worker was killed, which may have other reasons than memory; else the function itself ran out of it."""
    return "killed" in str(error)
