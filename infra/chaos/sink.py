"""What listens on the other side: a subscriber of each temper, and a network that keeps a store's notifications back."""

from __future__ import annotations

import json
import threading
from collections import defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

#: How often ``/flaky`` refuses an event before it takes it.
REFUSALS = 2


class Sink:
    """An HTTP server on a free loopback port.

    ``/ok`` takes every event, ``/flaky`` answers 500 twice first, ``/never`` always; ``/records`` keeps notifications.
    ``taken`` has the ids of the events each path took, ``refused`` of those it did not, in their order, repetitions too;
    ``calls`` the paths of all requests.
    """

    def __init__(self) -> None:
        self.taken: dict[str, list[str]] = defaultdict(list)
        self.refused: dict[str, list[str]] = defaultdict(list)
        self.records: list[dict[str, Any]] = []
        self.calls: list[str] = []
        self._lock = threading.Lock()
        sink = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                self.send_response(sink.take(self.path, self.headers.get("ce-id", ""), body))
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                """Nothing: the verdict tells."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            block_on_close = False
            request_queue_size = 128

            def handle_error(self, request: Any, client_address: Any) -> None:
                """Nothing: a killed client is what this is for."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def take(self, path: str, id: str, body: bytes) -> int:
        """The HTTP status for one request."""
        with self._lock:
            self.calls.append(path)
            if path == "/records":
                self.records += json.loads(body)["Records"]
                return 204
            refuse = path == "/never" or (path == "/flaky" and self.refused[path].count(id) < REFUSALS)
            (self.refused if refuse else self.taken)[path].append(id)
            return 500 if refuse else 204

    def forget(self) -> None:
        """Begin a round with nothing."""
        with self._lock:
            self.taken.clear()
            self.refused.clear()
            self.records.clear()
            self.calls.clear()

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
