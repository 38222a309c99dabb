"""Lithops, with a temporary folder of this process alone. Lithops is only imported from here, so that it finds that folder."""

from __future__ import annotations

import atexit
import os
import shutil
import sys
import tempfile

from infra.runtime import own_folder

PREFIX = "sluice-lithops-"


def _own_folder() -> None:
    """Give Lithops a temporary folder of this process alone, for as long as it lives.

    All Lithops processes of a user share one below ``TMPDIR``, with a copy of the lithops package that its workers run: another
    environment's version, or one that another process is just replacing. Job files hold a map's environment, so nobody else may
    read them either. Lithops fixes the place when it is imported, and its workers take it from the environment. What processes
    left that were killed is removed.
    """
    own_folder.sweep(PREFIX)
    process, (folder, _) = os.getpid(), own_folder.make(PREFIX)
    os.environ["TMPDIR"] = str(folder)

    def remove() -> None:
        # A cleaner that somebody asked for finds its work there, and outlives us; a forked child is not its owner.
        if os.getpid() == process and not any(folder.glob("*/cleaner/tmp*")):
            shutil.rmtree(folder, ignore_errors=True)

    atexit.register(remove)


if "lithops" not in sys.modules:
    _before = tempfile.gettempdir()
    _own_folder()
    tempfile.tempdir = None
    import lithops.constants  # noqa: F401

    tempfile.tempdir = _before

from lithops import FunctionExecutor  # noqa: E402
from lithops.constants import JOBS_PREFIX  # noqa: E402
from lithops.wait import ALWAYS  # noqa: E402

__all__ = ["ALWAYS", "JOBS_PREFIX", "FunctionExecutor"]
