"""A disk that takes no more: a reason to try again later, told in one sentence, and not the sender's or a function's fault."""

from __future__ import annotations

import errno
import sqlite3

from events.errors import Retry

_FULL = (errno.ENOSPC, errno.EDQUOT)
_REASONS = {
    sqlite3.SQLITE_FULL: "the disk is full: make room on it",
    sqlite3.SQLITE_IOERR: "the disk cannot be read or written",
    sqlite3.SQLITE_READONLY: "the disk takes no writes",
}


class DiskTrouble(Retry):
    """The disk takes no more now."""


def explained(error: BaseException, what: str) -> BaseException:
    """``error``, or if the disk under ``what`` is behind it, a ``DiskTrouble`` that says so.

    SQLite may end a transaction by itself when the disk is full; what then fails next is not the reason, so that is looked for.
    """
    found: BaseException | None = error
    while found is not None:
        if isinstance(found, DiskTrouble):
            return found
        reason = _REASONS.get(getattr(found, "sqlite_errorcode", 0) & 0xFF, "")
        if isinstance(found, OSError) and found.errno in _FULL:
            reason = _REASONS[sqlite3.SQLITE_FULL]
        if reason:
            trouble = DiskTrouble(f"{what} cannot be written, {reason}")
            trouble.__cause__ = found
            return trouble
        found = found.__cause__ or found.__context__
    return error
