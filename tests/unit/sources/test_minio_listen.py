"""The real minio SDK follows the real door's stream; broken streams are taken up again, with a sweep each time."""

from __future__ import annotations

import json
import threading
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest
from minio import Minio
from minio.error import S3Error

from infra.objects.s3 import S3Store
from infra.sources.minio import Listener
from tests.conftest import ACCESS, SECRET, eventually
from tests.plain_http import Silent, answering

CSV = b"a,b\n1,2\n"


@pytest.fixture
def quiet(objects, lake):
    """A bucket that tells nobody."""
    objects.ensure("raw")
    objects.client.put_bucket_notification_configuration(Bucket="raw", NotificationConfiguration={})
    return objects


def types(lake) -> list[tuple[str, str]]:
    return [(event.type.rpartition(".")[2], event.subject) for _, _, event in lake.log.tail(0, 1000, "com.amazonaws.s3.*")]


def test_what_happens_in_the_door_is_heard(quiet, lake):
    asked: list[tuple[str, str]] = []
    listener = Listener("s3://raw/in/", quiet, lake, lambda *place: asked.append(place))
    listener.start()
    try:
        eventually(lambda: asked == [("raw", "in/")])
        quiet.write("raw", "out.csv", CSV)
        quiet.write("raw", "in/ü +%.csv", CSV)
        quiet.delete("raw", "in/ü +%.csv")
        eventually(lambda: len(types(lake)) == 2)
    finally:
        listener.stop()
    assert types(lake) == [("ObjectCreated:Put", "in/ü +%.csv"), ("ObjectRemoved:Delete", "in/ü +%.csv")]
    assert listener.connections == 1


def test_the_door_ends_a_stream_when_it_closes(quiet, lake, door):
    sweeps = threading.Semaphore(0)
    listener = Listener("s3://raw", quiet, lake, lambda *_: sweeps.release())
    listener.start()
    try:
        assert sweeps.acquire(timeout=10)
        door.hang_up()
        assert sweeps.acquire(timeout=10)  # connected again, so swept again
        quiet.write("raw", "after.csv", CSV)
        eventually(
            lambda: ("ObjectCreated:Put", "after.csv") in types(lake)
        )  # its index in the lake's own bucket is told of too
    finally:
        listener.stop()


def test_an_unknown_event_is_refused(quiet):
    client = Minio(quiet.endpoint.removeprefix("http://"), ACCESS, SECRET, secure=False, region="us-east-1")
    with (
        client.listen_bucket_notification("raw", events=("s3:Nonsense",)) as lines,
        pytest.raises(S3Error, match="InvalidArg"),
    ):
        next(iter(lines))


class StandIn(Silent):
    """Speaks MinIO's listen protocol: each connection gets one record, keep-alives, and then the end."""

    protocol_version = "HTTP/1.1"
    given = 0
    record: ClassVar[dict] = {}

    def do_GET(self) -> None:
        kind = type(self)
        kind.given += 1
        if kind.given == 2:  # a server that is being restarted
            self.send_error(503)
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        record = json.loads(json.dumps(self.record))
        record["s3"]["object"]["key"] = f"raw +{kind.given}%.csv"
        for line in (b"\n", json.dumps({"Records": [record]}).encode() + b"\n", b'{"Records": []}\n', b" \n"):
            self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))
        if kind.given == 3:
            self.close_connection = True  # in the middle of the stream
            return
        self.wfile.write(b"0\r\n\r\n")


def test_a_stream_that_breaks_is_taken_up_again_with_a_sweep_each_time(lake):
    payload = json.loads((Path(__file__).parents[2] / "payloads" / "minio-listen.json").read_text())
    handler = type("Handler", (StandIn,), {"given": 0, "record": payload["Records"][0]})
    with answering(ThreadingHTTPServer(("127.0.0.1", 0), handler)) as url:
        store = S3Store(url, ACCESS, SECRET)
        sweeps: list[tuple[str, str]] = []
        listener = Listener("s3://bucket", store, lake, lambda *place: sweeps.append(place))
        listener.start()
        try:
            eventually(lambda: {"raw +1%.csv", "raw +3%.csv", "raw +4%.csv"} <= {subject for _, subject in types(lake)})
            assert len(sweeps) >= 3
        finally:
            listener.stop()
            store.close()
