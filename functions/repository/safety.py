"""What a model must not be, told from what the catalogue knows of it (see ``functions/formats/onnx.py``)."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Any

#: What ONNX's own operators are called in the metadata: no domain, or the one for classical machine learning.
STANDARD = ("ai.onnx.ml.*",)
#: Openings of Python's pickle protocols 2 to 5, and of the archive that ``torch.save`` writes around one.
PICKLES = tuple(bytes((0x80, protocol)) for protocol in (2, 3, 4, 5))


def fault(metadata: dict[str, Any], allowed: Iterable[str] = ()) -> str:
    """Why a model with this metadata is refused, for people, or nothing.

    ``allowed`` are operators beside ONNX's own, as ``DOMAIN.NAME`` (``*`` matches any text).
    """
    if files := metadata.get("external_data"):
        return (
            f"its weights lie in other files ({', '.join(map(str, files[:3]))}), which no digest of this one covers: "
            "export it with external_data=False"
        )
    patterns = (*STANDARD, *allowed)
    foreign = [
        name
        for name in metadata.get("operators", {})
        if "." in name and not any(fnmatchcase(name, pattern) for pattern in patterns)
    ]
    if foreign:
        return (
            f"it uses operators that are not allowed here ({', '.join(sorted(foreign)[:5])}): export it with ONNX's own, "
            "or name them in the repository's `operators`"
        )
    if leaks := metadata.get("leaks"):
        return (
            f"its nodes carry traces of the machine it was made on ({', '.join(map(str, leaks[:3]))}), such as source paths: "
            "clear metadata_props of the nodes and export it again"
        )
    return ""


def disguise(head: bytes) -> str:
    """What bytes that are no ONNX model look like instead, as a clause, or nothing."""
    if head[:2] in PICKLES:
        return "it is a Python pickle, which runs code when it is loaded"
    if head[:4] == b"PK\x03\x04":
        return "it is a zip archive, such as torch.save writes around a pickle"
    return ""
