"""A training in a process of its own, so that it takes no lock and no memory of the lake's, and ends when the lake does."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from events.errors import Reject, Retry
from events.ports import Stopping

#: Seconds after which a training that says nothing is given up.
SILENCE = 900.0
#: How often is looked whether this process is about to end, seconds.
LOOK = 0.25
ROOT = Path(__file__).parents[2]


class Process:
    """Trains what a folder asks for (see ``run.py``). A context: leaving it ends the process and its helpers."""

    def __init__(self, folder: Path) -> None:
        self._error = (folder / "error.log").open("w+b")
        names = ("PATH", "HOME", "LANG", "TMPDIR", "RAY_ADDRESS", "LD_LIBRARY_PATH")  # no keys of any store
        kept = {name: os.environ[name] for name in names if name in os.environ}
        self._child = subprocess.Popen(
            [sys.executable, "-P", "-m", "functions.training.run", str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._error,
            env={**kept, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        )

    def __enter__(self) -> Process:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._child.stdin:
            self._child.stdin.close()
        try:
            self._child.wait(0 if kind else 10)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
        if self._child.stdout:
            self._child.stdout.close()
        self._error.close()

    def lines(self, stopping: Stopping) -> Iterator[dict[str, Any]]:
        """What it says, up to its ``metrics``. Raises ``Reject`` for what cannot be trained, ``Retry`` when it must stop."""
        assert self._child.stdout is not None  # noqa: S101 - for the type checker
        for line in _lines(self._child.stdout, stopping):
            said = json.loads(line)
            if "error" in said:
                raise (Reject if said["reject"] else RuntimeError)(said["error"])
            yield said
            if "metrics" in said:
                return
        self._error.seek(0)
        text = self._error.read().decode("utf-8", "replace").strip().rsplit("\n", 1)[-1]
        raise RuntimeError(f"the process that trains ended with {self._child.wait()}: {text[:500] or 'it said nothing'}")


def _lines(pipe: IO[bytes], stopping: Stopping) -> Iterator[bytes]:
    rest, heard = b"", time.monotonic()
    while True:
        if stopping.is_set():
            raise Retry("the lake stops; the training goes on from its checkpoint afterwards", after=1.0)
        ready, _, _ = select.select([pipe], [], [], LOOK)
        if ready:
            part = os.read(pipe.fileno(), 1 << 16)
            if not part:
                return
            *whole, rest = (rest + part).split(b"\n")
            heard = time.monotonic()
            yield from whole
        elif time.monotonic() - heard > SILENCE:
            raise Reject(f"the training made no step in {SILENCE:g} s and was given up: use smaller networks or batches")
