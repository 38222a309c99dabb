"""Requests answered where they are parsed, over real sockets: what uvicorn answers must come in the same order and form."""

from __future__ import annotations

import asyncio
import contextvars
import re
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import uvicorn

from events.errors import BadEvent
from infra.runtime.inline import LIMIT, Inline
from infra.runtime.messages import Answer, body_of

SEEN: contextvars.ContextVar[str] = contextvars.ContextVar("seen", default="nothing")


class Echo:
    """Answers with the body: at once, unless that asks to wait. ``calls`` says which way each request went."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.calls.append("task")
        status = 200
        try:
            body = await body_of(scope["headers"], receive)
        except BadEvent as error:
            status, body = 400, str(error).encode()
        if body.startswith(b"slow"):
            await asyncio.sleep(0.3)
        if body == b"fail":
            raise RuntimeError("as asked")
        headers = [(b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def at_once(self, headers: list[tuple[bytes, bytes]], body: bytes) -> Answer | None:
        if body == b"fail":
            raise RuntimeError("as asked")
        if body.startswith(b"slow"):
            return None
        self.calls.append("inline")
        if body == b"nothing":
            return Answer(204, [], b"")
        if body == b"context":
            body = SEEN.get().encode()
            SEEN.set("the request before")
        return Answer(200, [(b"x-length", str(len(body)).encode())], body)


@pytest.fixture
def echo() -> Iterator[tuple[Echo, int, uvicorn.Server]]:
    """A server of ``Echo`` in a thread, and its port."""
    app = Echo()
    config = uvicorn.Config(app, http=Inline, port=0, lifespan="off", ws="none", log_config=None, timeout_keep_alive=2)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield app, server.servers[0].sockets[0].getsockname()[1], server
    server.should_exit = True
    thread.join(10)
    assert not thread.is_alive()


def post(body: bytes, *headers: str, version: str = "1.1") -> bytes:
    head = "".join(f"{each}\r\n" for each in (f"Content-Length: {len(body)}", "Host: x", *headers))
    return f"POST / HTTP/{version}\r\n{head}\r\n".encode() + body


def talk(port: int, *parts: bytes, end: bytes = b"END") -> bytes:
    """Send the parts apart; what came until the connection ended, or ``end`` did."""
    with socket.create_connection(("127.0.0.1", port), 10) as connection:
        for number, part in enumerate(parts):
            time.sleep(0.05 if number else 0)
            connection.sendall(part)
        got = b""
        while not got.endswith(end) and (more := connection.recv(1 << 20)):
            got += more
    return got


def test_a_quick_answer_needs_no_task(echo) -> None:
    app, port, _ = echo
    got = talk(port, post(b"the END"))
    assert got.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"\r\nx-length: 7\r\ncontent-length: 7\r\n\r\nthe END" in got
    assert b"connection: close" not in got
    assert app.calls == ["inline"]


def test_no_content_has_no_length(echo) -> None:
    _, port, _ = echo
    got = talk(port, post(b"nothing"), end=b"\r\n\r\n")
    assert got.startswith(b"HTTP/1.1 204 No Content\r\n")
    assert b"length" not in got


def test_a_body_may_come_in_pieces_and_chunks(echo) -> None:
    app, port, _ = echo
    whole = post(b"a body in pieces END")
    assert talk(port, whole[:20], whole[20:40], whole[40:-9], whole[-9:]).endswith(b"\r\n\r\na body in pieces END")
    chunked = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nsome \r\n3\r\nEND\r\n0\r\n\r\n"
    assert talk(port, chunked).endswith(b"\r\n\r\nsome END")
    assert app.calls == ["inline", "inline"]


def test_answers_leave_in_the_order_of_the_requests(echo) -> None:
    app, port, _ = echo
    bodies = [b"one", b"slow two", b"three", b"slow four", b"five", b"END"]
    got = talk(port, b"".join(map(post, bodies)))
    assert [part.rpartition(b"\r\n\r\n")[2] for part in got.split(b"HTTP/1.1 ")[1:]] == bodies
    assert app.calls[0] == "inline"
    assert set(app.calls[1:]) == {"task"}


def test_many_at_once_are_all_answered(echo) -> None:
    app, port, _ = echo
    got = talk(port, post(b"x" * 1000) * 2000 + post(b"END"))
    assert got.count(b"HTTP/1.1 200 OK") == 2001
    assert app.calls.count("inline") >= 1


@pytest.mark.parametrize(
    "request_",
    [post(b"slow END"), post(b"x" * LIMIT + b"END"), post(b"END", "X-Long: " + "y" * LIMIT),
     post(b"END").replace(b"POST", b"PUT")],
    ids=["slow", "large", "headers", "put"],
)  # fmt: skip
def test_everything_else_goes_its_usual_way(echo, request_) -> None:
    app, port, _ = echo
    assert talk(port, request_).endswith(b"END")
    assert app.calls == ["task"]


def test_who_waits_for_continue_is_told(echo) -> None:
    _, port, _ = echo
    whole = post(b"END", "Expect: 100-Continue")
    got = talk(port, whole[:-3], whole[-3:])
    assert got.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n")


def test_a_chunked_body_has_no_length_to_keep(echo) -> None:
    _, port, _ = echo
    chunked = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n8\r\nslow END\r\n0\r\n\r\n"
    assert talk(port, chunked).endswith(b"\r\n\r\nslow END")


@pytest.mark.parametrize("body", [b"END", b"slow END"])
def test_a_request_that_offers_an_upgrade_is_read_as_it_is(echo, body) -> None:
    app, port, _ = echo
    offer = post(body, "Upgrade: h2c", "HTTP2-Settings: AAEAAEAA", "Connection: Upgrade, HTTP2-Settings")
    for parts in ([offer], [offer[:30], offer[30:-3], offer[-3:]], [post(b"slow first") + offer]):
        got = talk(port, *parts, end=b"\r\n\r\n" + body)
        assert re.findall(rb"HTTP/1.1 ([0-9]+) ", got) == [b"200"] * (2 if b"first" in parts[0] else 1)
    assert app.calls == (["inline", "inline", "task", "task"] if body == b"END" else ["task"] * 4)


def test_thousands_of_offers_at_once_are_answered_in_their_order(echo) -> None:
    _, port, _ = echo
    offers = b"".join(post(b"%04d;" % number, "Upgrade: h2c", "Connection: upgrade") for number in range(3000))
    got = talk(port, offers + post(b"END"))
    assert re.findall(rb"([0-9]{4});", got) == [b"%04d" % number for number in range(3000)]


def test_what_raises_is_answered_500(echo) -> None:
    _, port, _ = echo
    assert talk(port, post(b"fail")).startswith(b"HTTP/1.1 500 ")


@pytest.mark.parametrize(
    "asked", [post(b"a END", "Connection: close"), post(b"a END", "Connection: keep-alive", version="1.0")]
)
def test_a_connection_that_is_to_close_is_closed(echo, asked) -> None:
    _, port, _ = echo
    got = talk(port, asked + post(b"never"), end=b"no such end")
    assert b"\r\nconnection: close\r\n" in got
    assert got.endswith(b"a END")


def test_garbage_after_a_request_does_not_cost_its_answer(echo) -> None:
    _, port, _ = echo
    got = talk(port, post(b"first") + b"no request\r\n\r\n", end=b"no such end")
    assert b"\r\n\r\nfirst" in got
    assert b"HTTP/1.1 400 " in got


def test_no_request_sees_the_context_of_another(echo) -> None:
    _, port, _ = echo
    got = talk(port, post(b"context") + post(b"context") + post(b"END"))
    assert got.count(b"nothing") == 2


def test_an_idle_connection_is_closed(echo) -> None:
    _, port, _ = echo
    assert talk(port, post(b"once"), end=b"no such end").endswith(b"once")


def test_a_connection_in_use_stays_open(echo) -> None:
    _, port, _ = echo
    with socket.create_connection(("127.0.0.1", port), 10) as connection:
        for number, body in enumerate((b"quick", b"slow", b"quick", b"END")):
            time.sleep(0.8 if number else 0)  # together longer than an idle connection lives
            connection.sendall(post(body))
            assert connection.recv(4096)


def test_a_server_ends_although_a_request_has_only_begun(echo) -> None:
    _, port, server = echo
    with socket.create_connection(("127.0.0.1", port), 10) as connection:
        connection.sendall(post(b"END")[:20])
        time.sleep(0.2)
        server.should_exit = True
        assert connection.recv(4096) == b""


def test_a_request_on_its_way_is_answered_before_the_server_ends(echo) -> None:
    _, port, server = echo
    whole = post(b"late END")
    with socket.create_connection(("127.0.0.1", port), 10) as connection:
        connection.sendall(whole[:-5])
        time.sleep(0.2)
        server.should_exit = True
        time.sleep(0.5)
        connection.sendall(whole[-5:])
        got = b""
        while more := connection.recv(4096):
            got += more
    assert got.endswith(b"late END")


def test_who_leaves_in_the_middle_leaves_nothing(echo) -> None:
    app, port, _ = echo
    with socket.create_connection(("127.0.0.1", port), 10) as connection:
        connection.sendall(post(b"a body that does not end")[:-5])
        time.sleep(0.1)
    assert talk(port, post(b"END")).endswith(b"END")
    assert app.calls == ["inline"]
