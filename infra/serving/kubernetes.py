"""As much of a Kubernetes API as it takes to apply a manifest: server-side apply over plain HTTPS.

Source: Kubernetes API concepts, "Server-Side Apply".
"""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import httpx
import msgspec

from events.errors import Reject
from infra.config import ConfigError, Kubernetes

MANAGER = "sluice"
#: Kind -> the plural in its path.
PLURALS = {
    "ConfigMap": "configmaps",
    "InferenceService": "inferenceservices",
    "Secret": "secrets",
    "ServiceAccount": "serviceaccounts",
}


class Cluster:
    """One cluster's API. Close it, or use it as a context. Raises ``ConfigError`` where it is not configured."""

    def __init__(self, settings: Kubernetes) -> None:
        if not settings.server.startswith(("https://", "http://127.0.0.1:", "http://localhost:")):
            raise ConfigError(
                "set sluice.kubernetes.server to the https URL of the cluster's API, as `kubectl cluster-info` tells"
            )
        try:
            token = settings.token or (Path(settings.token_file).read_text().strip() if settings.token_file else "")
            verify: ssl.SSLContext | bool = ssl.create_default_context(cafile=settings.ca_file) if settings.ca_file else True
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(f"the files that sluice.kubernetes names cannot be used: {error}") from error
        headers = {"authorization": f"Bearer {token}"} if token else {}
        self._http = httpx.Client(
            base_url=settings.server.rstrip("/"), headers=headers, verify=verify, timeout=30, trust_env=False
        )

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def apply(self, manifest: dict[str, Any]) -> str:
        """Make the object what the manifest says; ``created`` or ``configured``. Raises ``Reject`` with the reason."""
        version, kind, place = manifest["apiVersion"], manifest["kind"], manifest["metadata"]
        root = f"/apis/{version}" if "/" in version else f"/api/{version}"
        path = f"{root}/namespaces/{place['namespace']}/{PLURALS[kind]}/{place['name']}"
        try:
            answer = self._http.patch(
                path,
                params={"fieldManager": MANAGER, "force": "true"},
                content=msgspec.json.encode(manifest),  # JSON is YAML
                headers={"content-type": "application/apply-patch+yaml", "accept": "application/json"},
            )
        except httpx.HTTPError as error:
            raise Reject(f"the cluster did not answer: {error or type(error).__name__}") from error
        if not answer.is_success:
            raise Reject(f"the cluster refused {kind} {place['name']}: {_reason(answer)}")
        return "created" if answer.status_code == 201 else "configured"


def _reason(answer: httpx.Response) -> str:
    """The message of the cluster's own ``Status`` object, which tells no values of secrets."""
    try:
        message = str(answer.json()["message"])
    except (ValueError, KeyError, TypeError):
        message = ""
    hint = {401: "; is sluice.kubernetes.token still valid?", 404: "; is KServe installed there?"}.get(answer.status_code, "")
    return f"{answer.status_code} {message or answer.reason_phrase}{hint}"
