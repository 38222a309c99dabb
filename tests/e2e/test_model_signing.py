"""Signing models with the command line, and what a lake takes then."""

from __future__ import annotations

import json
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from tests.conftest import Sluice
from tests.e2e.test_cli import Caller, refused
from tests.onnx_models import linear


def test_a_model_is_signed_and_only_what_a_trusted_key_signed_is_published(tmp_path: Path) -> None:
    trusted, stranger = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    public = trusted.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    for name, key in (("ours", trusted), ("theirs", stranger)):
        (tmp_path / f"{name}.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    repository = {"name": "models", "bucket": "models", "keys": [public], "signed": True}
    lake = Sluice(tmp_path / "data", SLUICE_MODELS=json.dumps([repository]))
    try:
        call = Caller(lake.start(), tmp_path)
        call.environment["SLUICE_MODELS"] = lake.environment["SLUICE_MODELS"]
        one, two = "one.onnx", "two.onnx"
        for factor, file in enumerate((one, two), 1):
            (tmp_path / file).write_bytes(linear(float(factor)))
        call("model", "push", "digits", one)  # by nobody
        call("model", "push", "digits", two, "--key", "theirs.pem")
        call.settle()
        assert call.json("models")["models"] == []
        call("model", "push", "digits", one, "--key", "ours.pem")
        call.settle()
        assert "is signed" in call("model", "sign", "digits", two, "--key", "ours.pem")
        call("model", "push", "digits", two)  # with the file beside it
        call.settle()
        assert [each["version"] for each in call.json("models")["models"]] == [1, 2]
        assert call.json("model", "verify", "digits", "2")["version"] == 2
        assert "--key" in refused(call, "model", "sign", "digits", one)
        assert "no file" in refused(call, "model", "sign", "digits", one, "--key", "none.pem")
        store = lake.store()
        signed = store.read("models", "digits/1/model.onnx.sig", 0, 1 << 20)
        store.write("models", "digits/2/model.onnx.sig", signed)
        store.close()
        assert "is signed as digits/1" in refused(call, "model", "verify", "digits", "2")
    finally:
        lake.close()
