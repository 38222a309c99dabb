"""The stage: a lake in a process of its own on free ports, its events as they come, and waits that end."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import boto3
import msgspec

from infra.config import Config
from infra.console.client import Client, Complaint, NotRunning, locate
from infra.objects.door_keys import door_keys
from infra.runtime.endpoints import Endpoints

T = TypeVar("T")
START_SECONDS, STOP_SECONDS = 40.0, 15.0


class Missing(Exception):
    """Something did not arrive in time; the text says what, and what was seen instead."""


def wait_for(what: str, look: Callable[[], T | None], seconds: float) -> T:
    """What ``look`` finds as soon as it is not ``None``. Raises ``Missing`` after ``seconds``."""
    end = time.monotonic() + seconds
    while True:
        found = look()
        if found is not None:
            return found
        if time.monotonic() > end:
            raise Missing(f"{what} did not arrive within {seconds:g} s")
        time.sleep(0.05)


class Stage:
    """A running lake with all its settings' defaults but the ports, which are free ones."""

    def __init__(self, folder: Path) -> None:
        self.config = Config(data=str(folder))
        self._log = folder.with_name("lake.log")
        # Settings of whoever runs the demonstration are none of its business.
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("SLUICE_", "LITHOPS_"))}
        command = [sys.executable, "-m", "infra.cli", "up", "--data", str(folder), "--http-port", "0", "--s3-port", "0"]
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=folder.parent, env=environment
            )

    def ready(self) -> Endpoints:
        """Where the lake is, once it is ready. Raises ``Missing`` with the end of its log."""

        def look() -> Endpoints | None:
            if self._process.poll() is not None:
                raise Missing(f"the lake ended with exit code {self._process.returncode}:\n{self.log}")
            try:
                found = locate(self.config)
                with Client(found.http) as api:
                    api.get("/readyz")
                return found
            except Complaint:
                return None

        try:
            self.endpoints = wait_for("the lake's readiness", look, START_SECONDS)
        except Missing as error:
            raise Missing(f"{error}\n{self.log}") from error
        self.api = Client(self.endpoints.http)
        access, secret = door_keys(self.config)
        self.s3: Any = boto3.client(
            "s3",
            endpoint_url=self.endpoints.s3,
            aws_access_key_id=access,
            aws_secret_access_key=secret,
            region_name="us-east-1",
        )
        return self.endpoints

    @property
    def log(self) -> str:
        """The last lines that the lake wrote."""
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-20:])

    def stop(self) -> int:
        """Stop the lake as Ctrl-C does; its exit code. Killed if it does not go."""
        for name in ("api", "s3"):
            if (client := getattr(self, name, None)) is not None:
                client.close()
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
        try:
            return self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            return -signal.SIGKILL


@contextlib.contextmanager
def tail(url: str, show: Callable[[dict[str, Any]], None]) -> Iterator[list[dict[str, Any]]]:
    """Follow the lake's events in a thread: each is shown and kept, until the lake stops or the context ends."""
    kept: list[dict[str, Any]] = []
    stopping = threading.Event()

    def run() -> None:
        with Client(url) as api, contextlib.suppress(NotRunning, Complaint):
            for accepted in api.follow():
                if stopping.is_set():
                    return
                kept.append(accepted)
                show(accepted)

    thread = threading.Thread(target=run, name="tail", daemon=True)
    thread.start()
    try:
        yield kept
    finally:
        stopping.set()
        thread.join(2.0)


def plain(value: Any) -> Any:
    """A Struct as JSON values."""
    return msgspec.to_builtins(value)
