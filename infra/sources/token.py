"""The push token: a secret in the address that stores post to, because most of them can send no header of ours.

It opens the event endpoint and nothing else, and is shown to nobody in full: who reads a store's topics sees it there.
"""

from __future__ import annotations

import hmac
import os
import secrets
from pathlib import Path
from urllib.parse import quote

from infra.config import Config, ConfigError

FILE = "push-token"


def push_token(config: Config) -> str:
    """The configured token, or the one in ``DATA/push-token``, which is made if it is missing, readable by its owner only."""
    if config.sources.token:
        return config.sources.token
    file = config.folder / FILE
    if not file.exists():
        _make(file)
    token = file.read_text().strip()
    if not token:
        raise ConfigError(f"{file} is empty; delete it to have a new token made")
    return token


def _make(file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_name(f".{FILE}.{os.getpid()}")
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as out:
        out.write(secrets.token_urlsafe(24) + "\n")
    try:
        os.link(temporary, file)  # unlike a rename, it never replaces what another process made meanwhile
    except FileExistsError:
        pass
    finally:
        temporary.unlink()


def callback_url(config: Config, subscription: str) -> str:
    """Where a subscription's sink may agree to its events, with a key that nobody can guess; empty without ``sources.url``."""
    if not config.sources.url:
        return ""
    place = config.sources.url.rstrip("/")
    return f"{place}/callbacks/{quote(subscription, safe='')}/{callback_key(config, subscription)}"


def callback_key(config: Config, subscription: str) -> str:
    """The key in that address: the same at every start."""
    return hmac.digest(push_token(config).encode(), f"callback/{subscription}".encode(), "sha256").hex()[:32]


def same(given: str | bytes, token: str) -> bool:
    """Whether the token given is the right one, in a time that does not tell how much of it is."""
    left = given.encode("utf-8", "surrogateescape") if isinstance(given, str) else given
    return hmac.compare_digest(left, token.encode())


def masked(text: str, token: str = "") -> str:
    """``text`` without the token: of a push URL, or of an address that looks like one, only the first letters of it stay."""
    head, found, tail = text.partition("/events/")
    if found and tail:
        return f"{head}{found}{tail[:4]}…"
    return text.replace(token, token[:4] + "…") if token else text
