"""The container entry point as Knative runs it: a process, its environment, events over HTTP, replies to a sink."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import httpx
import pytest

from events.codec import decode, encode_binary, encode_structured
from events.event import Event
from tests.plain_http import Silent, answering

MODULE = """
from collections.abc import Iterator
from pathlib import Path
from cloudevents.http import CloudEvent
from events.errors import Reject, Retry
from events.event import Event
from events.route import on

@on("ask")
def answer(event: CloudEvent) -> CloudEvent:
    return CloudEvent({"type": "answer", "source": "/mine"}, {"got": event.data})

@on("count")
def count(event: Event) -> Iterator[Event]:
    with Path("runs").open("a+") as file:
        file.write("x")
        yield event.reply({"run": file.tell()}, type="counted")

@on("refuse")
def refuse(event: Event) -> None:
    raise Reject("never")

@on("later")
def later(event: Event) -> None:
    raise Retry("not yet", 7)
"""


class Broker(Silent):
    """What K_SINK names: keeps what it gets."""

    got: ClassVar[list[Event]] = []
    status = 202

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.got.extend(decode([(name.encode(), value.encode()) for name, value in self.headers.items()], body))
        self.send_response(self.status)
        self.send_header("Content-Length", "0")
        self.end_headers()


@contextmanager
def serving(folder: Path, **settings: str) -> Iterator[str]:
    """A container over ``MODULE``, in a process of its own; its URL."""
    (folder / "container_functions.py").write_text(MODULE)
    environment = {
        **os.environ, "SLUICE_FUNCTIONS": "[container_functions]", "SLUICE_RUNTIME_HOST": "127.0.0.1",
        "PYTHONPATH": f"{folder}{os.pathsep}{Path(__file__).parents[2]}", **settings,
    }  # fmt: skip

    def started() -> tuple[subprocess.Popen[bytes], str]:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = str(probe.getsockname()[1])
        command = [sys.executable, "-m", "infra.runtime.knative"]
        return subprocess.Popen(command, env={**environment, "PORT": port}, cwd=folder), f"http://127.0.0.1:{port}"

    process, url = started()
    try:
        end = time.monotonic() + 30
        while time.monotonic() < end:
            if process.poll() == 3:  # somebody else took the port before it could
                process, url = started()
            try:
                if httpx.get(f"{url}/readyz").is_success:
                    break
            except httpx.TransportError:
                time.sleep(0.05)
        yield url
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) in (0, -signal.SIGTERM)


@pytest.fixture(scope="module")
def container(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a container with a sink."""
    with answering(ThreadingHTTPServer(("127.0.0.1", 0), Broker)) as sink:
        settings = {"K_SINK": sink, "K_CE_OVERRIDES": '{"extensions":{"team":"radio"}}'}
        with serving(tmp_path_factory.mktemp("knative"), **settings) as url:
            yield url


def send(url: str, kind: str, *, reply: bool = False, structured: bool = False) -> httpx.Response:
    event = Event(id="1", source="/s", type=kind, datacontenttype="application/json", data={"a": 1})
    headers, body = (encode_structured if structured else encode_binary)(event)
    return httpx.post(url, content=body, headers=[*headers, *([(b"Prefer", b"reply")] if reply else [])])


def test_with_an_inbox_a_repetition_runs_nothing_even_after_a_restart(tmp_path) -> None:
    settings = {"SLUICE_RUNTIME_INBOX": "true", "SLUICE_DATA": str(tmp_path / "data")}
    answers = []
    for _ in range(2):
        with serving(tmp_path, **settings) as url:
            answers += [send(url, "count", structured=structured) for structured in (False, True)]
    assert [answer.status_code for answer in answers] == [200] * 4
    replies = [decode(answer.headers.raw, answer.content) for answer in answers]
    assert replies == [replies[0]] * 4
    assert replies[0][0].data == {"run": 1}
    assert (tmp_path / "runs").read_text() == "x"


@pytest.mark.parametrize("structured", [False, True])
def test_who_prefers_a_reply_gets_it(container, structured) -> None:
    before = len(Broker.got)
    answer = send(container, "ask", reply=True, structured=structured)
    (reply,) = decode(answer.headers.raw, answer.content)
    assert (answer.status_code, reply.type, reply.data) == (200, "answer", {"got": {"a": 1}})
    assert len(Broker.got) == before


def test_other_replies_go_to_the_sink_with_its_extensions(container) -> None:
    answer = send(container, "ask")
    assert (answer.status_code, answer.content) == (204, b"")
    assert (Broker.got[-1].type, Broker.got[-1].extensions["team"]) == ("answer", "radio")


def test_a_sink_that_refuses_makes_the_sender_come_again(container, monkeypatch) -> None:
    monkeypatch.setattr(Broker, "status", 500)
    answer = send(container, "ask")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")


def test_statuses_tell_knative_what_to_retry(container) -> None:
    assert send(container, "refuse").status_code == 422
    answer = send(container, "later")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "7")
    assert send(container, "unknown").status_code == 204
    assert httpx.post(container, headers={"content-type": "application/cloudevents+json"}, content=b"{}").status_code == 400
    assert httpx.post(container, headers={"content-type": "image/png"}, content=b"x").status_code == 415
    assert httpx.put(container).status_code == 405


def test_the_handshake_of_webhooks_is_answered(container) -> None:
    answer = httpx.options(container, headers={"WebHook-Request-Origin": "eventgrid.azure.net"})
    assert (answer.status_code, answer.headers["webhook-allowed-origin"]) == (200, "eventgrid.azure.net")
    assert (answer.headers["allow"], answer.headers["webhook-allowed-rate"]) == ("POST, OPTIONS", "*")


def test_too_large_is_refused(container) -> None:
    headers = {"ce-id": "1", "ce-source": "/s", "ce-type": "ask", "ce-specversion": "1.0"}
    assert httpx.post(container, headers=headers, content=b"x" * (5 << 20)).status_code == 413
    assert httpx.post(container, headers={**headers, "ce-x": "y" * 70_000}).status_code in (400, 431)


@pytest.mark.parametrize(
    ("environment", "told"),
    [({}, "SLUICE_FUNCTIONS"), ({"SLUICE_FUNCTIONS": "[functions.catalog]"}, "catalog"),
     ({"SLUICE_FUNCTIONS": "[functions.metadata]", "K_SINK": "ftp://x"}, "sink")],
)  # fmt: skip
def test_what_cannot_start_says_why(environment, told, tmp_path) -> None:
    names = {**os.environ, **environment, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        [sys.executable, "-m", "infra.runtime.knative"], env=names, cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert done.stderr.startswith("sluice: ")
    assert told in done.stderr
