"""A server of models beside a lake, and the packages of KServe that ask it."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from infra.bench.peers import prepare
from infra.bench.serving import PEERS
from tests.conftest import Sluice, eventually, missing

ROOT = Path(__file__).parents[2]
#: For whichever test is the first to need KServe's packages.
MAKING = pytest.mark.timeout(420)


def with_kserve() -> str:
    """A Python of its own that has KServe's packages, in ``build/peers``: made once, which takes about a minute."""
    if importlib.util.find_spec("kserve"):
        return sys.executable
    try:
        command, _, _ = prepare("kserve", PEERS)
    except (subprocess.CalledProcessError, OSError) as error:
        missing(f"needs KServe's packages, which could not be installed into build/peers: {error}")
    return command[0]


class Served:
    """A ``sluice serve`` of its own process beside a lake."""

    def __init__(self, lake: Sluice) -> None:
        self._log = (lake.folder.parent / "serve.log").open("ab")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "infra.cli", "serve", "--port", "0", "--json"],
            env=lake.environment, stdout=subprocess.PIPE, stderr=self._log,
        )  # fmt: skip
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            pytest.fail((lake.folder.parent / "serve.log").read_text()[-3000:])
        self.url: str = json.loads(line)["url"]
        eventually(lambda: self.get("/v2/health/ready").status_code == 200, 20, "the server to be ready")

    def get(self, path: str) -> httpx.Response:
        return httpx.get(self.url + path, timeout=30)

    def ask(self, name: str = "linear", document: object = None) -> httpx.Response:
        document = document or {"inputs": [{"name": "x", "shape": [1, 3], "datatype": "FP32", "data": [1, 2, 3]}]}
        return httpx.post(f"{self.url}/v2/models/{name}/infer", json=document, timeout=60)

    def answered(self, status: int, first: float = 0) -> bool:
        """Whether it answers so, and with this first value."""
        answer = self.ask()
        return answer.status_code == status and (status != 200 or answer.json()["outputs"][0]["data"][0] == first)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(10)
        if self.process.stdout is not None:
            self.process.stdout.close()
        self._log.close()


def sluice(lake: Sluice, *arguments: str) -> str:
    command = [sys.executable, "-m", "infra.cli", *arguments]
    done = subprocess.run(command, env=lake.environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def push(lake: Sluice, name: str, content: bytes) -> None:
    file = lake.folder.parent / f"{name}.onnx"
    file.write_bytes(content)
    sluice(lake, "model", "push", name, str(file))


def versions(lake: Sluice) -> list[int]:
    return [each["version"] for each in lake.get("/models")["models"]]
