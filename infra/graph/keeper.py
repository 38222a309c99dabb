"""The process that holds the embedded store: one RocksDB has one owner, and a query that takes too long ends with its process.

Nothing in Oxigraph can interrupt a query. So the store is kept by a process of its own, which its owner (``oxigraph.py``) ends
and starts again when a query's time is up: what was committed is on the disk. It serves each of the sockets that it inherits
in a thread; a message is its length (4 bytes) and MessagePack. When a socket is closed, the owner is gone, and so goes this.
"""

from __future__ import annotations

import io
import os
import socket
import struct
import sys
import threading
import time
from typing import Any

import msgspec
import pyoxigraph as ox

#: How much memory a query may fill before the process is ended.
MEMORY = 2 << 30
#: After how many bytes of updates the write-ahead log is turned into tables: a start has to read it again, at 5 MB/s.
FLUSH = 2 << 20
_ROWS = {
    "application/sparql-results+json": ox.QueryResultsFormat.JSON,
    "application/sparql-results+xml": ox.QueryResultsFormat.XML,
    "text/csv": ox.QueryResultsFormat.CSV,
    "text/tab-separated-values": ox.QueryResultsFormat.TSV,
}
_TRIPLES = {
    "text/turtle": ox.RdfFormat.TURTLE,
    "application/n-triples": ox.RdfFormat.N_TRIPLES,
    "application/ld+json": ox.RdfFormat.JSON_LD,
    "application/rdf+xml": ox.RdfFormat.RDF_XML,
}
_header = struct.Struct("<I")


def send(to: socket.socket, message: Any) -> None:
    """Send one message."""
    data = msgspec.msgpack.encode(message)
    to.sendall(_header.pack(len(data)) + data)


def receive(of: socket.socket) -> Any:
    """Wait for one message. Raises ``EOFError`` where the other side is gone."""
    (size,) = _header.unpack(_exactly(of, _header.size))
    return msgspec.msgpack.decode(_exactly(of, size))


def serialise(results: Any, rows: str, triples: str, most: int) -> tuple[str, bytes]:
    """The results of a query in the format for their kind, and which that is. Raises ``OverflowError`` beyond ``most``."""
    media = triples if isinstance(results, ox.QueryTriples) else rows
    out = _Limited(most)
    formats: dict[str, Any] = _TRIPLES if isinstance(results, ox.QueryTriples) else _ROWS
    try:
        results.serialize(out, formats[media])
    except Exception:
        if out.full:
            raise OverflowError(f"the result is larger than {most} bytes") from None
        raise
    return media, out.getvalue()


class _Limited(io.BytesIO):
    """A buffer that takes no more than so many bytes."""

    full = False

    def __init__(self, most: int) -> None:
        super().__init__()
        self._most = most

    def write(self, data: Any) -> int:
        if self.tell() + len(data) > self._most:
            self.full = True
            raise OSError("full")
        return super().write(data)


class _Keeper:
    def __init__(self, folder: str) -> None:
        self._store = _opened(folder)
        self._unflushed = 0

    def serve(self, client: socket.socket) -> None:
        """Answer what comes over a socket."""
        try:
            while True:
                do, *arguments = receive(client)
                try:
                    answer = {"ok": getattr(self, f"do_{do}")(*arguments)}
                except SyntaxError as error:
                    answer = {"syntax": str(error)}
                except OverflowError as error:
                    answer = {"large": str(error)}
                except Exception as error:  # what Oxigraph says goes to the owner
                    answer = {"error": " ".join(str(error).split())[:500] or type(error).__name__}
                send(client, answer)
        except (EOFError, OSError):
            os._exit(0)  # the owner is gone; a query may be running, and nothing else would end it

    def do_query(
        self, text: str, default: list[str] | None, named: list[str] | None, rows: str, triples: str, most: int
    ) -> tuple[str, bytes]:
        results = self._store.query(text, default_graph=_nodes(default), named_graphs=_nodes(named))
        return serialise(results, rows, triples, most)

    def do_update(self, text: str) -> None:
        self._store.update(text)
        self._unflushed += len(text)
        if self._unflushed > FLUSH:
            self._unflushed = 0
            self._store.flush()

    def do_graphs(self) -> list[str]:
        return sorted(node.value for node in self._store.named_graphs() if isinstance(node, ox.NamedNode) and self._some(node))

    def _some(self, graph: ox.NamedNode) -> bool:
        return next(iter(self._store.quads_for_pattern(None, None, None, graph)), None) is not None


def _nodes(graphs: list[str] | None) -> Any:
    return None if graphs is None else [ox.NamedNode(graph) for graph in graphs]


def _exactly(of: socket.socket, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        part = of.recv(min(size - len(data), 1 << 20))
        if not part:
            raise EOFError
        data += part
    return bytes(data)


def _opened(folder: str) -> ox.Store:
    end = time.monotonic() + 10
    while True:
        try:
            return ox.Store(folder)
        except OSError as error:  # the process before this one may be about to end
            if "lock" not in str(error).lower() or time.monotonic() > end:
                raise
            time.sleep(0.05)


def main() -> None:
    """Open the store, say so over the first socket, serve them all."""
    import resource

    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sockets = [socket.socket(fileno=int(number)) for number in sys.argv[2:]]
    try:
        keeper = _Keeper(sys.argv[1])
    except OSError as error:
        send(sockets[0], {"error": str(error)})
        return
    send(sockets[0], {"ok": True})
    threads = [threading.Thread(target=keeper.serve, args=(each,), daemon=True) for each in sockets]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main()
