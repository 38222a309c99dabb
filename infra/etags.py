"""Lists of entity tags, as ``If-Match`` and ``If-None-Match`` have them.

Source: RFC 9110, sections 8.8.3 (comparison) and 13.1 (preconditions).
"""

from __future__ import annotations

import re

_TAG = re.compile(r'\s*(?:(?P<weak>W/)?"(?P<tag>[^\x00-\x20"\x7f]*)"|(?P<bare>[^\s",]+))?\s*(?:,|$)')


def strong(header: str, etag: str, bare: bool = False) -> bool:
    """Whether a list names an entity tag (``"4"``) by strong comparison: what is weak is never the same. For ``If-Match``.

    With ``bare`` a tag may stand without quotes, as clients of S3 send them.
    """
    return _named(header, etag, False, bare)


def weak(header: str, etag: str, bare: bool = False) -> bool:
    """The same by weak comparison, for ``If-None-Match``."""
    return _named(header, etag, True, bare)


def _named(header: str, etag: str, weakly: bool, bare: bool) -> bool:
    if header.strip() == "*":
        return True
    wanted, at = etag.strip('"'), 0
    while at < len(header):
        found = _TAG.match(header, at)
        if found is None:
            return False  # no list of entity tags: what follows cannot be told apart
        tag = found["bare"] if found["tag"] is None else found["tag"]
        if tag == wanted and (bare if found["bare"] else weakly or not found["weak"]):
            return True
        at = found.end()
    return False
