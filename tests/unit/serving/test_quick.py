"""The shortest way through the server answers as the application does: in order, together, and what is wrong as 400."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import pytest
import uvicorn

from infra.models.loader import Loader
from infra.runtime.listen import listen
from infra.serving.app import Serving
from infra.serving.materialised import Materialised
from infra.serving.quick import Quick
from infra.serving.results import Definition
from infra.serving.results_sqlite import SqliteResults
from infra.serving.shelf import Shelf
from tests.conftest import eventually
from tests.onnx_models import linear
from tests.unit.serving.bucket import REPOSITORY, Bucket

TOLD: list[str] = []


class Told(Serving):
    """Notes what the application is asked: that did not go the shortest way."""

    async def __call__(self, scope, receive, send) -> None:
        TOLD.append(scope["path"])
        await super().__call__(scope, receive, send)


@pytest.fixture
def app() -> Iterator[Told]:
    bucket = Bucket()
    bucket.publish("linear", 1, linear(2.0))
    loader = Loader(bucket, REPOSITORY)  # type: ignore[arg-type]  # only what loading needs
    app = Told(Shelf(loader), loader)
    app.refresh()
    assert app.shelf.default("linear").row_seconds < 0.001
    TOLD.clear()
    yield app
    if app.results is not None:
        app.results.close()
    app.shelf.close()


@pytest.fixture
def place(app) -> Iterator[tuple[str, int]]:
    bound = listen("127.0.0.1", 0)
    server = uvicorn.Server(uvicorn.Config(app, http=Quick, log_level="error", lifespan="off", ws="none"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]}, daemon=True)
    thread.start()
    eventually(lambda: server.started, 10)
    yield bound.getsockname()[:2]
    server.should_exit = True
    thread.join(10)
    bound.close()


def asked(values: list[float], path: str = "linear", close: bool = False) -> bytes:
    body = json.dumps({"inputs": [{"name": "x", "shape": [1, 3], "datatype": "FP32", "data": values}]}).encode()
    more = b"Connection: close\r\n" if close else b""
    return b"POST /v2/models/%s/infer HTTP/1.1\r\nHost: h\r\n%sContent-Length: %d\r\n\r\n%s" % (
        path.encode(), more, len(body), body
    )  # fmt: skip


def wanted(value: float) -> Definition:
    return Definition(
        model="linear", input={"inputs": [{"name": "x", "shape": [1, 3], "datatype": "FP32", "data": [value] * 3}]}
    )


def answers(stream, count: int) -> list[tuple[int, dict, bytes]]:
    found = []
    for _ in range(count):
        status = int(stream.readline().split()[1])
        headers = {}
        while line := stream.readline().strip():
            name, _, value = line.partition(b": ")
            headers[name.decode().lower()] = value.decode()
        found.append((status, headers, stream.read(int(headers["content-length"]))))
    return found


def test_pipelined_requests_are_answered_in_their_order(place):
    with socket.create_connection(place, timeout=10) as connection, connection.makefile("rb") as stream:
        health = b"GET /v2/health/live HTTP/1.1\r\nHost: h\r\n\r\n"
        connection.sendall(b"".join(asked([float(number)] * 3) for number in range(20)) + health + asked([9.0] * 3, "no"))
        connection.sendall(asked([5.0] * 2) + asked([7.0] * 3, close=True))
        found = answers(stream, 24)
        assert stream.read() == b""  # and the connection ends
    values = [json.loads(body)["outputs"][0]["data"][0] for status, _, body in found[:20] if status == 200]
    steps = np.diff(values)
    assert len(values) == 20
    assert np.allclose(steps, 2.0)
    assert [status for status, _, _ in found[20:]] == [200, 404, 400, 200]
    assert TOLD[:2] == ["/v2/health/live", "/v2/models/no/infer"]  # the first twenty never got there


def test_who_leaves_harms_nobody_and_all_get_their_own(place):
    def one(number: int) -> bool:
        if number % 5 == 0:
            with socket.create_connection(place, timeout=10) as connection:
                connection.sendall(asked([1.0] * 3))
            return True
        with httpx.Client(base_url=f"http://127.0.0.1:{place[1]}", trust_env=False) as client:
            body = {"inputs": [{"name": "x", "shape": [1, 3], "datatype": "FP32", "data": [float(number)] * 3}]}
            return bool(client.post("/v2/models/linear/infer", json=body).json()["outputs"][0]["data"] == [2.0 * number] * 3)

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(one, range(1, 60)))


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b'{"inputs": []}',
     b'{"inputs": [{"name": "x", "shape": [1, 5], "datatype": "FP32", "data": [1]}]}',
     b'{"inputs": [{"name": "x", "shape": [1, 3], "datatype": "INT64", "data": [1,2,3]}]}'],
)  # fmt: skip
def test_what_is_wrong_is_400(place, body):
    answer = httpx.post(f"http://127.0.0.1:{place[1]}/v2/models/linear/infer", content=body, trust_env=False)
    assert answer.status_code == 400
    assert answer.json()["error"]


def test_a_length_of_the_json_that_is_none_is_400(place):
    for wrong in ("x", "-1", "99999"):
        headers = {"inference-header-content-length": wrong}
        answer = httpx.post(
            f"http://127.0.0.1:{place[1]}/v2/models/linear/infer", content=b"{}", headers=headers, trust_env=False
        )
        assert answer.status_code == 400


def test_a_repeated_question_for_a_result_is_answered_anew_each_time(place, app, tmp_path):
    app.results = Materialised(app.shelf, Bucket(), SqliteResults(tmp_path / "results.db"))  # type: ignore[arg-type]
    for name, value in (("one", 1.0), ("two", 2.0)):
        app.results.define(name, wanted(value)).result(10)

    def ask(name: str, *more: str) -> bytes:
        return "\r\n".join((f"GET /results/{name} HTTP/1.1", "Host: h", *more, "", "")).encode()

    def values(found) -> list[float]:
        return [json.loads(body)["outputs"][0]["data"][0] for _, _, body in found]

    with socket.create_connection(place, timeout=10) as connection, connection.makefile("rb") as stream:

        def told(*parts: bytes, count: int = 1) -> list[float]:
            for part in parts:
                connection.sendall(part)
                time.sleep(0.05)
            return values(answers(stream, count))

        assert told(ask("one")) + told(ask("one")) + told(ask("two")) + told(ask("one")) == [2.0, 2.0, 4.0, 2.0]
        app.results.define("one", wanted(3.0)).result(10)
        assert told(ask("one")) == [6.0]  # not what was answered before
        # what looks like the same question may be the end of another, or several
        assert told(ask("one", "X-Note: ")[:-4], ask("two")) + told(ask("two")) == [6.0, 4.0]
        assert told(ask("one") + ask("two"), count=2) + told(ask("one") + ask("two"), count=2) == [6.0, 4.0] * 2
        body = b"GET /results/one HTTP/1.1\r\n\r\n"
        for _ in range(2):
            assert told(ask("two", f"Content-Length: {len(body)}"), body) == [4.0]
        assert told(ask("two")) == [4.0]
        connection.sendall(ask("two", "If-None-Match: *") * 2)
        time.sleep(0.05)
        connection.sendall(asked([5.0] * 3) + ask("one", "Connection: close"))
        assert stream.read().count(b"HTTP/1.1 304 ") == 2
    assert TOLD == []  # all of it went the shortest way
