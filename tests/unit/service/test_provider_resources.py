"""Object stores as resources: added, used, changed and removed while the lake runs, by who may; their keys never show."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from infra import cli
from infra.catalog.entries import Entries
from infra.objects.door import Door
from tests.conftest import ACCESS, SECRET, eventually, serving
from tests.unit.service.conftest import both_stores
from tests.unit.service.test_providers import notification

pytestmark = both_stores


@pytest.fixture
def other(tmp_path: Path) -> Iterator[str]:
    """A second store, with the keys that the lake calls ``far``."""
    door = Door(tmp_path / "other", {ACCESS: SECRET})
    with serving(door.app) as url:
        yield url
    door.close()


def added(boss: httpx.Client, url: str, name: str = "far", **more: Any) -> str:
    document = {"provider": name, "endpoint": url, "credential": "far", "source": "ceph:s3.zone1.*", **more}
    answer = boss.post("/providers", json=document)
    assert answer.status_code == 201, answer.text
    return f"/providers/{answer.json()['id'].partition('/')[2]}"


def sent(client: httpx.Client, bucket: str, key: str, content: bytes) -> tuple[str, str]:
    """Make an object by presigned URL; its path, and where it was sent."""
    made = client.post("/data-objects", json={"bucket": bucket, "key": key, "content-type": "text/csv"})
    assert made.status_code == 201, made.text
    path = f"/data-objects/{made.json()['id'].partition('/')[2]}"
    uri = client.post(f"{path}/upload", json={}).json()["uri"]
    assert httpx.put(uri, content=content, headers={"content-type": "text/csv"}).status_code == 200
    assert client.post(f"{path}/ready").json()["state"] == "READY"
    return path, uri


def test_one_catalogue_has_objects_in_two_stores(service, other) -> None:
    boss, ann = service.as_("boss", "admin"), service.as_("ann")
    added(boss, other, acl={"owners": ["group/admin"], "view": ["user/ann"]})
    here, there = b"a,b\n1,2\n", b"a,b\n1,2\n3,4\n"
    near, uri = sent(ann, "raw", "x.csv", here)
    far, far_uri = sent(ann, "far:raw", "x.csv", there)
    assert uri.startswith(service.objects.default.endpoint)
    assert far_uri.startswith(f"{other}/raw/x.csv?")
    for path, content in ((near, here), (far, there)):
        got = ann.post(f"{path}/download", json={}, follow_redirects=False)
        assert httpx.get(got.headers["location"]).content == content
    found = ann.get("/data-objects", params={"filter": "key = 'x.csv'", "orderby": "bucket"}).json()["resources"]
    assert [(each["provider"], each["bucket"], each["bytes"]) for each in found] == [
        ("far", "far:raw", len(there)), ("", "raw", len(here)),
    ]  # fmt: skip
    assert ann.delete(far).status_code == 204
    assert [each.key for each in service.objects.list("far:raw")] == []
    assert [each.key for each in service.objects.list("raw")] == ["x.csv"]


def test_a_notification_of_an_added_store_is_placed_there(service, other) -> None:
    boss, sender = service.as_("boss", "admin"), service.as_("sender", "events")
    added(boss, other)
    store, name = service.objects.of("far:lake")
    store.ensure(name)
    content = b"a,b\n1,2\n3,4\n5,6\n"
    service.objects.write("far:lake", "t.csv", content)

    def rows() -> int:
        told = notification("lake", "t.csv", content, "ceph:s3")
        headers = {"content-type": "application/json"}
        assert sender.post("/", content=json.dumps(told), headers=headers).status_code < 300
        service.settle()
        with service.lake.database() as database:
            entry = Entries(database).get("far:lake", "t.csv")
            return entry.metadata.get("rows", 0) if entry else 0

    eventually(lambda: rows() == 3, 30, "the notification to be of the store that was added")


def test_who_may_not_view_a_provider_cannot_make_objects_there(service, other) -> None:
    boss, ann, eve = service.as_("boss", "admin"), service.as_("ann"), service.as_("eve")
    path = added(boss, other, acl={"owners": ["group/admin"], "view": ["user/ann"]})
    wanted = {"bucket": "far:raw", "key": "x"}
    refused = eve.post("/data-objects", json=wanted)
    unknown = eve.post("/data-objects", json={"bucket": "moon:raw", "key": "x"})
    assert (refused.status_code, refused.text.replace("far", "moon")) == (400, unknown.text)
    assert eve.get(path).status_code == 404
    assert [each["provider"] for each in eve.get("/providers").json()["resources"]] == ["default"]
    assert ann.post("/data-objects", json=wanted).status_code == 201
    for change in ({"name": "mine"}, {"endpoint": "http://127.0.0.1:9"}):
        assert ann.patch(path, json=change).status_code == 403
    assert ann.post("/providers", json={"provider": "mine", "endpoint": other, "credential": "far"}).status_code == 403


def test_who_may_edit_a_provider_cannot_send_its_keys_elsewhere(service, other) -> None:
    boss, ann = service.as_("boss", "admin"), service.as_("ann")
    path = added(boss, other, acl={"owners": ["user/ann"]})
    assert ann.patch(path, json={"description": "tapes"}).json()["description"] == "tapes"
    assert ann.put(path, json={**ann.get(path).json(), "description": "discs"}).json()["description"] == "discs"
    assert ann.patch(path, json={"endpoint": "http://127.0.0.1:9"}).status_code == 403
    assert ann.patch(path, json={"credential": "other"}).status_code in (400, 403)
    assert ann.get(path).json()["endpoint"] == other


def test_an_edited_provider_is_where_it_is_now(service, other, tmp_path) -> None:
    boss = service.as_("boss", "admin")
    path = added(boss, "http://127.0.0.1:9")
    tag = boss.get(path).headers["etag"]
    answer = boss.patch(path, json={"endpoint": other}, headers={"if-match": tag})
    assert (answer.status_code, answer.json()["endpoint"]) == (200, other)
    assert boss.patch(path, json={"name": "late"}, headers={"if-match": tag}).status_code == 412
    assert sent(boss, "far:raw", "y.csv", b"a\n1\n")[1].startswith(other)


def test_a_provider_with_objects_stays(service, other) -> None:
    boss = service.as_("boss", "admin")
    path = added(boss, other)
    made, _ = sent(boss, "far:raw", "x.csv", b"a\n1\n")
    refused = boss.delete(path)
    assert refused.status_code == 409
    assert "far" in refused.text
    assert boss.delete(made).status_code == 204
    service.settle()
    assert boss.delete(path).status_code == 204
    gone = boss.post("/data-objects", json={"bucket": "far:raw", "key": "z"})
    assert gone.status_code == 400
    assert "far" in gone.text


def test_what_is_configured_is_changed_in_the_configuration(service) -> None:
    boss = service.as_("boss", "admin")
    (own,) = boss.get("/providers", params={"filter": "configured = TRUE"}).json()["resources"]
    path = f"/providers/{own['id'].partition('/')[2]}"
    assert (own["provider"], own["endpoint"]) == ("default", service.objects.default.endpoint)
    assert boss.patch(path, json={"endpoint": "http://127.0.0.1:9"}).status_code == 409
    assert boss.delete(path).status_code == 409


@pytest.mark.parametrize(
    ("document", "told"),
    [
        ({"provider": "Far Away"}, "provider"),
        ({"provider": "default"}, "taken"),
        ({"endpoint": "ftp://somewhere"}, "endpoint"),
        ({"endpoint": "not an address"}, "endpoint"),
        ({"credential": "nobody"}, "credential"),
    ],
)
def test_what_is_no_provider(service, document, told) -> None:
    boss = service.as_("boss", "admin")
    whole = {"provider": "far", "endpoint": "http://127.0.0.1:9", "credential": "far", **document}
    answer = boss.post("/providers", json=whole)
    assert answer.status_code in (400, 409)
    assert told in answer.text


def test_keys_are_never_shown_stored_or_logged(service, other, caplog) -> None:
    boss = service.as_("boss", "admin")
    caplog.set_level(logging.INFO)
    leaky = other.replace("http://", f"http://x:{SECRET}@")
    refused = boss.post("/providers", json={"provider": "leaky", "endpoint": leaky, "credential": "far"})
    assert refused.status_code == 400
    assert SECRET not in refused.text
    path = added(boss, other)
    sent(boss, "far:raw", "x.csv", b"a\n1\n")
    shown = [boss.get(path).text, boss.get("/providers").text, boss.patch(path, json={"name": "n"}).text]
    with service.lake.database() as database:
        rows = [str(tuple(row)) for row in database.rows("SELECT * FROM provider")]
    service.settle()
    events = [str(event) for event in service.lake.log.tail(0, 10_000)]
    for text in (*shown, *rows, *events, caplog.text):
        assert SECRET not in text
    assert any("far" in row for row in rows)


def test_the_command_line_is_over_the_same_api(service, other, tmp_path) -> None:
    config, file = tmp_path / "config.yaml", tmp_path / "x.csv"
    file.write_text("a,b\n1,2\n")
    keys = f"{{name: far, access_key: {ACCESS}, secret_key: {SECRET}}}"
    token = service.as_("boss", "admin").headers["authorization"].partition(" ")[2]
    config.write_text(f"sluice:\n  http: {{token: {token}}}\n  credentials: [{keys}]\n")

    def run(*words: str, fails: bool = False) -> str:
        done = CliRunner().invoke(cli.application(), [*words, "--config", str(config), "--url", service.url])
        assert (done.exit_code == 1) == fails, done.output
        return str(done.output)

    id = run("provider", "create", json.dumps({"provider": "far", "endpoint": other, "credential": "far"})).strip()
    listed = run("provider", "list")
    assert other in listed.replace("\n", "")
    assert any(line.split()[1:2] == ["far"] for line in listed.splitlines()), listed
    assert other in run("provider", "show", id)
    run("put", str(file), "s3://far:raw/in/")
    assert service.objects.head("far:raw", "in/x.csv").size == 8
    run("put", str(file), "s3://moon:raw/in/", fails=True)
    run("provider", "edit", id, '{"description": "tapes"}')
    assert "tapes" in run("provider", "show", id)
    run("provider", "delete", id)
    assert other not in run("provider", "list")
