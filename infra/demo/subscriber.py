"""A small HTTP service that subscribes to events and keeps what it receives."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from events.codec import decode
from events.errors import BadEvent
from events.event import Event


class Subscriber:
    """Listens on a free port of this machine while it is used as a context; ``events`` fills up."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        received = self.events

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"] or 0))
                pairs = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in self.headers.items()]
                try:
                    received.extend(decode(pairs, body))
                    self.send_response(204)
                except BadEvent as error:
                    self.send_response(400, str(error))
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                """Nothing: what it receives is shown by who owns it."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, name="subscriber", daemon=True)
        self.url = f"http://127.0.0.1:{self._server.server_port}/"

    def __enter__(self) -> Subscriber:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
