"""Signatures of SNS messages: who has the certificate can tell a message of the service from one that only looks like it.

Source: SNS developer guide, "Verifying the signatures of Amazon SNS messages". Signed is a text made of some members of the
message, each name and value on a line of its own: by RSA (PKCS #1 1.5) with SHA-1 in version 1, with SHA-256 in version 2.
"""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from events.errors import Reject

_NOTIFICATION = ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type")
_CONFIRMATION = ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type")
_SIGNED = {
    "Notification": _NOTIFICATION,
    "SubscriptionConfirmation": _CONFIRMATION,
    "UnsubscribeConfirmation": _CONFIRMATION,
}
_HASHES: dict[str, type[hashes.SHA1] | type[hashes.SHA256]] = {"1": hashes.SHA1, "2": hashes.SHA256}
_HOST = re.compile(r"sns\.[a-zA-Z0-9-]{3,}\.amazonaws\.com(?:\.cn)?").fullmatch


def signed_text(message: Mapping[str, Any]) -> bytes:
    """What is signed of a message. ``Reject`` if it lacks a part of that."""
    names = _SIGNED.get(str(message.get("Type", "Notification")))
    if names is None:
        raise Reject(f"SNS signs no message of the type {str(message.get('Type'))[:60]!r}")
    lines = []
    for name in names:
        value = message.get(name)
        if value is None and name == "Subject":
            continue
        if not isinstance(value, str):
            raise Reject(f"the SNS message has no text {name!r}, so its signature cannot be checked")
        lines.append(f"{name}\n{value}\n")
    return "".join(lines).encode("utf-8", "surrogatepass")


def certificate_url(message: Mapping[str, Any]) -> str:
    """Where the certificate of a message's signer lies. ``Reject`` unless that is a host of SNS, by https."""
    url = message.get("SigningCertURL", message.get("SigningCertUrl"))
    try:
        parts = urlsplit(url if isinstance(url, str) else "")
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    known = parts.scheme == "https" and _HOST(parts.netloc.removesuffix(":443")) and port in (None, 443)
    if not known or not parts.path.endswith(".pem"):
        raise Reject(f"the certificate of an SNS message must come from a host of SNS, not from {str(url)[:200]!r}")
    return f"https://{parts.hostname}{parts.path}"


def certificate(pem: bytes) -> RSAPublicKey:
    """The key in a certificate. ``Reject`` if it holds none for RSA."""
    try:
        key = x509.load_pem_x509_certificate(pem).public_key()
    except ValueError as error:
        raise Reject(f"the certificate of an SNS message cannot be read: {error}") from error
    if not isinstance(key, RSAPublicKey):
        raise Reject("the certificate of an SNS message has no RSA key")
    return key


def verify(message: Mapping[str, Any], key: RSAPublicKey) -> None:
    """Check a message's signature. Raises ``Reject`` unless ``key`` made it."""
    version, signature = str(message.get("SignatureVersion")), message.get("Signature")
    if version not in _HASHES:
        raise Reject(f"an SNS signature of version {version[:20]!r} cannot be checked")
    try:
        raw = b64decode(signature if isinstance(signature, str) else "", validate=True)
        key.verify(raw, signed_text(message), PKCS1v15(), _HASHES[version]())
    except (InvalidSignature, ValueError) as error:
        raise Reject("the signature of the SNS message is wrong: the service did not send it like this") from error
