"""The embedded store of triples: Oxigraph on RocksDB in a folder, held by a process of its own (``keeper.py``)."""

from __future__ import annotations

import contextlib
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from events.errors import Reject, Retry
from events.ports import GraphChange
from infra.graph import keeper
from infra.graph.sparql import describe
from infra.graph.store import Answer, Ask, SparqlStore, TooLarge, TooLong, dataset
from infra.graph.terms import updates

#: How many queries run at the same time.
TOGETHER = 4
#: How often a query is asked again whose process was ended because of another one.
TRIES = 2
OPEN_S, UPDATE_S = 120.0, 120.0
_POSITION = re.compile(r"^error at (\d+):(\d+)")


class OxigraphStore(SparqlStore):
    """Opens the store of a folder for this process alone. Raises ``Retry`` while another one has it open."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._starting, self._updating = threading.Lock(), threading.Lock()
        self._process: _Process | None = None
        self._closed = False
        self._running()

    def change(self, changes: Sequence[GraphChange]) -> None:
        """See the port ``GraphStore``."""
        text = " ;\n".join(updates(changes, 1 << 62))
        if text:
            self._call(["update", text], UPDATE_S, update=True)

    def answer(self, ask: Ask) -> Answer:
        """See ``SparqlStore``."""
        describe(ask.query)
        default, named = dataset(ask)
        answer = self._call(["query", ask.query, default, named, ask.rows, ask.triples, ask.most], ask.seconds)
        return Answer(*answer)

    def graphs(self) -> list[str]:
        """The graphs that have triples, sorted."""
        found: list[str] = self._call(["graphs"], UPDATE_S)
        return found

    def close(self) -> None:
        """End the process."""
        with self._starting:
            self._closed = True
            if self._process is not None:
                self._process.end()
                self._process = None

    def _call(self, request: list[Any], seconds: float, *, update: bool = False) -> Any:
        end = time.monotonic() + seconds
        for _ in range(TRIES):
            process = self._running()
            try:
                with self._updating if update else contextlib.nullcontext(), process.slot(update, end) as slot:
                    slot.settimeout(max(0.01, end - time.monotonic()))
                    keeper.send(slot, request)
                    answer = keeper.receive(slot)
            except TimeoutError as error:
                self._discard(process)
                raise TooLong(f"it was ended because it took longer than {seconds:g} s") from error
            except Empty as error:
                raise Retry(f"{TOGETHER} other queries are running; ask again") from error
            except (EOFError, OSError):
                self._discard(process)
                continue
            return _result(answer)
        if update:
            raise Retry("the process of the graph store ends whenever it is asked to change something")
        raise TooLarge("the process of the graph store ended: a query used more memory than there is for it")

    def _running(self) -> _Process:
        with self._starting:
            if self._closed:
                raise Retry("the graph store is closed")
            if self._process is None:
                self._process = _Process(self._folder)
            return self._process

    def _discard(self, process: _Process) -> None:
        with self._starting:
            if self._process is process:
                self._process = None
                process.end()


class _Process:
    """One process and the sockets to it: the first is for updates."""

    def __init__(self, folder: Path) -> None:
        pairs = [socket.socketpair() for _ in range(TOGETHER + 1)]
        theirs = [pair[1].fileno() for pair in pairs]
        command = [sys.executable, "-P", keeper.__file__, str(folder), *map(str, theirs)]
        self._process = subprocess.Popen(command, pass_fds=theirs, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _, end in pairs:
            end.close()
        self._sockets = [mine for mine, _ in pairs]
        self._free: SimpleQueue[socket.socket] = SimpleQueue()
        for mine in self._sockets[1:]:
            self._free.put(mine)
        self._sockets[0].settimeout(OPEN_S)
        try:
            answer = keeper.receive(self._sockets[0])
        except (EOFError, OSError):
            answer = {"error": "its process did not start"}
        if "error" in answer:
            self.end()
            if "lock" in answer["error"].lower():
                raise Retry(f"the graph store in {folder} is open in another process: end that one first")
            raise Retry(f"the graph store in {folder} cannot be opened: {answer['error']}")

    @contextlib.contextmanager
    def slot(self, update: bool, end: float) -> Iterator[socket.socket]:
        """A socket for one call. Raises ``Empty`` if none is free in time."""
        if update:
            yield self._sockets[0]
            return
        taken = self._free.get(timeout=max(0.01, end - time.monotonic()))
        yield taken
        self._free.put(taken)

    def end(self) -> None:
        """Kill it: what was committed is on the disk."""
        self._process.kill()
        self._process.wait()
        for each in self._sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)  # whoever waits for an answer is woken
            each.close()


def _result(answer: dict[str, Any]) -> Any:
    if "syntax" in answer:
        said = _POSITION.sub(r"line \1, column \2", answer["syntax"])
        raise Reject(f"the query is malformed, {said[:300]}")
    if "large" in answer:
        raise TooLarge(answer["large"])
    if "error" in answer:
        raise Reject(f"the query cannot be answered: {answer['error']}")
    return answer["ok"]
