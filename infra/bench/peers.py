"""The peers of the dispatch benchmark: each in an environment of its own, with the same handler over the same payload."""

from __future__ import annotations

import fcntl
import json
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
BUILD = ROOT / "build" / "peers"
TYPE = "com.amazonaws.s3.ObjectCreated:Put"
#: What Ceph RGW posts when an object is put, as the data of a CloudEvent.
RECORD = {
    "eventVersion": "2.2", "eventSource": "ceph:s3", "awsRegion": "default", "eventTime": "2026-05-01T10:00:00.123456Z",
    "eventName": "ObjectCreated:Put", "userIdentity": {"principalId": "sluice"}, "requestParameters": {"sourceIPAddress": ""},
    "responseElements": {"x-amz-request-id": "4f3c2e1d-0000-4444.4567.123456789", "x-amz-id-2": "1234-default-default"},
    "s3": {
        "s3SchemaVersion": "1.0", "configurationId": "lake",
        "bucket": {"name": "lake", "ownerIdentity": {"principalId": "sluice"}, "arn": "arn:aws:s3:default::lake",
                   "id": "12345678-aaaa-bbbb-cccc-1234567890ab.4567.1"},
        "object": {"key": "raw/2026/05/01/observation-0001.fits", "size": 1048576, "eTag": "9b2cf535f27731c974343645a3985328",
                   "versionId": "", "sequencer": "F0B2A36812345678",
                   "metadata": [{"key": "x-amz-meta-owner", "val": "radio"}], "tags": []},
    },
    "eventId": "1777629600.123456.9b2cf535f27731c974343645a3985328", "opaqueData": "",
}  # fmt: skip
BODY = json.dumps(RECORD)
HEADERS = {
    "content-type": "application/json",
    "ce-specversion": "1.0",
    "ce-id": "4f3c2e1d-0000-4444.1234-default",
    "ce-source": "ceph:s3.default.lake",
    "ce-type": TYPE,
    "ce-subject": "raw/2026/05/01/observation-0001.fits",
    "ce-time": "2026-05-01T10:00:00.123456Z",
    "ce-partitionkey": "lake/raw/2026/05/01/observation-0001.fits",
    "ce-sequence": "F0B2A36812345678",
    "prefer": "reply",
}
#: The work of every side's handler: check what came, take four fields, answer with one event (where the peer can).
WORK = """
def work(type, data):
    assert type == "com.amazonaws.s3.ObjectCreated:Put"
    s3 = data["s3"]
    found = s3["object"]
    return {"bucket": s3["bucket"]["name"], "key": found["key"], "size": found["size"], "etag": found["eTag"]}

REPLY = {"type": "dev.sluice.object.ingested.v1", "source": "/bench/handle"}
"""
OURS = (
    WORK
    + """
from collections.abc import Iterator
from events.event import Event
from events.route import on

@on("com.amazonaws.s3.ObjectCreated:*")
def handle(event: Event) -> Iterator[Event]:
    yield event.reply(work(event.type, event.data), type=REPLY["type"])
"""
)
FRAMEWORK = (
    WORK
    + """
import functions_framework
from cloudevents.http import CloudEvent

@functions_framework.cloud_event
def handle(event):
    return CloudEvent(REPLY, work(event["type"], event.data))
"""
)
FRAMEWORK_ASGI = (
    WORK
    + """
import functions_framework.aio
from cloudevents.http import CloudEvent

@functions_framework.aio.cloud_event
async def handle(event):
    return CloudEvent(REPLY, work(event["type"], event.data))
"""
)
FUNC_PYTHON = (
    WORK
    + """
from cloudevents.core.v1.event import CloudEvent
from func_python.cloudevent import serve
import uuid

async def handle(scope, receive, send):
    event = scope["event"]
    data = work(event.get_type(), event.get_data())
    more = {"id": str(uuid.uuid4()), "specversion": "1.0", "datacontenttype": "application/json"}
    await send(CloudEvent({**REPLY, **more}, data))

serve(handle)
"""
)
FASTAPI = (
    WORK
    + """
from cloudevents.conversion import to_binary
from cloudevents.http import CloudEvent, from_http
from fastapi import FastAPI, Request, Response

app = FastAPI()

@app.post("/")
async def handle(request: Request):
    event = from_http(request.headers, await request.body())
    headers, body = to_binary(CloudEvent(REPLY, work(event["type"], event.data)))
    return Response(body, headers=headers)
"""
)
STARLETTE = (
    WORK
    + """
from cloudevents.conversion import to_binary
from cloudevents.http import CloudEvent, from_http
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

async def handle(request):
    event = from_http(request.headers, await request.body())
    headers, body = to_binary(CloudEvent(REPLY, work(event["type"], event.data)))
    return Response(body, headers=headers)

app = Starlette(routes=[Route("/", handle, methods=["POST"])])
"""
)
FASTSTREAM = (
    WORK
    + """
from cloudevents.conversion import to_binary
from cloudevents.http import CloudEvent, from_http
from faststream.asgi import AsgiFastStream, AsgiResponse, Request, post

@post
async def handle(request: Request):
    event = from_http(request.headers, await request.body())
    headers, body = to_binary(CloudEvent(REPLY, work(event["type"], event.data)))
    return AsgiResponse(body, 200, headers)

app = AsgiFastStream(asgi_routes=[("/", handle)])
"""
)
RAW = """
START = {"type": "http.response.start", "status": 204, "headers": []}
END = {"type": "http.response.body", "body": b""}

async def app(scope, receive, send):
    await send(START)
    await send(END)
"""
_UVICORN = ["-m", "uvicorn", "main:app", "--port", "{port}", "--no-access-log", "--log-level", "warning", "--lifespan", "off",
            "--ws", "none", "--no-server-header"]  # fmt: skip


