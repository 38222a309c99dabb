"""A new version while people ask: fifty requests a second to a real server, none of which may fail or be a mixture."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import httpx
import pytest

from tests.conftest import Sluice, eventually
from tests.onnx_models import linear

PER_SECOND, LEAST, ROWS = 50, 250, 8
ASKED = {"inputs": [{"name": "x", "shape": [ROWS, 3], "datatype": "FP32", "data": [1.0] * 3 * ROWS}]}


@pytest.fixture
def served(sluice: Sluice) -> Iterator[str]:
    store = sluice.store()
    store.ensure("models")
    store.write("models", "linear.onnx", linear(2))
    store.close()
    command = [sys.executable, "-m", "infra.cli", "serve", "--port", "0", "--json"]
    process = subprocess.Popen(command, env=sluice.environment, stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        url = json.loads(process.stdout.readline())["url"]
        eventually(lambda: httpx.get(f"{url}/v2/models/linear/ready").is_success, 60, "version 1 to be served")
        yield url
    finally:
        process.terminate()
        process.wait(20)
        process.stdout.close()


def test_new_versions_fail_and_mix_no_answer_at_fifty_requests_a_second(sluice: Sluice, served: str) -> None:
    answers, last = asyncio.run(_asked(sluice, served))
    assert {status for status, _ in answers} == {200}
    assert len(answers) > LEAST
    seen = []
    for _, document in answers:
        version = int(document["model_version"])
        assert document["outputs"][0]["data"] == [version + 1.0] * 3 * ROWS
        seen.append(version)
    assert (seen[0], seen[-1]) == (1, last)


async def _asked(lake: Sluice, url: str) -> tuple[list[tuple[int, dict[str, Any]]], int]:
    """Ask at a steady rate while versions are published, whether or not answers have come; these, and the last version."""
    async with httpx.AsyncClient(timeout=60) as client:

        async def ask() -> tuple[int, dict[str, Any]]:
            answer = await client.post(f"{url}/v2/models/linear/infer", json=ASKED)
            return answer.status_code, answer.json()

        publishing = asyncio.create_task(asyncio.to_thread(_publish, lake, url))
        start, running = time.monotonic(), list[asyncio.Task[tuple[int, dict[str, Any]]]]()
        while len(running) < LEAST or not publishing.done():
            await asyncio.sleep(max(0.0, start + len(running) / PER_SECOND - time.monotonic()))
            running.append(asyncio.create_task(ask()))
        last = await publishing
        return [*await asyncio.gather(*running), await ask()], last


def _found(url: str) -> bool:
    return httpx.get(url).is_success


def _publish(lake: Sluice, url: str) -> int:
    """Publish versions 2 and 3, each once the one before answers; the last."""
    store = lake.store()
    try:
        for version in (2, 3):
            store.write("models", "linear.onnx", linear(version + 1))
            ready = f"{url}/v2/models/linear/versions/{version}/ready"
            eventually(partial(_found, ready), 60, f"version {version} to be served")
    finally:
        store.close()
    return 3
