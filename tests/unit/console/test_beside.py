"""The lake beside a server, which is started again on other ports."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import ThreadingHTTPServer
from pathlib import Path

import msgspec
import pytest

from events.errors import Retry
from infra.config import Config
from infra.console.beside import BesideClient, BesideStore
from infra.console.client import NotRunning
from infra.runtime.endpoints import FILE, Endpoints
from tests.plain_http import Silent, answering


@contextmanager
def lake(folder: Path, name: str) -> Iterator[None]:
    """A lake that answers with its name, as its API and as the ETag of every object; killed, it leaves word of where it was."""

    class Named(Silent):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            lines = name if self.path.startswith("/status") else {"seq": name}
            self.wfile.write(json.dumps(lines).encode() + b"\n")

        def do_HEAD(self) -> None:
            self.send_response(200)
            self.send_header("ETag", f'"{name}"')
            self.send_header("Content-Length", "1")
            self.end_headers()

    servers = [ThreadingHTTPServer(("127.0.0.1", 0), Named) for _ in range(2)]
    with answering(servers[0]) as api, answering(servers[1]) as door:
        (folder / FILE).write_bytes(msgspec.json.encode(Endpoints(api, door, 1)))
        yield


def test_a_lake_that_was_killed_is_found_again_where_it_is_started(tmp_path: Path) -> None:
    config = Config(data=str(tmp_path))
    with pytest.raises(NotRunning):
        BesideClient(config)
    with lake(tmp_path, "first"):
        api, store = BesideClient(config), BesideStore(config)
        assert (api.get("/status"), store.head("models", "a").etag) == ("first", "first")
    with closing(api), closing(store):
        with pytest.raises(NotRunning):
            api.get("/status")
        with lake(tmp_path, "second"):
            assert [line["seq"] for line in api.follow(0)] == ["second"]
            assert (api.get("/status"), store.head("models", "a").etag) == ("second", "second")
        (tmp_path / FILE).unlink()  # as a lake does that is stopped
        with pytest.raises(NotRunning):
            api.get("/status")
        with pytest.raises(Retry, match="cannot be reached"):
            store.head("models", "a")
