"""Tokens of an issuer: only its own, for us, in time, by its keys; and what they make of their bearer."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from typing import Any

import msgspec
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, OctKey, OKPKey, RSAKey

from infra.access.access import Access
from infra.access.errors import Unauthorized
from infra.access.issuer import Issuer, Registry
from infra.access.jwks import KeySource
from infra.access.scopes import SCOPES
from infra.config import Access as Settings
from infra.config import ConfigError
from tests.conftest import serving

ISSUER, AUDIENCE = "https://id.example.org", "sluice"
RSA = RSAKey.generate_key(2048, {"kid": "rsa", "use": "sig"})
EC = ECKey.generate_key("P-256", {"kid": "ec"})
ED = OKPKey.generate_key("Ed25519", {"kid": "ed"})
EVERY = Registry(algorithms=["RS256", "RS512", "ES256", "EdDSA", "HS256", "none"])


def key_set(*keys: Any) -> bytes:
    return json.dumps(KeySet(list(keys)).as_dict(private=False)).encode()


def token(key: Any = RSA, algorithm: str = "RS256", header: dict[str, Any] | None = None, **claims: Any) -> str:
    now = int(time.time())
    told = {"iss": ISSUER, "aud": AUDIENCE, "sub": "ann", "exp": now + 600, **claims}
    named = {"alg": algorithm, "kid": key.kid} if header is None else header
    return jwt.encode(named, {name: value for name, value in told.items() if value is not None}, key, registry=EVERY)


@pytest.fixture
def settings(tmp_path) -> Settings:
    file = tmp_path / "jwks.json"
    file.write_bytes(key_set(RSA, EC, ED))
    return Settings(issuer=ISSUER, audience=AUDIENCE, jwks=str(file), groups={"lake-operators": "admin", "opt": "optics"})


@pytest.mark.parametrize(("key", "algorithm"), [(RSA, "RS256"), (EC, "ES256"), (ED, "EdDSA")])
def test_a_good_token_names_its_bearer(settings, key, algorithm) -> None:
    caller = Issuer(settings).caller(token(key, algorithm, groups=["opt", "radio"], aud=["other", AUDIENCE]))
    assert caller.principals == {"user/ann", "group/optics", "group/radio", "group/anyone"}
    assert caller.scopes == {"read", "write", "events"}


@pytest.mark.parametrize(
    ("claims", "scopes"),
    [
        ({"scope": "openid read profile"}, {"read"}),
        ({"scope": ["write", "graph", "admin", 5]}, {"write"}),
        ({"scope": "read write events graph admin"}, {"read", "write", "events"}),
        ({"scope": ""}, set()),
        ({"scope": {"read": True}}, set()),
        ({}, set()),
        ({"scp": "read"}, set()),
        ({"scope": "read", "groups": ["lake-operators"]}, {"read"}),
        ({"scope": "graph", "groups": ["lake-operators"]}, {"graph"}),
        ({"scope": "admin", "groups": ["lake-operators"]}, set(SCOPES)),
    ],
)
def test_a_token_may_be_for_less_than_its_bearer_may_do(settings, claims, scopes) -> None:
    caller = Issuer(msgspec.structs.replace(settings, scope_claim="scope")).caller(token(**claims))
    assert caller.scopes == scopes
    assert caller.admin == ("admin" in scopes)
    assert "user/ann" in caller.principals


def test_a_lake_with_an_issuer_asks_for_its_tokens(settings) -> None:
    access = Access("", None, Issuer(settings))
    assert "user/ann" in asyncio.run(access.caller(f"Bearer {token()}".encode())).principals
    for header in (b"", f"Bearer {token(aud='other')}".encode(), b"Bearer sluice_1_2", token().encode()):
        with pytest.raises(Unauthorized):
            asyncio.run(access.caller(header))


def test_only_the_configuration_makes_administrators(settings) -> None:
    issuer = Issuer(settings)
    assert not issuer.caller(token(groups=["admin", "anyone"])).admin
    boss = issuer.caller(token(groups="lake-operators"))
    assert boss.admin
    assert "admin" in boss.scopes


def test_claims_may_be_nested(settings) -> None:
    named: dict[str, Any] = {"user_claim": "https://x.org/name", "groups_claim": "realm_access.roles", "scopes": ["read"]}
    nested = msgspec.structs.replace(settings, **named)
    told: dict[str, Any] = {"https://x.org/name": "bob", "realm_access": {"roles": ["radio", 7]}}
    caller = Issuer(nested).caller(token(**told))
    assert caller.principals == {"user/bob", "group/radio", "group/anyone"}
    assert caller.scopes == {"read"}


NOW = int(time.time())


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "https://evil.example.org"}, {"iss": None}, {"aud": "other"}, {"aud": None}, {"aud": []},
        {"exp": NOW - 100}, {"exp": None}, {"exp": "soon"}, {"nbf": NOW + 86_400}, {"iat": NOW + 86_400},
        {"sub": None}, {"sub": ""}, {"sub": 7}, {"sub": "a\nb"},
    ],
    ids=lambda claims: str(claims).replace(str(NOW - 100), "past").replace(str(NOW + 86_400), "future"),  # each process alike
)  # fmt: skip
def test_tokens_that_are_not_for_us_now_are_refused(settings, claims) -> None:
    with pytest.raises(Unauthorized) as caught:
        Issuer(settings).caller(token(**claims))
    assert "evil" not in str(caught.value)


def test_clocks_may_differ_a_little(settings) -> None:
    issuer = Issuer(settings)
    now = int(time.time())
    assert issuer.caller(token(exp=now - 10, nbf=now + 10))


def test_signatures_that_others_could_make_are_refused(settings) -> None:
    issuer = Issuer(settings)
    stranger = RSAKey.generate_key(2048, {"kid": "rsa"})
    public_as_secret = OctKey.import_key(str(RSA.as_dict(private=False)["n"]), {"kid": "rsa"})
    head, payload, signature = token().split(".")
    other = json.dumps({"iss": ISSUER, "aud": AUDIENCE, "sub": "root", "exp": NOW + 86_400}).encode()
    forged = base64.urlsafe_b64encode(other).rstrip(b"=").decode()
    unsigned = base64.urlsafe_b64encode(b'{"alg":"none","kid":"rsa"}').rstrip(b"=").decode()
    bad = [
        token(stranger),
        token(public_as_secret, "HS256"),
        token(RSA, "RS512"),
        token(EC, "ES256", {"alg": "ES256", "kid": "rsa"}),
        token(header={"alg": "RS256"}),
        f"{head}.{forged}.{signature}",
        f"{unsigned}.{payload}.",
        f"{head}.{payload}.",
        token() + "x" * 20_000,
        *("..", "a.b.c", "é.ü.x"),
    ]
    for each in bad:
        with pytest.raises(Unauthorized):
            issuer.caller(each)


class KeyServer:
    """A JWKS endpoint that counts how often it is asked."""

    def __init__(self) -> None:
        self.body, self.status, self.asked = b"", 200, 0

    async def __call__(self, scope, receive, send) -> None:
        self.asked += 1
        await send({"type": "http.response.start", "status": self.status, "headers": [(b"content-type", b"application/json")]})
        await send({"type": "http.response.body", "body": self.body})


def test_keys_are_fetched_again_for_an_unknown_one_but_not_at_every_attempt(settings) -> None:
    server = KeyServer()
    server.body = key_set(RSA)
    with serving(server) as url:
        issuer = Issuer(settings, KeySource(url, pause_s=3600))
        assert issuer.caller(token())
        for _ in range(3):
            with pytest.raises(Unauthorized):
                issuer.caller(token(EC, "ES256"))
        assert server.asked == 1
        keys = KeySource(url, pause_s=0)
        issuer = Issuer(settings, keys)
        server.body = key_set(RSA, EC)  # the issuer has a new key
        assert issuer.caller(token(EC, "ES256"))
        assert server.asked == 3
        server.status = 500
        with pytest.raises(Unauthorized):
            issuer.caller(token(ED, "EdDSA"))
        assert issuer.caller(token()), "an issuer that fails takes nothing away"


NO_KEYS = [
    b"",
    b"[]",
    b'{"keys": []}',
    b'{"keys": [{"kty": "oct", "k": "YQ"}]}',
    b'{"keys": [{"kty": "RSA"}]}',
    b" " * (2 << 20),
]


@pytest.mark.parametrize("body", NO_KEYS, ids=len)
def test_what_is_no_key_set_gives_no_keys(settings, body, tmp_path) -> None:
    server = KeyServer()
    server.body = body
    with serving(server) as url:
        issuer = Issuer(settings, KeySource(url, pause_s=0))
        with pytest.raises(Unauthorized):
            issuer.caller(token())
    (tmp_path / "bad.json").write_bytes(body)
    with pytest.raises(ConfigError, match=r"bad\.json"):
        KeySource(str(tmp_path / "bad.json"))


def test_an_issuer_must_say_for_whom_its_tokens_are(settings) -> None:
    with pytest.raises(ConfigError, match="audience"):
        Issuer(Settings(issuer=ISSUER, jwks=settings.jwks))