@dataclass(frozen=True)
class Peer:
    """One side: the packages its environment has (none: this one's), its program, and how ``python`` is called to serve it."""

    code: str
    command: list[str]
    packages: list[str] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)


_FF = ["-m", "functions_framework", "--target", "handle", "--source", "main.py", "--host", "127.0.0.1", "--port", "{port}"]
_SDK = ["cloudevents==1.13.0", "uvicorn[standard]==0.54.0"]
PEERS = {
    "ours": Peer(OURS, ["-m", "infra.runtime.knative"],
                 environment={"SLUICE_FUNCTIONS": "[main]", "SLUICE_RUNTIME_HOST": "127.0.0.1", "PORT": "{port}"}),
    "functions_framework": Peer(FRAMEWORK, [*_FF, "--signature-type", "cloudevent"], ["functions-framework==3.10.2"]),
    "functions_framework_asgi": Peer(FRAMEWORK_ASGI, [*_FF, "--signature-type", "cloudevent", "--asgi"],
                                     ["functions-framework[async]==3.10.2", "uvloop==0.23.0", "httptools==0.9.0"]),
    "func_python": Peer(FUNC_PYTHON, ["main.py"], ["func-python==0.8.1"], {"LISTEN_ADDRESS": "127.0.0.1:{port}"}),
    "fastapi_sdk": Peer(FASTAPI, _UVICORN, ["fastapi==0.165.0", *_SDK]),
    "starlette_sdk": Peer(STARLETTE, _UVICORN, ["starlette==1.10.0", *_SDK]),
    "faststream": Peer(FASTSTREAM, _UVICORN, ["faststream==0.7.8", *_SDK]),
    "raw_uvicorn": Peer(RAW, _UVICORN),
}  # fmt: skip


def prepare(name: str, peers: dict[str, Peer] = PEERS) -> tuple[list[str], Path, dict[str, str]]:
    """Make the peer's environment unless it is there: its command (``{port}`` is to be filled in), folder and environment."""
    peer, folder = peers[name], BUILD / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "main.py").write_text(peer.code)
    python = Path(sys.executable)
    if peer.packages:
        python, mark = folder / "venv" / "bin" / "python", folder / "installed"
        with (folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # tests and benchmarks may want it at the same time
            if not (mark.exists() and mark.read_text() == repr(peer.packages)):
                mark.unlink(missing_ok=True)
                subprocess.run([sys.executable, "-m", "venv", "--clear", folder / "venv"], check=True)
                subprocess.run(
                    [python, "-m", "pip", "install", "-q", "--disable-pip-version-check", *peer.packages], check=True
                )
                mark.write_text(repr(peer.packages))
    return [str(python), *peer.command], folder, peer.environment
