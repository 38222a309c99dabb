"""Signed manifests: who published a version. ``model.onnx.sig`` lies beside the file that it is about.

A Sigstore bundle as OpenSSF Model Signing 1.0 writes it with a key: a DSSE envelope over an in-toto statement, which names the
file and its SHA-256. Its subject is ``NAME/VERSION``: a signature of one version is none of another. The signature is over the
exact bytes of the statement (DSSE's PAE), by ECDSA P-256 with SHA-256, so nothing is read before it was verified.
Sources: DSSE 1.0.2, "Protocol"; in-toto Attestation Framework 1.0; OpenSSF Model Signing 1.0.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from events.errors import Reject
from functions.repository.layout import FILE, SIGNATURE
from functions.repository.sidecar import Unverified

SUFFIX = SIGNATURE
#: More than any signature of one file has.
MOST = 64 << 10
MEDIA = "application/vnd.dev.sigstore.bundle.v0.3+json"
PAYLOAD = "application/vnd.in-toto+json"
STATEMENT, PREDICATE = "https://in-toto.io/Statement/v1", "https://model_signing/signature/v1.0"
_ALGORITHM = ec.ECDSA(hashes.SHA256())


class _Signature(msgspec.Struct):
    sig: bytes
    keyid: str = ""


class _Envelope(msgspec.Struct, rename="camel"):
    payload: bytes
    payload_type: str
    signatures: list[_Signature]


class _Bundle(msgspec.Struct, rename="camel"):
    dsse_envelope: _Envelope
    media_type: str = MEDIA
    verification_material: dict[str, Any] = {}


class _Subject(msgspec.Struct):
    name: str
    digest: dict[str, str]


class _Resource(msgspec.Struct):
    name: str
    algorithm: str
    digest: str


class _Predicate(msgspec.Struct):
    resources: list[_Resource]
    serialization: dict[str, Any] = {}


class _Statement(msgspec.Struct, rename="camel"):
    type_: str = msgspec.field(name="_type")
    subject: list[_Subject]
    predicate_type: str
    predicate: _Predicate


def sign(key: bytes, name: str, version: int, content: bytes) -> bytes:
    """The signature file of a model file, by a private key (PEM, without a password). Raises ``Reject`` for what is no key."""
    try:
        private = serialization.load_pem_private_key(key, None)
    except (ValueError, TypeError) as error:
        raise Reject(f"the key cannot be read: it must be a private key as PEM, without a password ({error})") from error
    if not isinstance(private, ec.EllipticCurvePrivateKey) or not isinstance(private.curve, ec.SECP256R1):
        raise Reject("the key is not of the curve P-256 (prime256v1)")
    digest = hashlib.sha256(content)
    serialized = {"method": "files", "hash_type": "sha256", "allow_symlinks": False, "ignore_paths": []}
    statement = _Statement(
        type_=STATEMENT,
        subject=[_Subject(f"{name}/{version}", {"sha256": hashlib.sha256(digest.digest()).hexdigest()})],
        predicate_type=PREDICATE,
        predicate=_Predicate([_Resource(FILE, "sha256", digest.hexdigest())], serialized),
    )
    payload = msgspec.json.encode(statement)
    envelope = _Envelope(payload, PAYLOAD, [_Signature(private.sign(_encoded(PAYLOAD, payload), _ALGORITHM))])
    public = private.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    material = {"publicKey": {"hint": hashlib.sha256(public).hexdigest()}, "tlogEntries": []}
    return msgspec.json.encode(_Bundle(envelope, verification_material=material))


def check(signature: bytes, keys: Sequence[str], name: str, version: int, content: bytes, what: str) -> None:
    """Raises ``Unverified`` unless one of the public ``keys`` (PEM) signed this content as this version; ``what`` names it."""
    trusted = [_public(key, number) for number, key in enumerate(keys, 1)]
    if len(signature) > MOST:
        raise Unverified(f"the signature of {what} has more than {MOST} bytes")
    try:
        envelope = msgspec.json.decode(signature, type=_Bundle).dsse_envelope
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Unverified(f"the signature of {what} is no Sigstore bundle with a DSSE envelope: {error}") from error
    signed = _encoded(envelope.payload_type, envelope.payload)
    if not any(_verifies(key, each.sig, signed) for each in envelope.signatures[:8] for key in trusted):
        raise Unverified(f"the signature of {what} is by none of the {len(trusted)} trusted keys, or it was changed")
    try:
        statement = msgspec.json.decode(envelope.payload, type=_Statement)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Unverified(f"what was signed of {what} is no in-toto statement: {error}") from error
    if (envelope.payload_type, statement.type_, statement.predicate_type) != (PAYLOAD, STATEMENT, PREDICATE):
        raise Unverified(f"what was signed of {what} is no statement about a model, but a {statement.predicate_type[:100]!r}")
    named = [subject.name for subject in statement.subject]
    if named != [f"{name}/{version}"]:
        raise Unverified(f"{what} is signed as {', '.join(named)[:100]}, not as {name}/{version}: sign it as that")
    digest = hashlib.sha256(content)
    listed = [(each.name, each.algorithm, each.digest) for each in statement.predicate.resources]
    root = statement.subject[0].digest.get("sha256")
    if listed != [(FILE, "sha256", digest.hexdigest())] or root != hashlib.sha256(digest.digest()).hexdigest():
        raise Unverified(f"{what} is not what was signed: its SHA-256 is {digest.hexdigest()[:16]}...")


def _encoded(kind: str, payload: bytes) -> bytes:
    """DSSE's pre-authentication encoding (PAE)."""
    name = kind.encode()
    return b"DSSEv1 %d %s %d %s" % (len(name), name, len(payload), payload)


def _public(key: str, number: int) -> ec.EllipticCurvePublicKey:
    try:
        found = serialization.load_pem_public_key(key.encode())
    except ValueError as error:
        raise Unverified(f"key {number} of the repository's `keys` is no public key as PEM: {error}") from error
    if not isinstance(found, ec.EllipticCurvePublicKey) or not isinstance(found.curve, ec.SECP256R1):
        raise Unverified(f"key {number} of the repository's `keys` is not of the curve P-256 (prime256v1)")
    return found


def _verifies(key: ec.EllipticCurvePublicKey, signature: bytes, signed: bytes) -> bool:
    try:
        key.verify(signature, signed, _ALGORITHM)
    except InvalidSignature:
        return False
    return True
