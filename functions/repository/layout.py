"""Where things lie in a model repository; the bucket alone tells everything.

NAME/model.onnx or NAME.onnx        where people upload; each new content becomes the next version
NAME/3/model.onnx                   version 3, written once
NAME/3/model.onnx.sha256asc         its sidecar: the digest that every load checks it against
NAME/3/model.onnx.sig               who published it, if the publisher signs (see signature.py)
NAME/3/version.json                 what version 3 is: name, number, digest, source, metadata (with a sidecar of its own)
NAME/aliases/champion.json          which version an alias means (with a sidecar of its own)
"""

from __future__ import annotations

import re

import msgspec

from functions.repository.sidecar import ALGORITHMS

FILE, RECORD, ALIASES = "model.onnx", "version.json", "aliases"
#: How the name of a signature ends; see ``signature.py``, which a server that checks none starts without.
SIGNATURE = ".sig"
_VERSION = re.compile(r"(?P<name>.+)/(?P<version>[1-9][0-9]{0,8})/(?P<file>[^/]+)", re.DOTALL)
_ALIAS = re.compile(r"[a-z][a-z0-9-]{0,62}")


class Place(msgspec.Struct, frozen=True):
    """One object below a repository's prefix: of which model, and of which ``version`` (0: an upload)."""

    name: str
    version: int = 0
    file: str = FILE


def place(path: str) -> Place | None:
    """What the object at ``path``, relative to the repository's prefix, is; ``None`` if it is neither model nor version."""
    path = path.removeprefix("/")
    if found := _VERSION.fullmatch(path):
        return Place(found["name"], int(found["version"]), found["file"])
    name = path.removesuffix(".onnx").removesuffix("/model")
    if not path.endswith(".onnx") or not name or name == "model":
        return None
    return Place(name)


def beside(path: str) -> str:
    """The upload that the object at ``path``, relative to the repository's prefix, is the sidecar or signature of, if any."""
    algorithm = next((each for each in ALGORITHMS if path.endswith(f".{each}asc")), "")
    file = path.removesuffix(f".{algorithm}asc") if algorithm else path.removesuffix(SIGNATURE)
    found = place(file) if file != path else None
    return file if found is not None and not found.version else ""


def touched(path: str) -> str:
    """The model that the object at ``path``, relative to the repository's prefix, is a part of a version or an alias of."""
    if found := _VERSION.fullmatch(path):
        return found["name"]
    name, _, file = path.rpartition(f"/{ALIASES}/")
    return name if ".json" in file else ""


def file_key(prefix: str, name: str, version: int) -> str:
    """The key of a version's model file."""
    return f"{_folder(prefix, name)}/{version}/{FILE}"


def record_key(prefix: str, name: str, version: int) -> str:
    """The key of a version's record."""
    return f"{_folder(prefix, name)}/{version}/{RECORD}"


def alias_key(prefix: str, name: str, alias: str) -> str:
    """The key of an alias."""
    return f"{_folder(prefix, name)}/{ALIASES}/{alias}.json"


def is_alias(text: str) -> bool:
    """Whether ``text`` may be an alias: lower-case letters, digits and dashes, so that it is never a version's number."""
    return _ALIAS.fullmatch(text) is not None


def _folder(prefix: str, name: str) -> str:
    return f"{prefix}{'' if not prefix or prefix.endswith('/') else '/'}{name}"
