"""What operators see of a running lake: metrics, JSON logs, and a worker in a process of its own."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import httpx

from tests.conftest import Sluice, eventually

EVENT = {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/s", "ce-type": "dev.example", "ce-time": "2026-01-01T00:00:00Z"}


def metrics(lake: Sluice) -> str:
    return httpx.get(lake.endpoints["http"] + "/metrics").text


def test_metrics_of_a_lake(sluice) -> None:
    url = sluice.endpoints["http"]
    for _ in range(2):
        assert httpx.post(url, headers=EVENT).status_code == 202
    assert httpx.post(url, content=b"nonsense").status_code == 400
    store = sluice.store()
    store.ensure("lake")
    store.write("lake", "a.csv", b"a,b\n1,2\n")
    store.close()
    eventually(lambda: 'sluice_deliveries_total{function="catalog",outcome="ok"} 1.0' in metrics(sluice))
    found = metrics(sluice)
    assert 'sluice_events_new_total{type="dev.example"} 1.0' in found
    assert 'sluice_events_duplicate_total{type="dev.example"} 1.0' in found
    assert 'sluice_requests_refused_total{status="400"} 1.0' in found
    assert 'sluice_effect_latency_seconds_count{function="ingest"} 1.0' in found
    assert "sluice_log_behind_seconds" in found


def test_json_logs_name_event_function_and_duration(tmp_path: Path) -> None:
    lake = Sluice(tmp_path / "data", SLUICE_RUNTIME_LOG_FORMAT="json", SLUICE_HTTP_TOKEN="never-in-a-log").start()
    try:
        store = lake.store()
        store.ensure("lake")
        store.write("lake", "a.csv", b"a,b\n1,2\n")
        store.close()
        log = tmp_path / "data.log"
        eventually(lambda: '"function":"catalog"' in log.read_text())
    finally:
        lake.stop()
        lake.close()
    assert "never-in-a-log" not in log.read_text()
    lines = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
    ran = [line for line in lines if line.get("function") == "ingest"]
    assert ran
    assert all(line["event"] and line["seconds"] >= 0 and line["level"] == "info" for line in ran)


def test_a_worker_of_its_own_starts_and_stops_cleanly(sluice) -> None:
    environment = {**sluice.environment}
    worker = subprocess.Popen(
        [sys.executable, "-m", "infra.cli", "worker", "--json"], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert worker.stdout is not None
    assert json.loads(worker.stdout.readline())["worker"] is True
    worker.send_signal(signal.SIGTERM)
    out, err = worker.communicate(timeout=20)
    assert (worker.returncode, out, err) == (0, b"", b"")
