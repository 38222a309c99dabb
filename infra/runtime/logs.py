"""Logs on standard error: lines for people, or one JSON object a line with the event's id, the function and its duration.

What a message is about travels as ``extra={"event": ..., "function": ..., "seconds": ...}``. Bodies, headers and settings are
never logged, so no secret can be.
"""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime
from typing import Any

import msgspec

FORMATS = ("text", "json")
#: The extras a line may have, in this order.
ABOUT = ("event", "type", "function", "attempt", "seconds")


class JsonFormatter(logging.Formatter):
    """One JSON object a line: ``time`` (RFC 3339, UTC), ``level``, ``logger``, ``message``, then what it is about."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {name: record.__dict__[name] for name in ABOUT if record.__dict__.get(name) is not None}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return msgspec.json.encode(line, enc_hook=str).decode()


def configure(form: str, level: int = logging.WARNING) -> None:
    """Send the log to standard error in this form; with ``json`` each run of a function is a line, too."""
    handler = logging.StreamHandler(sys.stderr)
    if form == "json":
        handler.setFormatter(JsonFormatter())
    else:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    if form == "json":
        logging.getLogger("sluice").setLevel(logging.INFO)
