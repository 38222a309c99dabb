"""What a process of a lake in the crash test does.

It is forked from one that has imported all this: a start takes a fraction of what it would.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import os
import socket
import threading
from multiprocessing import parent_process
from pathlib import Path
from typing import Any

from functions import FUNCTIONS
from infra.chaos.ingress import serve
from infra.chaos.steps import Trap
from infra.console.up import up
from infra.console.worker import worker
from infra.objects.s3 import S3Store

for module in (*FUNCTIONS, "infra.chaos.effects", "infra.runtime.embedded"):  # what is imported when a lake starts
    importlib.import_module(module)
S3Store("http://127.0.0.1:9", "none", "none").close()  # boto3 reads its description of S3 once for all
gc.freeze()  # what there is now is never collected, and its memory stays shared
atexit.register(gc.unfreeze)

#: Of a command without any.
OPTIONS: dict[str, Any] = {"data": None, "config": None, "url": None, "json": False, "log_format": None}


def run(armed: Path, arguments: list[str], environment: dict[str, str], log: Path, held: socket.socket | None) -> None:
    """Wrap the steps that ``armed`` arms, then be ``up`` (on the socket ``held``), ``worker``, or ``ingress PORT``.

    It ends with its parent.
    """
    with log.open("ab") as told:
        os.dup2(told.fileno(), 1)
        os.dup2(told.fileno(), 2)
    os.environ.clear()
    os.environ.update(environment)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    Trap(armed).set_up()
    if arguments[0] == "up":
        up(**OPTIONS, http_port=None, s3_port=None, fd=held.detach() if held else None)
    elif arguments[0] == "worker":
        worker(**OPTIONS)
    else:
        serve(int(arguments[1]))


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
    os._exit(1)
