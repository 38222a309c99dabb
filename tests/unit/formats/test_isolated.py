"""Libraries in processes of their own: they end with their caller, whatever they are at."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import psutil

from tests.conftest import eventually
from tests.onnx_models import endless

#: Asks for something that never ends, and tells the number of the process that was asked.
CALLER = """
import sys, threading
from functions.formats.isolated import ONNXRUNTIME

ONNXRUNTIME.warm()
threading.Thread(target=ONNXRUNTIME.call, args=("infer", 600), kwargs={"path": sys.argv[1]}, daemon=True).start()
print(ONNXRUNTIME._child.pid, flush=True)
threading.Event().wait()
"""


def test_a_process_that_is_busy_for_ever_ends_with_its_caller(tmp_path: Path) -> None:
    model = tmp_path / "endless.onnx"
    model.write_bytes(endless())
    with subprocess.Popen([sys.executable, "-c", CALLER, str(model)], stdout=subprocess.PIPE) as caller:
        assert caller.stdout is not None
        child = psutil.Process(int(caller.stdout.readline()))
        begun = child.cpu_times().user
        eventually(lambda: child.cpu_times().user > begun + 1, 60, "the model to run")
        caller.kill()
    eventually(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE, 10, "the process to end")
