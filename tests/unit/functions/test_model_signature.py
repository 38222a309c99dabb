"""Signed manifests: right ones are taken and loaded; whatever else is refused, and so is nothing at all where one is needed."""

from __future__ import annotations

import base64
import json

import msgspec
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st

from events.errors import Reject
from events.models import Repository
from events.types import ModelPublished, ModelRejected
from functions.repository import sidecar, signature
from functions.repository.sidecar import Unverified
from infra.models.loader import Loader
from tests.onnx_models import linear
from tests.unit.functions.model_shop import Shop, read


def pair(curve: type[ec.EllipticCurve] = ec.SECP256R1) -> tuple[bytes, str]:
    """A private and a public key, as PEM."""
    key = ec.generate_private_key(curve())
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return private, public.decode()


PRIVATE, PUBLIC = pair()
STRANGER, _ = pair()
REPOSITORY = Repository(name="apps", bucket="models", prefix="apps/", keys=[pair()[1], PUBLIC], signed=True)


def push(shop: Shop, content: bytes, version: int, key: bytes = PRIVATE, name: str = "digits") -> list:
    shop.bucket.write("models", "apps/digits/model.onnx.sig", signature.sign(key, name, version, content))
    return shop.upload("digits/model.onnx", content)


@pytest.fixture
def shop(shops):
    return shops(REPOSITORY)


def test_a_signed_version_is_published_and_loaded(shop):
    one, two = linear(1.0), linear(2.0)
    assert [each.version for each in read(push(shop, one, 1) + push(shop, two, 2), ModelPublished)] == [1, 2]
    loader = Loader(shop.bucket, REPOSITORY)
    assert [loader.load("digits", version).content for version in (1, 2)] == [one, two]


@pytest.mark.parametrize(
    ("version", "key", "name", "reason"),
    [(1, STRANGER, "digits", "none of the 2 trusted"), (2, PRIVATE, "digits", "signed as digits/2"), (1, PRIVATE, "x", "x/1")],
)
def test_a_stranger_another_version_or_name_is_rejected(shop, version, key, name, reason):
    (rejected,) = read(push(shop, linear(), version, key, name), ModelRejected)
    assert reason in rejected.cause


def test_what_is_not_signed_is_taken_only_where_it_need_not_be(shop, shops):
    (rejected,) = read(shop.upload("digits/model.onnx", linear()), ModelRejected)
    assert "not signed" in rejected.cause
    push(shop, linear(), 1)
    del shop.bucket.found["apps/digits/1/model.onnx.sig"]
    with pytest.raises(Unverified, match="not signed"):
        Loader(shop.bucket, REPOSITORY).load("digits", 1)
    optional = msgspec.structs.replace(REPOSITORY, signed=False)
    Loader(shop.bucket, optional).load("digits", 1)
    shop.bucket.write("models", "apps/digits/1/model.onnx.sig", signature.sign(STRANGER, "digits", 1, linear()))
    with pytest.raises(Unverified, match="trusted"):  # one that is there must be right
        Loader(shop.bucket, optional).load("digits", 1)


def test_without_a_usable_key_nothing_is_loaded(shop):
    push(shop, linear(), 1)
    for keys, reason in (([], "none of the 0"), (["x"], "no public key"), ([pair(ec.SECP384R1)[1]], "P-256")):
        with pytest.raises(Unverified, match=reason):
            Loader(shop.bucket, msgspec.structs.replace(REPOSITORY, keys=keys)).load("digits", 1)
    for key in (b"x", pair(ec.SECP384R1)[0]):
        with pytest.raises(Reject, match="key"):
            signature.sign(key, "digits", 1, b"")


def test_a_version_in_the_place_of_another_is_refused_although_every_sidecar_agrees(shop):
    push(shop, linear(1.0), 1)
    push(shop, linear(2.0), 2)
    found = shop.bucket.found
    for name in ("model.onnx", "model.onnx.sha256asc", "model.onnx.sig"):  # who may write the bucket may do all of this
        found[f"apps/digits/2/{name}"] = found[f"apps/digits/1/{name}"]
    record = json.loads(found["apps/digits/2/version.json"])
    old = json.loads(found["apps/digits/1/version.json"])
    body = json.dumps({**record, "digest": old["digest"], "size": old["size"]}).encode()
    made = sidecar.hasher("sha256")
    made.update(body)
    found["apps/digits/2/version.json"] = body
    found["apps/digits/2/version.json.sha256asc"] = sidecar.text(made.hexdigest(), "version.json")
    assert Loader(shop.bucket, msgspec.structs.replace(REPOSITORY, keys=[], signed=False)).load("digits", 2)
    with pytest.raises(Unverified, match="signed as digits/1"):
        Loader(shop.bucket, REPOSITORY).load("digits", 2)


SIGNED = signature.sign(PRIVATE, "digits", 1, b"content")


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_one_flipped_bit_of_what_was_signed_is_refused(data):
    document = json.loads(SIGNED)
    envelope = document["dsseEnvelope"]
    part = data.draw(st.sampled_from(["payload", "sig", "content", "payloadType"]))
    content = b"content"

    def flipped(value: bytes) -> bytes:
        at = data.draw(st.integers(0, 8 * len(value) - 1))
        return value[: at // 8] + bytes([value[at // 8] ^ (1 << at % 8)]) + value[at // 8 + 1 :]

    if part == "payload":
        envelope["payload"] = base64.b64encode(flipped(base64.b64decode(envelope["payload"]))).decode()
    elif part == "sig":
        first = envelope["signatures"][0]
        first["sig"] = base64.b64encode(flipped(base64.b64decode(first["sig"]))).decode()
    elif part == "payloadType":
        envelope["payloadType"] += "x"
    else:
        content = flipped(content)
    with pytest.raises(Unverified):
        signature.check(json.dumps(document).encode(), [PUBLIC], "digits", 1, content, "it")
    signature.check(SIGNED, [PUBLIC], "digits", 1, b"content", "it")


@given(st.binary(max_size=200))
def test_noise_is_no_signature(noise):
    with pytest.raises(Unverified):
        signature.check(noise, [PUBLIC], "digits", 1, b"content", "it")
