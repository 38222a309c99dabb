"""The quickest requests without a task of their own: small inferences of quick models, and materialised results.

An inference is answered from the turn of the event loop that infers what came together; the rest of the protocol, and
everything that may be wrong, is left to the application, which tells it apart.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any
from urllib.parse import unquote

import msgspec

from infra.runtime.inline import Inline
from infra.runtime.messages import Answer
from infra.serving import protocol, result_routes
from infra.serving.batcher import Batcher, Closed
from infra.serving.tensors import Array

#: Longest JSON, and longest body, that is read here.
JSON_MOST, MOST = 64 << 10, 512 << 10
LENGTH_SIZE = len(protocol.LENGTH)
#: Longest request that is recognised when it comes again.
SHORT = 2 << 10
#: Behind the headers.
END = b"\r\n\r\n"
JSON = (b"content-type", b"application/json")


class Waiting(msgspec.Struct):
    """A request that is inferred in the next turn; has as much of a future as that needs."""

    connection: Quick
    name: str
    request: protocol.Request
    batcher: Batcher
    keep_alive: bool

    def done(self) -> bool:
        """Whether nobody waits any more."""
        return self.connection.gone

    def set_result(self, outputs: dict[str, Array], /) -> None:
        """Answer with the outputs."""
        body, headers = protocol.answer(self.request, self.name, self.batcher.model.version, outputs)
        self.connection.answered(Answer(200, headers, body), self.keep_alive)

    def set_exception(self, error: Exception, /) -> None:
        """Answer that the model could not."""
        self.connection.answered(Answer(500, [JSON], protocol.told({"error": str(error)})), self.keep_alive)


class Quick(Inline):
    """uvicorn's HTTP protocol for ``Serving``: ``uvicorn.Config(..., http=Quick)``."""

    methods = (b"POST", b"GET")
    most = MOST

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._serving: Any = self.config.app
        self._waiting: Waiting | None = None
        self.gone = False
        self._came = self._first = b""  # what is being parsed, and the same if the request at hand began in it
        self._again = b""  # the last request, if a result answered it and it came whole and alone

    def data_received(self, data: bytes) -> None:
        """Parse what came, unless it is the last request again, to the byte: who polls a result asks the same each time."""
        if data == self._again and self._idle() and not self.flow.write_paused and self._repeated():
            return
        self._came, self._first, self._again = data if len(data) <= SHORT else b"", b"", b""
        super().data_received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody needs an answer any more."""
        self.gone = True
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """Answer what waits first: answers leave in the order of the requests."""
        self._settle()
        self._first = self._came
        super().on_message_begin()

    def on_message_complete(self) -> None:
        """Answer, now or with the others of this turn."""
        body = self._body
        if body is not None:
            keep_alive = self._keeps()
            try:
                if self.parser.get_method() == b"GET":
                    done = self._kept(keep_alive)
                    if done and keep_alive and self._first.find(END) == len(self._first) - len(END):
                        self._again = self._first
                else:
                    done = self._asked(body, keep_alive)
            except Exception:
                done = False  # it will fail again in the application, which says why
            if done:
                self._body = None
                return
        super().on_message_complete()

    def answered(self, answer: Answer, keep_alive: bool) -> None:
        """Send the answer to what waits."""
        self._waiting = None
        self._write(answer, keep_alive)

    def shutdown(self) -> None:
        """End the connection when what was asked is answered."""
        self._settle()
        super().shutdown()

    def _repeated(self) -> bool:
        """Answer the last request once more; whether that worked."""
        try:
            return self._kept(True)
        except Exception:
            return False  # the application will say why

    def _settle(self) -> None:
        if self._waiting is not None:
            self._waiting.batcher.flush()

    def _idle(self) -> bool:
        return self._waiting is None and super()._idle()

    def _answer(self, body: bytes) -> Answer | None:
        """Nothing more is known of a request that was not answered above."""
        return None

    def _asked(self, body: bytes, keep_alive: bool) -> bool:
        """Let an inference wait for the turn, if it is small and its model quick; whether it does."""
        place = _model_of(self._url)
        if place is None:
            return False
        length = None
        for header, value in self._headers:
            if len(header) == LENGTH_SIZE and header.lower() == protocol.LENGTH:
                length = int(value)
        if (len(body) if length is None else length) > JSON_MOST:
            return False
        request = protocol.parse(body, length)
        name, version = place
        batcher: Batcher = self._serving.shelf.pick(name, version)
        batcher.model.check(request.inputs, request.outputs)
        waiting = Waiting(self, name, request, batcher, keep_alive)
        try:
            if batcher.offer(request.inputs, request.outputs, waiting, self.loop):
                self._waiting = waiting
        except Closed:
            return False  # another has its place: the application finds it
        return self._waiting is not None

    def _kept(self, keep_alive: bool) -> bool:
        """Answer with a materialised result, if it is in memory; whether it was."""
        results, name = self._serving.results, _result_of(self._url)
        if results is None or not name or not results.fresh(name):
            return False
        held = results.get(name)
        if held is None:
            return False
        self._write(result_routes.found(held, results.stale(name), self._headers), keep_alive)
        return True


@lru_cache(1024)
def _model_of(url: bytes) -> tuple[str, str] | None:
    """Name and version (empty: the default one) that an inference is asked of."""
    steps = [unquote(step) for step in url.partition(b"?")[0].decode("latin-1").split("/") if step]
    if steps[:2] != ["v2", "models"] or steps[-1] != "infer" or len(steps) < 4:
        return None
    rest = steps[2:-1]
    if len(rest) > 2 and rest[-2] == "versions":
        return "/".join(rest[:-2]), rest[-1]
    return "/".join(rest), ""


@lru_cache(1024)
def _result_of(url: bytes) -> str:
    steps = url.partition(b"?")[0].decode("latin-1").split("/")
    return unquote(steps[2]) if len(steps) == 3 and steps[1] == "results" else ""
