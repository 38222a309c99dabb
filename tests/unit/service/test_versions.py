"""The versions that a store has kept: listed and fetched, by those whose they are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from moto.server import ThreadedMotoServer

from infra.objects.s3 import S3Store
from infra.runtime import versions
from tests.conftest import ACCESS, SECRET
from tests.unit.service.conftest import both_stores
from tests.unit.service.test_objects import path_of

pytestmark = both_stores


@pytest.fixture
def versioned() -> Iterator[S3Store]:
    """A store that keeps versions in its bucket ``lake``."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    store = S3Store(f"http://{host}:{port}", ACCESS, SECRET)
    try:
        httpx.post(f"{store.endpoint}/moto-api/reset")  # one process has one store, whatever server
        store.ensure("lake")
        store.client.put_bucket_versioning(Bucket="lake", VersioningConfiguration={"Status": "Enabled"})
        yield store
    finally:
        store.close()
        server.stop()


def make(client: httpx.Client) -> Any:
    answer = client.post("/data-objects", json={"bucket": "far:lake", "key": "a.csv"})
    assert answer.status_code == 201, answer.text
    return answer.json()


def send(client: httpx.Client, made: dict[str, Any], content: bytes) -> None:
    asked = client.post(f"{path_of(made)}/upload").json()
    assert httpx.put(asked["uri"], content=content, headers=asked["headers"]).status_code == 200
    assert client.post(f"{path_of(made)}/ready").json()["state"] == "READY"


def test_versions_are_listed_and_fetched_by_those_whose_they_are(service, versioned, monkeypatch) -> None:
    ann, bob, boss = service.as_("ann"), service.as_("bob"), service.as_("boss", "admin", "read", "write")
    far = {"provider": "far", "endpoint": versioned.endpoint, "credential": "far", "acl": {"owners": ["group/anyone"]}}
    assert boss.post("/providers", json=far).status_code == 201
    versioned.write("lake", "a.csv.old", b"another key")
    made = make(ann)
    for content in (b"a\n1\n", b"a\n1\n2\n", b"a\n1\n2\n3\n"):
        send(ann, made, content)
    found = ann.get(f"{path_of(made)}/versions").json()
    assert ([each["bytes"] for each in found["versions"]], found["next"]) == ([8, 6, 4], "")
    assert [each["current"] for each in found["versions"]] == [True, False, False]
    assert ann.get(path_of(made)).json()["version"] == found["versions"][0]["version"]
    first = found["versions"][-1]["version"]
    uri = ann.post(f"{path_of(made)}/download", json={"version": first}).json()["uri"]
    assert httpx.get(uri).content == b"a\n1\n"
    monkeypatch.setattr(versions, "PAGE", 2)
    page = ann.get(f"{path_of(made)}/versions").json()
    assert len(page["versions"]) == 2
    rest = ann.get(f"{path_of(made)}/versions", params={"after": page["next"]}).json()
    assert ([each["bytes"] for each in rest["versions"]], rest["next"]) == ([4], "")
    monkeypatch.undo()
    assert bob.post(f"{path_of(made)}/download", json={"version": first}).status_code == 404
    assert ann.delete(path_of(made)).status_code == 204
    again = make(bob)
    send(bob, again, b"b\n1\n")
    (only,) = bob.get(f"{path_of(again)}/versions").json()["versions"]
    assert (only["bytes"], only["current"]) == (4, True), "what was hers stays hers"
    assert bob.post(f"{path_of(again)}/download", json={"version": first}).status_code == 404
    assert bob.post(f"{path_of(again)}/download", json={"version": only["version"]}).status_code == 303
    assert len(boss.get(f"{path_of(again)}/versions").json()["versions"]) == 4
