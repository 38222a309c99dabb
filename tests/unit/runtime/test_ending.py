"""Waiting for the signal that ends a process: it is never lost, whenever it comes."""

from __future__ import annotations

import subprocess
import sys

#: Sends itself signals at every line that ``wait`` runs through, the moments between two steps of the interpreter.
PROGRAM = """
import os, signal, sys, threading
from infra.runtime.ending import Ending

ending = Ending()
if len(sys.argv) > 1:
    number = getattr(signal, sys.argv[1])
    def at_every_line(frame, event, argument):
        os.kill(os.getpid(), number)
        return at_every_line
    sys.settrace(at_every_line)
else:
    number = signal.SIGTERM
    threading.Timer(0.2, os.kill, (os.getpid(), number)).start()
got = ending.wait()
sys.settrace(None)
sys.exit(0 if got == number else 1)
"""


def ends(*arguments: str) -> bool:
    return subprocess.run([sys.executable, "-c", PROGRAM, *arguments], timeout=60, check=False).returncode == 0


def test_a_signal_while_it_waits() -> None:
    assert ends()


def test_a_signal_at_every_step_of_the_way() -> None:
    assert ends("SIGTERM")
    assert ends("SIGINT")
