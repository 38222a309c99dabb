"""Media types: what a ``datacontenttype`` says of the data behind it.

Source: RFC 2046 and RFC 7231, 3.1.1.1 (syntax); CloudEvents JSON format 1.0.2, 3.1 (what counts as JSON).
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from events.errors import BadEvent, UnsupportedMediaType

_TOKEN = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"  # noqa: S105 (RFC 7230's token, no secret)
_QUOTED = r'"(?:[^"\\\x00-\x08\x0a-\x1f\x7f]|\\[\t\x20-\x7e])*"'
_TYPE = re.compile(rf"({_TOKEN})/({_TOKEN})((?:[ \t]*;[ \t]*{_TOKEN}=(?:{_TOKEN}|{_QUOTED}))*)[ \t]*;?[ \t]*").fullmatch
_CHARSET = re.compile(rf";[ \t]*charset=(?:({_TOKEN})|({_QUOTED}))", re.IGNORECASE).search
#: What JSON is in, told or not: a parser that takes bytes checks it.
UTF8 = frozenset({"", "utf-8", "utf8"})
#: Character sets, and no other codecs: Python calls many things an encoding.
_COMMON = re.compile(
    r"utf-?(?:16|32)-?(?:le|be)?|iso-?8859-\d+|latin-?1|windows-\d+|koi8-[ru]|gb\w+|big5|euc-\w+|shift_jis"
).fullmatch
_READ = {"utf-8": "utf-8", "utf8": "utf-8", "us-ascii": "ascii", "ascii": "ascii"}


class Media(NamedTuple):
    """A media type: ``type/subtype`` and the character set, both in lower case; ``charset`` is empty if it is not told.

    ``is_json`` holds for ``*/json`` and ``*/*+json``, ``is_text`` for any other ``text/*``.
    """

    essence: str
    charset: str
    is_json: bool
    is_text: bool


@lru_cache(512)
def media_type(text: str) -> Media:
    """Take a media type apart. ``BadEvent`` for what RFC 2046 does not allow."""
    found = _TYPE(text) if len(text) <= 1024 else None  # RFC 6838 allows 127 characters for either name
    if found is None:
        raise BadEvent(f"{text[:100]!r} is no media type; write it like application/json")
    essence = f"{found[1]}/{found[2]}".lower()
    is_json = essence.endswith(("/json", "+json"))
    charset = _CHARSET(found[3])
    name = (charset[1] or charset[2][1:-1]).lower() if charset else ""
    return Media(essence, name, is_json, not is_json and essence.startswith("text/"))


def text_of(media: Media, body: bytes) -> str | bytes:
    """``body`` as text, in whatever character set; the body itself if nobody here reads that, or not without a loss.

    Raises:
        BadEvent: it is in UTF-8 or US-ASCII by its own account, and is not.

    """
    if (media.charset or "utf-8") in _READ:
        return decode_text(media, body)
    try:
        text = str(body, media.charset) if _COMMON(media.charset) else ""
        return text if text and text.encode(media.charset) == body else body
    except (UnicodeError, LookupError):
        return body


def decode_text(media: Media, body: bytes) -> str:
    """``body`` as text in its character set: UTF-8, or US-ASCII, which is UTF-8 with a promise.

    Raises:
        UnsupportedMediaType: another character set.
        BadEvent: the body is not in the one it claims.

    """
    codec = _READ.get(media.charset or "utf-8")
    if codec is None:
        raise UnsupportedMediaType(f"text in the character set {media.charset!r} is not read here; send it in UTF-8")
    try:
        return str(body, codec)
    except UnicodeDecodeError as error:
        raise BadEvent(f"the body is not in its character set, {codec}: {error}") from error
