"""Bearer tokens of an OpenID Connect issuer: JSON Web Tokens, checked with the issuer's public keys.

Source: RFC 7519, RFC 8725 (best practices: the algorithm is ours to choose, issuer and audience are checked).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from joserfc import jwt
from joserfc.errors import JoseError, UnsupportedAlgorithmError
from joserfc.jwk import GuestProtocol
from joserfc.jws import JWSRegistry

from infra.access.errors import Unauthorized
from infra.access.jwks import KeySource, PublicKey
from infra.access.scopes import SCOPES, caller
from infra.catalog.acl import ADMIN, ANYONE, Caller
from infra.config import Access, ConfigError

#: Signatures by a key pair only: with a shared secret, who can check a token could also make one.
ALGORITHMS = ["RS256", "ES256", "EdDSA"]
#: Groups that mean something to the lake itself: a token is of them only where the configuration says so.
RESERVED = {ADMIN, ANYONE}
MOST_BYTES = 16 << 10


class Registry(JWSRegistry):
    """Signatures by the algorithms it is given; headers that it does not know are passed over."""

    def __init__(self, algorithms: Collection[str] = ALGORITHMS) -> None:
        super().__init__(algorithms=algorithms, strict_check_header=False)

    def get_alg(self, name: str) -> Any:
        """Without the library's warning of ``EdDSA``: RFC 9864 renames it, and every issuer still calls it so."""
        if name not in (self.allowed or ()):
            raise UnsupportedAlgorithmError(name)
        return self.algorithms[name]


class Issuer:
    """Checks the tokens of one issuer and says who their bearers are. ``keys`` holds its public keys.

    Raises:
        ConfigError: an issuer without an audience or keys; tokens meant for others would be taken.

    """

    def __init__(self, settings: Access, keys: KeySource | None = None) -> None:
        if not (settings.audience and settings.jwks):
            raise ConfigError("sluice.access.issuer needs sluice.access.audience and sluice.access.jwks too")
        self._settings = settings
        self._keys = keys or KeySource(settings.jwks)
        self._claims = jwt.JWTClaimsRegistry(
            leeway=settings.leeway_s,
            iss={"essential": True, "value": settings.issuer},
            aud={"essential": True, "value": settings.audience},
            exp={"essential": True},
        )

    def caller(self, token: str) -> Caller:
        """Whose token it is. Raises ``Unauthorized``; may wait for the issuer, if a new key signed."""
        if len(token) > MOST_BYTES:
            raise Unauthorized(given=True)
        try:
            found = jwt.decode(token, self._key, registry=_REGISTRY)
            self._claims.validate(found.claims)
        except (JoseError, ValueError, TypeError, KeyError, RecursionError) as error:  # whatever a stranger may send
            raise Unauthorized(given=True) from error
        name = _claim(found.claims, self._settings.user_claim)
        if not isinstance(name, str) or not name.strip() or not name.isprintable():
            raise Unauthorized(given=True)
        groups = self._groups(found.claims)
        scopes = self._scopes(found.claims, SCOPES if ADMIN in groups else self._settings.scopes)
        if "admin" not in scopes:  # the two come only together
            groups -= {ADMIN}
        return caller({f"user/{name}", *groups}, scopes)

    def _scopes(self, claims: Mapping[str, Any], most: Collection[str]) -> set[str]:
        """What the token may be used for: no more than its bearer may do, nor than it says itself."""
        if not self._settings.scope_claim:
            return set(most)
        told = _claim(claims, self._settings.scope_claim)
        names = told.split() if isinstance(told, str) else told if isinstance(told, list) else []
        return {name for name in names if isinstance(name, str) and name in most}

    def _key(self, token: GuestProtocol) -> PublicKey:
        kid = token.headers().get("kid")
        return self._keys.find(kid if isinstance(kid, str) else None)

    def _groups(self, claims: Mapping[str, Any]) -> set[str]:
        told = _claim(claims, self._settings.groups_claim)
        names = [told] if isinstance(told, str) else told if isinstance(told, list) else []
        mapped = self._settings.groups
        groups = {f"group/{name}" for name in names if isinstance(name, str) and name not in mapped} - RESERVED
        return groups | {f"group/{mapped[name]}" for name in names if isinstance(name, str) and name in mapped}


_REGISTRY = Registry()


def _claim(claims: Mapping[str, Any], path: str) -> Any:
    """A claim by its name, or by a path of names joined by dots; ``None`` if it is not there."""
    if path in claims:
        return claims[path]
    found: Any = claims
    for name in path.split("."):
        found = found.get(name) if isinstance(found, dict) else None
    return found
