"""Stored results: what is asked of a model again and again, and the port behind which the last answer is kept."""

from __future__ import annotations

import re
from typing import Annotated, Any, Protocol, runtime_checkable

import msgspec

from events.errors import Reject

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
MODEL, OBJECT = "model", "object"


class Definition(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to infer, and when again.

    ``input`` is a request of the inference protocol in JSON, or the ``s3://`` address of an object that holds one, or an array
    in numpy's own format. ``trigger`` names what makes the result out of date: ``model`` (another version is served),
    ``object`` (the input's object changed), or a type of event (``*`` matches any text); ``every_s`` seconds do so (0: never).
    """

    model: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    input: str | dict[str, Any]
    version: str = ""
    trigger: tuple[str, ...] = (MODEL, OBJECT)
    every_s: Annotated[float, msgspec.Meta(ge=0)] = 0.0

    @property
    def place(self) -> tuple[str, str] | None:
        """Bucket and key of the input's object, if it is one."""
        if not isinstance(self.input, str):
            return None
        bucket, _, key = self.input.removeprefix("s3://").partition("/")
        return bucket, key

    def check(self) -> None:
        """Raises ``Reject`` for what cannot be meant."""
        if isinstance(self.input, str) and not (self.input.startswith("s3://") and all(self.place or ())):
            raise Reject(f"the input {self.input[:100]!r} is no s3://BUCKET/KEY")
        for each in self.trigger:
            if each not in (MODEL, OBJECT) and "." not in each:
                raise Reject(f"the trigger {each[:60]!r} is neither {MODEL} nor {OBJECT} nor a type of event")
        if 0 < self.every_s < 1:
            raise Reject("every_s must be 0 or at least 1 second")


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """A definition and its last answer: ``computed`` is a Unix time; ``source`` the ETag of the input's object.

    ``began`` is when its computation did (what it was computed of was read after that), and ``by`` which server's it was.
    """

    definition: Definition
    body: bytes
    etag: str
    computed: float
    version: int
    digest: str
    source: str = ""
    began: float = 0.0
    by: str = ""


@runtime_checkable
class Results(Protocol):
    """Where results are kept. ``shared``: other processes may change them."""

    shared: bool

    def get(self, name: str) -> Result | None: ...

    def put(self, name: str, result: Result, *, again: bool = False) -> bool:
        """Keep a result; ``False`` if one is there that began later, or if it is to be there ``again`` but was removed."""
        ...

    def claim(self, name: str, owner: str, seconds: float) -> bool:
        """Whether nobody but ``owner`` computes this result for so long, or until it is released."""
        ...

    def release(self, name: str, owner: str) -> None:
        """Let others compute it."""
        ...

    def remove(self, name: str) -> bool: ...

    def names(self) -> list[str]: ...

    def close(self) -> None: ...


def checked(name: str) -> str:
    """The name of a result. Raises ``Reject`` for one that cannot be."""
    if not _NAME.fullmatch(name):
        raise Reject(f"{name[:60]!r} is no name of a result: use letters, digits, dots, dashes and underscores, at most 100")
    return name
