"""Refusals of the HTTP endpoint. The texts say what to send, never what was wrong with a secret, nor whether a thing exists."""

from __future__ import annotations


class Denied(Exception):
    """A request that may not be done. ``status`` and ``challenge`` (``WWW-Authenticate``, RFC 6750 section 3) say how."""

    status = 401
    challenge = 'Bearer realm="sluice"'


class Unauthorized(Denied):
    """Nobody known calls: there is no credential, or it is wrong, expired or revoked."""

    def __init__(self, given: bool) -> None:
        told = "this credential is wrong, expired or revoked" if given else "this lake asks who calls"
        super().__init__(f"{told}; send an API key or a token: Authorization: Bearer TOKEN")
        if given:
            self.challenge = f'{Denied.challenge}, error="invalid_token"'


class NotToTell(Denied):
    """Events that only the lake itself, or an administrator, may send."""

    status = 403
    challenge = f'{Denied.challenge}, error="insufficient_scope", scope="admin"'

    def __init__(self, type: str) -> None:
        super().__init__(
            f"events of the type {type[:100]} are the lake's own: with the scope events, of dev.sluice.* only "
            "plan.requested, promotion.requested, observation.recorded and task.executed may be sent"
        )


class MissingScope(Denied):
    """The credential is good, but not for this."""

    status = 403

    def __init__(self, scope: str) -> None:
        super().__init__(f"this needs a credential with the scope {scope}")
        self.challenge = f'{Denied.challenge}, error="insufficient_scope", scope="{scope}"'
