"""A sink's credential: what a delivery shows to be let in. It is write-only: nothing shows it again.

Source: CloudEvents Subscriptions API 0.1-wip, section 3.2.3 "Sink Credentials".
"""

from __future__ import annotations

import re
from base64 import b64encode
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec

from events.attributes import check_time
from events.errors import Reject

#: What may stand in a header: no spaces at the ends, no control characters.
_HEADER_TEXT = re.compile(r"[!-~](?:[ -~]*[!-~])?").fullmatch
_SCHEME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+").fullmatch


class Credential(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """``PLAIN`` (a name and a secret, HTTP Basic) or ``ACCESSTOKEN`` (a token of some type; without an expiry it has none)."""

    credentialtype: Literal["PLAIN", "ACCESSTOKEN"]
    identifier: str = ""
    secret: str = ""
    accesstoken: str = ""
    accesstokentype: str = "Bearer"
    accesstokenexpiresutc: str = ""

    def __repr__(self) -> str:
        return f"Credential({self.credentialtype})"

    @property
    def complete(self) -> bool:
        """Whether the secret itself is there, which nothing shows again."""
        return bool(self.secret if self.credentialtype == "PLAIN" else self.accesstoken)

    @property
    def expired(self) -> bool:
        """Whether the token's time is over."""
        if not self.accesstokenexpiresutc:
            return False
        return datetime.fromisoformat(self.accesstokenexpiresutc.upper().replace(":60", ":59")) <= datetime.now(UTC)

    def check(self) -> None:
        """Raise ``Reject`` unless every delivery can carry it."""
        if not self.complete:
            needed = "identifier and secret" if self.credentialtype == "PLAIN" else "accesstoken"
            raise Reject(f"sinkcredential: {self.credentialtype} needs {needed}")
        if self.credentialtype == "PLAIN" and (not self.identifier or ":" in self.identifier):
            raise Reject("sinkcredential.identifier: a name without colon is expected")
        if self.accesstoken and not _HEADER_TEXT(self.accesstoken):
            raise Reject("sinkcredential.accesstoken: it has characters that no header may hold")
        if not _SCHEME(self.accesstokentype):
            raise Reject("sinkcredential.accesstokentype: a scheme such as Bearer is expected")
        if self.accesstokenexpiresutc:
            check_time("accesstokenexpiresutc", self.accesstokenexpiresutc)

    @property
    def header(self) -> str:
        """The value of ``Authorization``."""
        if self.credentialtype == "PLAIN":
            return "Basic " + b64encode(f"{self.identifier}:{self.secret}".encode()).decode()
        scheme = "Bearer" if self.accesstokentype.lower() == "bearer" else self.accesstokentype
        return f"{scheme} {self.accesstoken}"

    def shown(self) -> dict[str, Any]:
        """What of it may be shown."""
        told: dict[str, Any] = {"credentialtype": self.credentialtype}
        if self.credentialtype == "ACCESSTOKEN":
            told["accesstokentype"] = self.accesstokentype
            if self.accesstokenexpiresutc:
                told["accesstokenexpiresutc"] = self.accesstokenexpiresutc
        return told
