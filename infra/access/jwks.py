"""The public keys of an issuer (JWK Set, RFC 7517): from a file, or fetched from a URL and again when an unknown key is used.

Anybody can name an unknown key, so a set is fetched at most once in ``PAUSE_SECONDS``, whether that works or not.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from pathlib import Path
from typing import Any

import httpx
from joserfc.errors import InvalidKeyIdError, JoseError
from joserfc.jwk import ECKey, KeySet, OKPKey, RSAKey

from infra.config import ConfigError

logger = logging.getLogger("sluice.access")
PAUSE_SECONDS = 30.0
MOST_BYTES = 1 << 20
PublicKey = RSAKey | ECKey | OKPKey


class KeySource:
    """The keys at ``place``: a file's path, or an ``https`` or ``http`` URL.

    Raises:
        ConfigError: a file that holds no key set. (A URL may answer later.)

    """

    def __init__(self, place: str, pause_s: float = PAUSE_SECONDS) -> None:
        self._place, self._pause = place, pause_s
        self._remote = place.startswith(("https://", "http://"))
        self._lock = threading.Lock()
        self._keys = KeySet([])
        self._asked = -pause_s - time.monotonic()
        self._fetch(must=not self._remote)

    def find(self, kid: str | None) -> PublicKey:
        """The key of this id, or the only one if a token names none; may wait for the issuer. Raises ``InvalidKeyIdError``."""
        try:
            return self._known(kid)
        except InvalidKeyIdError:
            with self._lock:  # one asks for all who wait
                if time.monotonic() - self._asked >= self._pause:
                    self._fetch(must=False)
            return self._known(kid)

    def _known(self, kid: str | None) -> PublicKey:
        key = self._keys.get_by_kid(kid)
        if not isinstance(key, PublicKey):
            raise InvalidKeyIdError
        return key

    def _fetch(self, must: bool) -> None:
        self._asked = time.monotonic()
        try:
            self._keys = _parse(_download(self._place) if self._remote else Path(self._place).read_bytes())
        except (OSError, ValueError, httpx.HTTPError, JoseError) as error:
            reason = f"sluice.access.jwks: no keys from {self._place}: {error or type(error).__name__}"
            if must:
                raise ConfigError(reason) from error
            logger.warning("%s; the keys known before stay", reason)


def _download(url: str) -> bytes:
    with httpx.stream("GET", url, timeout=5.0, trust_env=False) as answer:
        answer.raise_for_status()
        if answer.status_code != 200:
            raise ValueError(f"it answered {answer.status_code}")
        data = b""
        for chunk in answer.iter_bytes():
            data += chunk
            if len(data) > MOST_BYTES:
                raise ValueError(f"the key set is larger than {MOST_BYTES} bytes")
        return data


def _parse(data: bytes) -> KeySet:
    """The public keys for signatures in a key set; keys of other kinds are passed over."""
    document = json.loads(data)
    if not isinstance(document, dict) or not isinstance(document.get("keys"), list):
        raise ValueError('it is no JWK Set: {"keys": [...]}')
    kinds: dict[str, Any] = {"RSA": RSAKey, "EC": ECKey, "OKP": OKPKey}
    found = [
        kinds[each["kty"]].import_key(each)
        for each in document["keys"]
        if isinstance(each, dict) and each.get("kty") in kinds and each.get("use", "sig") == "sig"
    ]
    if not found:
        raise ValueError("it holds no RSA, EC or OKP key for signatures")
    return KeySet(list(found))
