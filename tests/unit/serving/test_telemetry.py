"""What ONNX Runtime would tell its maker of the models here is not told."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.onnx_models import linear

ROOT = Path(__file__).parents[3]
#: The two ways to a session: the server of models, and the trial of an upload in a process of its own.
SERVED = "import infra.serving.model as m; m.ort.InferenceSession({!r})"
TRIED = "from functions.formats.isolated import ONNXRUNTIME as o; o.call('infer', 60, path={!r}); o.close()"


@pytest.mark.parametrize("program", [SERVED, TRIED])
def test_no_identifier_of_this_machine_is_made_for_it(program: str, tmp_path: Path) -> None:
    """It would be written into the home folder first, and sent with every session."""
    model, home = tmp_path / "model.onnx", tmp_path / "home"
    model.write_bytes(linear(2))
    home.mkdir()
    names = {name: value for name, value in os.environ.items() if name not in ("ORT_DISABLE_TELEMETRY", "XDG_CACHE_HOME")}
    command = [sys.executable, "-c", program.format(str(model))]
    subprocess.run(command, env={**names, "HOME": str(home)}, cwd=ROOT, check=True, timeout=90)
    assert list(home.iterdir()) == []
