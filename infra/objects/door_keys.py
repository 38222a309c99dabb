"""The keys of the embedded door: as configured, or made at the first start."""

from __future__ import annotations

import os
import secrets

from infra.config import Config, ConfigError


def door_keys(config: Config) -> tuple[str, str]:
    """The door's access and secret key: configured, or from ``DATA/credentials``, which is made if it is missing.

    The file has the AWS tools' own form, so ``AWS_SHARED_CREDENTIALS_FILE`` may point at it. Only its owner can read it.
    """
    if config.door.access_key and config.door.secret_key:
        return config.door.access_key, config.door.secret_key
    file = config.folder / "credentials"
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        text = (
            "[default]\n"
            f"aws_access_key_id = {secrets.token_hex(10).upper()}\n"
            f"aws_secret_access_key = {secrets.token_urlsafe(30)}\n"
        )
        temporary = file.with_name(f".credentials.{os.getpid()}")
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as out:
            out.write(text)
        temporary.rename(file)
    pairs = dict(line.split(" = ", 1) for line in file.read_text().splitlines() if " = " in line)
    try:
        return pairs["aws_access_key_id"], pairs["aws_secret_access_key"]
    except KeyError as error:
        raise ConfigError(f"{file} has no {error.args[0]}; delete it to have new keys made") from error
