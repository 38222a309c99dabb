"""A real door behind a real uvicorn on a free port, and clients of it."""

from __future__ import annotations

import hashlib
import http.client
import itertools
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest
import uvicorn
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from infra.objects.door import Door

ACCESS, SECRET = "AKTEST", "secret/of+the=test"
ROOT = Path(__file__).parents[3]
names = itertools.count()


class Answer:
    """What came back over a bare connection."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status = response.status
        self.headers = {name.lower(): value for name, value in response.getheaders()}
        self.body = response.read()

    @property
    def code(self) -> str:
        text = self.body.decode()
        return text[text.index("<Code>") + 6 : text.index("</Code>")] if "<Code>" in text else ""


class Endpoint:
    """A served door: clients of it, and requests made by hand."""

    access, secret = ACCESS, SECRET

    def __init__(self, port: int, door: Door | None = None) -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self._door = door
        self._clients: list[Any] = []

    @property
    def door(self) -> Door:
        assert self._door is not None
        return self._door

    def client(self, access: str = ACCESS, secret: str = SECRET, **config: Any) -> Any:
        client = boto3.client(
            "s3",
            endpoint_url=self.url,
            aws_access_key_id=access,
            aws_secret_access_key=secret,
            region_name="us-east-1",
            config=Config(retries={"max_attempts": 1}, s3={"addressing_style": "path"}, **config),
        )
        self._clients.append(client)
        return client

    def send(self, method: str, target: str, body: bytes = b"", headers: dict[str, str] | None = None) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.putrequest(method, target, skip_accept_encoding=True)
            for name, value in ({"content-length": str(len(body))} | (headers or {})).items():
                connection.putheader(name, value)
            connection.endheaders(body)
            return Answer(connection.getresponse())
        finally:
            connection.close()

    def sign(
        self, method: str, target: str, payload: str = "", headers: dict[str, str] | None = None, secret: str = SECRET
    ) -> dict[str, str]:
        """Headers that sign the request; ``payload`` is what x-amz-content-sha256 shall say."""
        request = AWSRequest(method, self.url + target, headers={"X-Amz-Content-SHA256": payload, **(headers or {})})
        request.context["payload_signing_enabled"] = True
        signer = _Signer(Credentials(ACCESS, secret), "s3", "us-east-1")
        signer.claim = payload
        signer.add_auth(request)
        return dict(request.headers.items())

    def call(self, method: str, target: str, body: bytes = b"", headers: dict[str, str] | None = None) -> Answer:
        """A signed request."""
        return self.send(method, target, body, self.sign(method, target, hashlib.sha256(body).hexdigest(), headers))

    def close(self) -> None:
        for client in self._clients:
            client.close()


class _Signer(S3SigV4Auth):
    claim = ""

    def payload(self, request: Any) -> str:
        return self.claim


@contextmanager
def serving(door: Door) -> Iterator[Endpoint]:
    server = uvicorn.Server(
        uvicorn.Config(door.app, host="127.0.0.1", port=0, log_level="warning", access_log=False, ws="none", lifespan="off")
    )
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.005)
    endpoint = Endpoint(server.servers[0].sockets[0].getsockname()[1], door)
    try:
        yield endpoint
    finally:
        endpoint.close()
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    door = Door(tmp_path_factory.mktemp("door"), {ACCESS: SECRET}, targets={"hook": "http://127.0.0.1:9/"})
    with serving(door) as endpoint:
        yield endpoint
    door.close()


@pytest.fixture
def serve() -> Any:
    """Serve a door of one's own."""
    return serving


@pytest.fixture(scope="module")
def s3(served: Endpoint) -> Any:
    return served.client()


@pytest.fixture
def bucket(s3: Any) -> str:
    name = f"bucket-{next(names)}"
    s3.create_bucket(Bucket=name)
    return name


PROGRAM = """
import sys, socket, uvicorn
from pathlib import Path
from infra.objects.door import Door
listener = socket.socket()
listener.bind(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
door = Door(Path(sys.argv[1]), {sys.argv[2]: sys.argv[3]})
config = uvicorn.Config(door.app, log_level="warning", access_log=False, ws="none", lifespan="off")
uvicorn.Server(config).run(sockets=[listener])
door.close()
"""


@pytest.fixture
def spawn() -> Iterator[Callable[[Path], tuple[subprocess.Popen[str], Endpoint]]]:
    """Start doors in processes of their own; they are killed at the end."""
    started: list[tuple[subprocess.Popen[str], Endpoint]] = []

    def start(folder: Path) -> tuple[subprocess.Popen[str], Endpoint]:
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(folder), ACCESS, SECRET],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        assert process.stdout is not None
        endpoint = Endpoint(int(process.stdout.readline()))
        started.append((process, endpoint))
        end = time.monotonic() + 30
        while True:
            try:
                endpoint.send("GET", "/")
                return process, endpoint
            except OSError:
                assert time.monotonic() < end
                time.sleep(0.02)

    yield start
    for process, endpoint in started:
        endpoint.close()
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


@pytest.fixture
def refused() -> Callable[..., str]:
    """The code with which a boto3 call is refused."""

    def code(call: Callable[..., Any], **arguments: Any) -> str:
        with pytest.raises(ClientError) as caught:
            call(**arguments)
        return str(caught.value.response["Error"]["Code"])

    return code
