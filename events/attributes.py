"""The rules for context attributes: names, and what each value may be.

Source: CloudEvents 1.0.2, "Naming Conventions", "Type System" and "Context Attributes"; RFC 3339 (times), RFC 3986 (URIs).
Every rule raises ``BadEvent`` with the name of the attribute. Values are checked, never changed: what came in goes out.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache, lru_cache
from typing import Any

from events.errors import BadEvent
from events.media import media_type

SPECVERSION = "1.0"
CORE = frozenset({"specversion", "id", "source", "type", "subject", "time", "datacontenttype", "dataschema"})
REQUIRED = ("specversion", "id", "source", "type")

_REQUIRED = frozenset(REQUIRED)
_NAME = re.compile(r"[a-z0-9]+").fullmatch
#: Names that were checked.
_NAMES: set[str] = set()
_PRINTABLE = bytes(range(0x20, 0x7F))
#: Longest value that is worth remembering as checked.
_SHORT = 200
#: Most times up to their seconds: a day that the month has in any year, and no leap second.
_COMMON_SECOND = re.compile(
    r"(?!0000)[0-9]{4}-(?:(?:0[1-9]|1[0-2])-(?:0[1-9]|1[0-9]|2[0-8])|(?:0[13-9]|1[0-2])-(?:29|30)|(?:0[13578]|1[02])-31)"
    r"[Tt](?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]"
).fullmatch
_ANY_TIME = re.compile(
    r"([0-9]{4})-(0[1-9]|1[0-2])-([0-9]{2})[Tt]([01][0-9]|2[0-3]):([0-5][0-9]):([0-5][0-9]|60)"
    r"(?:\.[0-9]+)?(?:[Zz]|([+-])([01][0-9]|2[0-3]):([0-5][0-9]))"
).fullmatch
_CHARACTERS = r"(?:[A-Za-z0-9\-._~!$&'()*+,;=:@/?]++|%[0-9A-Fa-f]{2})*+"
_LITERAL_HOST = r"(?://(?:[^/?#@\[\]]*@)?\[[0-9A-Za-z:.]+\])?"
_TAIL = rf"{_LITERAL_HOST}{_CHARACTERS}(?:\#{_CHARACTERS})?"
_SCHEME = r"[A-Za-z][A-Za-z0-9+.\-]*:"
_URI = re.compile(_SCHEME + _TAIL).fullmatch
#: Without a scheme, the first segment has no colon (RFC 3986, 4.2).
_URI_REFERENCE = re.compile(rf"(?:{_SCHEME}|(?![^/?\#]*:)){_TAIL}").fullmatch
_DAYS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


def check(name: str, value: Any) -> None:
    """Refuse an attribute that no event may have: its name, or its value (a string, a boolean or a 32-bit integer)."""
    rule = _RULES.get(name)
    if rule is None:
        check_name(name)
    if isinstance(value, str):
        if not (value.isascii() and value.isprintable()):
            check_string(name, value)
        if rule is not None:
            rule(name, value)
    elif rule is not None:
        raise BadEvent(f"the attribute {name!r} must be a string, not {_kind(value)}")
    elif not isinstance(value, int):
        raise BadEvent(f"the attribute {name!r} must be a string, a boolean or an integer, not {_kind(value)}")
    elif not -(2**31) <= value < 2**31:
        raise BadEvent(f"the attribute {name!r} is an integer of more than 32 bits")


def check_name(name: str) -> None:
    """Refuse a name that no attribute may have."""
    if name in _NAMES:
        return
    if not _NAME(name):
        raise BadEvent(f"the attribute name {name[:60]!r} may have lower-case letters a-z and digits only")
    if len(name) <= _SHORT and len(_NAMES) < 1024:  # names come from outside: do not let them fill the memory
        _NAMES.add(name)


def check_all(attributes: dict[str, Any]) -> None:
    """``check`` each attribute. What nearly all events look like - printable ASCII - is looked at in one go."""
    try:
        text = "".join(attributes.values())
    except TypeError:
        text = "\n"  # integers or booleans among them
    if text.isascii() and not text.encode().translate(None, _PRINTABLE):
        check_printable(attributes)
    else:
        for name, value in attributes.items():
            check(name, value)


def check_printable(attributes: dict[str, str]) -> None:
    """As ``check_all``, of values that are known to be printable ASCII."""
    rules = _RULES
    for name, value in attributes.items():
        rule = rules.get(name)
        if rule is not None:
            rule(name, value)
        elif name not in _NAMES:
            check_name(name)


def require(attributes: dict[str, Any], why: str = " and missing") -> None:
    """Refuse an event without an attribute that it needs; ``why`` ends the sentence and may hold ``{name}``."""
    if not attributes.keys() >= _REQUIRED:
        name = next(name for name in REQUIRED if name not in attributes)
        raise BadEvent(f"the attribute {name!r} is required{why.format(name=name)}")


def check_string(name: str, value: str) -> None:
    """Refuse control characters, unpaired surrogates and noncharacters."""
    found = _illegal().search(value)
    if found:
        raise BadEvent(f"the attribute {name!r} contains the character U+{ord(found[0]):04X}, which no attribute may contain")


@cache
def _illegal() -> re.Pattern[str]:
    """What no attribute may contain. Made when it is first asked for: few texts are not plain, and it takes a while."""
    last = "".join(f"{chr(plane << 16 | 0xFFFE)}{chr(plane << 16 | 0xFFFF)}" for plane in range(17))
    return re.compile(f"[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef{last}]")


def legal(text: str) -> str:
    """``text`` as an attribute may hold it: each character that it may not (a newline in an S3 key) percent-encoded."""
    if text.isascii() and text.isprintable():
        return text
    return _illegal().sub(lambda found: "".join(f"%{byte:02X}" for byte in found[0].encode("utf-8", "surrogatepass")), text)


def check_time(name: str, value: str) -> None:
    """RFC 3339 with a full date, seconds and an offset; a leap second only where UTC can have one."""
    rest = value[19:]  # a fraction or none, in UTC
    fraction = rest[1:-1]
    plain = rest == "Z" or (rest[:1] == "." and rest[-1:] == "Z" and fraction.isdecimal() and fraction.isascii())
    if plain and _is_common_second(value[:19]):
        return
    found = _ANY_TIME(value)
    if found:
        year, month, day, hour, minute = map(int, found.group(1, 2, 3, 4, 5))
        leap_year = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
        if year and 1 <= day <= _DAYS[month - 1] + (month == 2 and leap_year):
            if found[6] != "60":
                return
            offset = (int(found[8]) * 60 + int(found[9])) * (1 if found[7] == "+" else -1) if found[7] else 0
            if (hour * 60 + minute - offset) % 1440 == 1439:
                return
    raise BadEvent(f"the attribute {name!r} is no RFC 3339 time: {value[:60]!r}; write it like 2018-04-05T17:31:00Z")


@lru_cache(1024)
def _is_common_second(text: str) -> bool:
    """Remembered: many events happen, and are told of, within a second."""
    return _COMMON_SECOND(text) is not None


def _filled(name: str, value: str) -> None:
    if not value:
        raise BadEvent(f"the attribute {name!r} must not be empty")


def _specversion(name: str, value: str) -> None:
    if value != SPECVERSION:
        raise BadEvent(f"the attribute 'specversion' is {value[:20]!r}; only CloudEvents {SPECVERSION} are read here")


def _source(name: str, value: str) -> None:
    _filled(name, value)
    if not (_is_reference(value) if len(value) <= _SHORT else _URI_REFERENCE(value)):
        raise BadEvent(f"the attribute {name!r} is no URI-reference (RFC 3986): {value[:200]!r}; percent-encode it")


@lru_cache(1024)
def _is_reference(value: str) -> bool:
    return _URI_REFERENCE(value) is not None


def _dataschema(name: str, value: str) -> None:
    if not _URI(value):
        raise BadEvent(f"the attribute {name!r} is no URI (RFC 3986): {value[:200]!r}; it needs a scheme, as in https://...")


def _datacontenttype(name: str, value: str) -> None:
    try:
        media_type(value)
    except BadEvent as error:
        raise BadEvent(f"the attribute {name!r}: {error}") from None


def _reserved(name: str, value: str) -> None:
    raise BadEvent("no attribute may be called 'data'")


_RULES: dict[str, Callable[[str, str], None]] = {
    "specversion": _specversion,
    "id": _filled,
    "source": _source,
    "type": _filled,
    "subject": _filled,
    "time": check_time,
    "datacontenttype": _datacontenttype,
    "dataschema": _dataschema,
    "data": _reserved,
}


def _kind(value: object) -> str:
    names = {dict: "a JSON object", list: "a JSON array", float: "a number with a fraction or exponent", type(None): "null"}
    return names.get(type(value), f"a JSON {'integer' if isinstance(value, int) else type(value).__name__}")
