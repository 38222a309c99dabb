"""Loading that is waited for a while only: one model that takes for ever is no reason to load no other.

A version is checked, made and tried in a thread of its own. Nothing can end that (ONNX Runtime computes what is constant in a
model while it makes it: a thousand bytes can ask for hours), so it goes on, and is taken once it is done. As many such as are
allowed at most, and nothing else is loaded until one of them ends: a server has so many threads and processors, not more.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, wait

from events.errors import Retry
from infra.serving.model import OnnxModel, Unable

logger = logging.getLogger("sluice.serving")
#: How long a version is waited for, and how many may take longer at the same time.
PATIENCE_SECONDS, MOST_LATE = 120.0, 4


class Loading:
    """Calls ``load`` with the name and version of a model. ``get`` is for one thread at a time."""

    def __init__(self, load: Callable[[str, int], OnnxModel]) -> None:
        self._load = load
        self._late: dict[tuple[str, int], Future[OnnxModel]] = {}
        self._lock = threading.Lock()
        #: Called, in any thread, when one that was not waited for has ended: ``get`` has it at once, but only now.
        self.ended: Callable[[], None] = lambda: None

    def get(self, name: str, version: int) -> OnnxModel:
        """The model, as ``load`` gives it or raises; ``Unable`` while it takes too long, ``Retry`` while too many do."""
        key = name, version
        loading = self._late.get(key)
        if loading is None:
            loading = self._started(key)
            wait([loading], PATIENCE_SECONDS)
        with self._lock:
            if loading.done():
                self._late.pop(key, None)
                return loading.result()
            self._late[key] = loading
        raise Unable(
            f"version {version} of {name} takes more than {PATIENCE_SECONDS:g} s to load: if that ends, it is served then"
        )

    def leave(self) -> None:
        """End the process at once where something is loaded still: one that ends around ONNX Runtime at work is aborted."""
        if any(not each.done() for each in list(self._late.values())):
            logging.shutdown()
            os._exit(0)

    def _started(self, key: tuple[str, int]) -> Future[OnnxModel]:
        with self._lock:
            late = [f"version {version} of {name}" for (name, version), each in self._late.items() if not each.done()]
        if len(late) >= MOST_LATE:
            raise Retry(f"nothing more is loaded until one of these ends, or this server: {', '.join(late)}")
        loading: Future[OnnxModel] = Future()
        threading.Thread(target=self._run, args=(key, loading), name=f"loading {key[0]}", daemon=True).start()
        return loading

    def _run(self, key: tuple[str, int], loading: Future[OnnxModel]) -> None:
        try:
            made = self._load(*key)
        except BaseException as error:
            self._end(loading.set_exception, error, key)
        else:
            self._end(loading.set_result, made, key)

    def _end(self, tell: Callable[..., None], what: object, key: tuple[str, int]) -> None:
        with self._lock:
            tell(what)
            late = key in self._late
        if not late:
            return
        try:
            self.ended()
        except Exception as error:
            logger.warning("version %d of %s, which has been loaded at last, must be loaded again: %s", key[1], key[0], error)
        with self._lock:
            self._late.pop(key, None)  # nobody wants it any more
