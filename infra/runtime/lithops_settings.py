"""What Lithops is told of the configuration, and where its workers and its client find the lake."""

from __future__ import annotations

import copy
import os
import sys
from pathlib import Path
from typing import Any

import msgspec
import yaml

from infra.config import CONFIG_FILE, Config
from infra.objects.door_keys import door_keys
from infra.runtime.probe import ENVIRONMENT


def lithops_config(config: dict[str, Any] | None, file: str | None, workers: int) -> dict[str, Any]:
    """Lithops' configuration without our section (it travels to the workers), with what localhost needs to be right."""
    if config is None:
        path = Path(file or os.environ.get("LITHOPS_CONFIG_FILE") or CONFIG_FILE)
        config = (yaml.safe_load(path.read_text()) or {}) if path.exists() else {}
    own = {name: copy.deepcopy(part) or {} for name, part in config.items() if name != "sluice"}
    main = own.setdefault("lithops", {})
    main.setdefault("backend", "localhost")
    main.setdefault("data_cleaner", False)  # no process that outlives us: see close()
    main.setdefault("data_limit", 0)  # of all calls together: ten thousand slices with their schemas are more than 4 MiB
    if main["backend"] == "localhost":
        main.setdefault("storage", "localhost")
        local = own.setdefault("localhost", {})
        local.setdefault("version", 1)  # version 2 starts an interpreter for every task
        local.setdefault("runtime", sys.executable)
        local.setdefault("worker_processes", workers)  # fixed for the executor's life, so the most a plan may choose
    return own


def _endpoints(config: Config) -> dict[str, Any]:
    """Where the running lake of this configuration can be reached; empty if none runs."""
    try:
        return msgspec.json.decode((config.folder / "endpoints.json").read_bytes(), type=dict[str, Any])
    except (OSError, msgspec.DecodeError):
        return {}


def api_of(config: Config) -> str:
    """The URL of the lake's API."""
    return str(_endpoints(config).get("http") or f"http://{config.http.host}:{config.http.port}")


def store_of(config: Config) -> dict[str, str]:
    """The object store's endpoint and keys: the configured one, else the embedded door."""
    wanted = config.objects
    if wanted.endpoint:
        return {name: getattr(wanted, name) for name in ENVIRONMENT}
    access, secret = door_keys(config)
    endpoint = str(_endpoints(config).get("s3") or f"http://{config.door.host}:{config.door.port}")
    return {"endpoint": endpoint, "access_key": access, "secret_key": secret, "region": config.door.region}
