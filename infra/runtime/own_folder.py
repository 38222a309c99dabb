"""Temporary folders of one process each. It removes its own; those of processes that were killed, the next one removes.

The process holds a lock on a file in its folder, which ends with it however that ends. Programs that it started with the folder
as their ``TMPDIR`` may outlive it: they keep the folder, too.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

LOCK = "lock"


def make(prefix: str) -> tuple[Path, int]:
    """A new folder, and the descriptor that holds its lock: it stays open for as long as the folder is used."""
    folder = Path(tempfile.mkdtemp(prefix=prefix))
    fresh = folder / f"{LOCK}.new"
    held = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(held, fcntl.LOCK_EX)
    fresh.rename(folder / LOCK)  # nobody ever sees it unlocked while we live
    return folder, held


def sweep(prefix: str) -> None:
    """Remove such folders of this user that nobody uses any more."""
    for folder in Path(tempfile.gettempdir()).glob(f"{prefix}*"):
        with suppress(OSError):  # somebody uses it, or removes it just now
            _remove(folder)


def _remove(folder: Path) -> None:
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        return
    held = os.open(folder / LOCK, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not _used(folder):
            shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(held)


def _used(folder: Path) -> bool:
    """Whether a program runs that was started with this temporary folder."""
    told = f"TMPDIR={folder}\0".encode()
    for each in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):  # it has ended, or is somebody else's
            if told in each.read_bytes():
                return True
    return False
