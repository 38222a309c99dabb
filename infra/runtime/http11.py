"""A request that offers an upgrade is read as the HTTP/1.1 it is written in: nothing here speaks anything else.

Java's ``HttpClient`` offers HTTP/2 with its first request. The parser takes what follows such headers for the other protocol,
so that the body would be lost: they are parsed again, without the offer. Source: RFC 9110, 7.8 (a server may ignore it).
"""

from __future__ import annotations

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class Http11(HttpToolsProtocol):
    """uvicorn's HTTP protocol, deaf to ``Upgrade``: ``uvicorn.Config(..., http=Http11)``."""

    def data_received(self, data: bytes) -> None:
        """Parse what came."""
        self._unset_keepalive_if_required()
        part: bytes | memoryview = data
        while len(part):
            try:
                self.parser.feed_data(part)
                return
            except httptools.HttpParserUpgrade as upgrade:
                if not self._is_offer():
                    return  # CONNECT, which is answered like any other method
                self._begin_again()
                part = memoryview(part)[upgrade.args[0] :]
            except httptools.HttpParserError:
                self.logger.warning("Invalid HTTP request received.")
                self.send_400_response("Invalid HTTP request received.")
                return

    def on_headers_complete(self) -> None:
        """Hear of the request, unless its headers are to come again."""
        if not self._is_offer():
            super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Hear of its end, which has not come where the headers are to come again."""
        if not self._is_offer():
            super().on_message_complete()

    def _is_offer(self) -> bool:
        return bool(self.parser.should_upgrade()) and self.parser.get_method() != b"CONNECT"

    def _begin_again(self) -> None:
        """Parse the headers that uvicorn has gathered a second time, in a new parser."""
        line = b" ".join((self.parser.get_method(), self.url, b"HTTP/" + self.parser.get_http_version().encode()))
        kept = [name + b": " + value for name, value in self.headers if name != b"upgrade"]
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn sets it
        self.parser.feed_data(b"\r\n".join((line, *kept, b"", b"")))
