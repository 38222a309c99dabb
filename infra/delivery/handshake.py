"""The handshake before events are pushed: the receiver's consent, asked for and given with ``OPTIONS``.

Source: HTTP 1.1 Web Hooks for Event Delivery 1.0.2, section 4 "Abuse Protection". Consent is in the answer's headers alone;
its status says nothing. Or it is given later: whoever gets or posts to the callback that was offered agrees, which a person can
do with a browser. Asked ourselves, we answer at once, so we call nobody back.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

from events.codec import Headers

ORIGIN, ASKED, CALLBACK = "webhook-request-origin", "webhook-request-rate", "webhook-request-callback"
ALLOWED_ORIGIN, ALLOWED_RATE = "webhook-allowed-origin", "webhook-allowed-rate"
#: Senders whose rate is watched at most: beyond that, the watch begins anew.
MOST_ORIGINS = 1000
MINUTE = 60.0
_ORIGIN = ORIGIN.encode()


def request(origin: str, rate: int, callback: str = "") -> dict[str, str]:
    """The headers that ask for consent to send from ``origin``, at ``rate`` events a minute (0: as many as may be)."""
    return {ORIGIN: origin, **({ASKED: str(rate)} if rate else {}), **({CALLBACK: callback} if callback else {})}


def granted(headers: Mapping[str, str], origin: str) -> int | None:
    """The events a minute that an answer's headers allow ``origin``; 0 is any number, ``None`` is no consent."""
    if headers.get(ALLOWED_ORIGIN, "").strip().lower() not in ("*", origin.lower()):
        return None
    return positive(headers.get(ALLOWED_RATE, ""))


def positive(text: str) -> int:
    """A rate as the headers write it: a positive integer, else 0."""
    text = text.strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0


class Consent:
    """The receiver's side: who may send (``*`` in ``origins`` is everybody), each ``rate`` events a minute (0: any number)."""

    def __init__(self, origins: Sequence[str], rate: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._origins, self._rate, self._clock = {origin.lower() for origin in origins}, rate, clock
        self._seen: dict[str, tuple[float, int]] = {}

    def answer(self, headers: Headers) -> list[tuple[bytes, bytes]]:
        """The headers of the answer to ``OPTIONS``: without consent, only that ``POST`` is possible here."""
        given = {name: value.decode("latin-1").strip() for name, value in headers}
        told, origin = [(b"allow", b"POST, OPTIONS")], given.get(ORIGIN.encode(), "")
        if not origin or not ({"*", origin.lower()} & self._origins):
            return told
        asked = positive(given.get(ASKED.encode(), ""))
        rate = min(asked or self._rate, self._rate)
        told.append((ALLOWED_ORIGIN.encode(), origin.encode("latin-1")))
        told.append((ALLOWED_RATE.encode(), str(rate).encode() if rate else b"*"))
        return told

    def wait(self, headers: Headers) -> float:
        """Seconds until the sender of this delivery may send again; 0: it may now, and this one counts.

        Whoever keeps to its rate, in whatever bursts, is never told to wait: a minute begins with the first delivery after the
        last one has ended. Only senders that name an origin count, and each process counts for itself.
        """
        if not self._rate:
            return 0.0
        origin = next((value for name, value in headers if name.lower() == _ORIGIN), b"").decode("latin-1").strip().lower()
        if not origin:
            return 0.0
        now, (begun, count) = self._clock(), self._seen.get(origin, (float("-inf"), 0))
        if now - begun >= MINUTE:
            begun, count = now, 0
        if count >= self._rate:
            return begun + MINUTE - now
        if origin not in self._seen and len(self._seen) >= MOST_ORIGINS:
            self._seen.clear()
        self._seen[origin] = begun, count + 1
        return 0.0
