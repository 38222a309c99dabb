"""Where a running lake can be reached: what it writes down for those who look for it, light enough for a command to read."""

from __future__ import annotations

import msgspec

FILE = "endpoints.json"


class Endpoints(msgspec.Struct, frozen=True):
    """Where a running lake can be reached; kept in ``DATA/endpoints.json`` while it runs."""

    http: str
    s3: str
    pid: int
