"""The steps of an event's way, and how a process is made to die at one of them.

A step is *armed* by a file of its name that says at which pass. The process whose pass it is takes the file away and ends
itself with SIGKILL at that very line, as a crash would: no handler runs, nothing is flushed. The product knows nothing of it:
its functions are wrapped when a process of the crash test starts.
"""

from __future__ import annotations

import importlib
import os
import signal
import threading
from collections import Counter
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, Literal, NamedTuple

#: Whether a call is a pass of the step: its positional arguments, and its result (``None`` before it).
Only = Callable[[tuple[Any, ...], Any], bool]


def _any(_: tuple[Any, ...], __: Any) -> bool:
    return True


def _calls(command: str) -> Only:
    """Calls to the Redis server of this command."""
    return lambda arguments, _: arguments[1] == command


def _claims(call: tuple[Any, ...], _: Any) -> bool:
    """Calls that take over pending deliveries; those that only give some back say JUSTID."""
    return call[1] in ("XCLAIM", "XAUTOCLAIM") and "JUSTID" not in call


class Step(NamedTuple):
    """A place in the program: before or after a function (``module:name``), for the calls that ``only`` picks."""

    name: str
    where: str
    when: Literal["before", "after"]
    only: Only = _any


#: A step may have a place in each log: a process has only one of them.
STEPS = (
    # an event or notification is read and checked, nothing is stored
    Step("accept", "infra.lake:Lake.append", "before"),
    # event and deliveries are written but not committed; on Redis the call is not made yet
    Step("append", "infra.log.sqlite:append", "after"),
    Step("append", "infra.log.redis_server:RedisServer.call", "before", _calls("append")),
    # stored, and the sender has no answer
    Step("appended", "infra.lake:Lake._appended", "before"),
    Step("appended", "infra.log.redis_server:RedisServer.call", "after", _calls("append")),
    # the log has the door's notifications; the door does not know, or has just forgotten them
    Step("relay", "infra.objects.door:Door.delivered", "before"),
    Step("relay", "infra.objects.door:Door.delivered", "after"),
    # before and after a function
    Step("run", "infra.runtime.wiring:Wired.invoke", "before"),
    Step("ran", "infra.runtime.wiring:Wired.invoke", "after"),
    # with the log on Redis: effects, inbox mark and events are written to the catalogue's database, not committed
    Step("marked", "infra.delivery.outbox:add", "after"),
    # on Redis: the effects in the catalogue are committed with their mark, the log has not heard of it
    Step("outbox", "infra.log.redis_settle:Settlements._end", "before", lambda call, _: any(each.mark for each in call[2])),
    # before the acknowledgement: effects and inbox mark not committed; on Redis before the call
    Step("settle", "infra.log.sqlite:SqliteLog._settle", "after"),
    Step("settle", "infra.log.redis_server:RedisServer.call", "before", _calls("settle")),
    # acknowledged, and the worker does not know; any commit of the database
    Step("settled", "infra.log.sqlite:SqliteLog.settle", "after"),
    Step("settled", "infra.sqlite:Writer._commit", "after"),
    Step("settled", "infra.log.redis_server:RedisServer.call", "after", _calls("settle")),
    # a dead worker's shards are taken over (not committed); on Redis before and after its pending deliveries are claimed
    Step("takeover", "infra.log.sqlite:lease", "after", lambda _, shards: bool(shards)),
    Step("takeover", "infra.log.redis_server:RedisServer.run", "before", _claims),
    Step("claimed", "infra.log.redis_server:RedisServer.run", "after", _claims),
    # a subscriber has taken an event, the log does not know
    Step("posted", "infra.delivery.webhook:Webhook.post", "after"),
    # a dead letter is written but not committed
    Step("bury", "infra.delivery.dead_letter:failed", "after"),
)


class Trap:
    """The armed steps, as files in a folder: set by the crash test, sprung by the process that passes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._passes: Counter[tuple[str, str]] = Counter()
        self._lock = threading.Lock()

    def arm(self, step: str, passes: int, token: str) -> None:
        """Kill the process that passes ``step`` for the ``passes``-th time from now on. ``token`` differs each time."""
        fresh = self._folder / f".{step}"
        fresh.write_text(f"{passes} {token}")
        fresh.replace(self._folder / step)

    def armed(self, step: str) -> bool:
        """Whether nobody has died of it yet."""
        return (self._folder / step).exists()

    def passing(self, step: str) -> None:
        """Pass ``step``: it may be the end of this process."""
        file = self._folder / step
        try:
            passes, token = file.read_text().split()
        except FileNotFoundError:
            return
        with self._lock:
            self._passes[step, token] += 1
            if self._passes[step, token] < int(passes):
                return
            try:
                file.rename(self._folder / f"{step}.{token}")
            except FileNotFoundError:
                return  # another process was quicker
            os.kill(os.getpid(), signal.SIGKILL)

    def set_up(self) -> None:
        """Wrap every step in this process."""
        for step in STEPS:
            module, _, name = step.where.partition(":")
            owner: Any = importlib.import_module(module)
            *path, name = name.split(".")
            for part in path:
                owner = getattr(owner, part)
            setattr(owner, name, self._wrapped(step, getattr(owner, name)))

    def _wrapped(self, step: Step, function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def run(*arguments: Any, **named: Any) -> Any:
            if step.when == "before" and step.only(arguments, None):
                self.passing(step.name)
            result = function(*arguments, **named)
            if step.when == "after" and step.only(arguments, result):
                self.passing(step.name)
            return result

        return run
