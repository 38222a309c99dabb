"""Who calls: the bearer of ``http.token``, an API key, or a token of the issuer; everybody, where none of them is set up."""

from __future__ import annotations

import asyncio
import hmac

from events.errors import Retry
from infra.access.errors import Unauthorized
from infra.access.issuer import Issuer
from infra.access.keys import PREFIX, Keys
from infra.access.scopes import ANYBODY
from infra.catalog.acl import Caller


class Access:
    """Tells callers by their ``Authorization`` header."""

    def __init__(self, token: str = "", keys: Keys | None = None, issuer: Issuer | None = None) -> None:
        self._token, self.keys, self._issuer = token.encode(), keys, issuer

    @property
    def open(self) -> bool:
        """Whether nobody is asked who they are."""
        return not (self._token or self._issuer or (self.keys and self.keys.any))

    async def caller(self, authorization: bytes) -> Caller:
        """Who sends this header. Raises ``Unauthorized``, or ``Retry`` while the keys cannot be read: one may be revoked."""
        if self.keys and self.keys.stale:
            try:
                await asyncio.to_thread(self.keys.load)
            except Exception as error:  # whatever its database says
                raise Retry(f"the API keys cannot be read now: {error}") from error
        if self.open:
            return ANYBODY
        scheme, _, given = authorization.partition(b" ")
        given = given.strip()
        if scheme.lower() != b"bearer" or not given:
            raise Unauthorized(given=bool(authorization))
        if self._token and hmac.compare_digest(given, self._token):
            return ANYBODY
        token = given.decode("latin-1")
        if self.keys and token.startswith(PREFIX):
            return self.keys.caller(token)
        if self._issuer and token.count(".") == 2:
            return await asyncio.to_thread(self._issuer.caller, token)
        raise Unauthorized(given=True)
