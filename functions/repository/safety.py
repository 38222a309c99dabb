"""What a model must not be, told from what its file says (see ``onnx_model.py``)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from events.pattern import matcher

#: The domain of ONNX's operators for classical machine learning; those of its main one have none in their names.
CLASSICAL = "ai.onnx.ml"
#: Domains whose operators are built into runtimes: a function that calls itself like one would not be the one that runs.
BUILT_IN = ("ai.onnx", "com.microsoft", "com.ms", "org.pytorch")
#: Openings of Python's pickle protocols 2 to 5, and of the archive that ``torch.save`` writes around one.
PICKLES = tuple(bytes((0x80, protocol)) for protocol in (2, 3, 4, 5))


def fault(told: dict[str, Any], rules: Iterable[str] = ()) -> str:
    """Why a model of which this is told is refused, for people, or nothing.

    ``rules`` add to ONNX's own operators, as ``DOMAIN.NAME`` (``*`` matches any text), or with ``!`` before it take away; the
    last one that matches decides. Of a model's own functions only what they are made of counts.
    """
    if files := told.get("external_data"):
        return (
            f"its weights lie in other files ({', '.join(map(str, files[:3]))}), which no digest of this one covers: "
            "export it with external_data=False"
        )
    known, own = list(rules), {name for name in told.get("functions", ()) if not _built_in(name)}
    foreign = [name for name in told.get("operators", {}) if name not in own and not _allowed(name, known)]
    if foreign:
        return (
            f"it uses operators that are not allowed here ({', '.join(sorted(foreign)[:5])}): export it with ONNX's own, "
            "or name them in the repository's `operators`"
        )
    if leaks := told.get("leaks"):
        return (
            f"it carries traces of the machine it was made on ({', '.join(map(str, leaks[:3]))}), such as source paths: "
            "clear them and export it again"
        )
    return ""


def _allowed(name: str, rules: Iterable[str]) -> bool:
    domain = name.rpartition(".")[0]
    allowed = domain in ("", CLASSICAL)
    for rule in rules:
        if matcher((rule.removeprefix("!"),))(name):
            allowed = not rule.startswith("!")
    return allowed


def _built_in(name: str) -> bool:
    domain = name.rpartition(".")[0]
    return not domain or any(domain == each or domain.startswith(f"{each}.") for each in BUILT_IN)


def disguise(head: bytes) -> str:
    """What bytes that are no ONNX model look like instead, as a clause, or nothing."""
    if head[:2] in PICKLES:
        return "it is a Python pickle, which runs code when it is loaded"
    if head[:4] == b"PK\x03\x04":
        return "it is a zip archive, such as torch.save writes around a pickle"
    return ""
