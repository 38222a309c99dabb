"""Data objects by HTTP: from an empty place to a download, by presigned URLs."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from blake3 import blake3

from infra.config import Reconcile
from infra.delivery.relay import Relay
from infra.runtime.overdue import Overdue
from infra.sources.sweep import Sweeper
from tests.conftest import eventually
from tests.unit.service.conftest import both_stores

pytestmark = both_stores
CSV = b"city,people\nVenice,250000\nChioggia,48000\n"


def make(client: httpx.Client, key: str = "raw/a b+c%20/ü.csv", **more: object) -> Any:
    answer = client.post("/data-objects", json={"bucket": "lake", "key": key, "content-type": "text/csv", **more})
    assert answer.status_code == 201, answer.text
    assert answer.headers["location"] == "/data-objects/" + answer.json()["id"].partition("/")[2]
    return answer.json()


def path_of(resource: dict[str, Any]) -> str:
    kind, _, name = resource["id"].partition("/")
    return f"/{kind}s/{name}"


def test_an_object_from_its_place_to_its_download(service) -> None:
    ann = service.as_("ann")
    made = make(ann, name="Cities", tags=["lagoon"])
    assert (made["state"], made["acl"], made["name"]) == ("NEW", {"owners": ["user/ann"]}, "Cities")
    uri = ann.post(f"{path_of(made)}/upload", json={"ttl": 60}).json()["uri"]
    assert ann.get(path_of(made)).json()["state"] == "UPLOADING"
    assert httpx.put(uri, content=CSV, headers={"content-type": "text/csv"}).status_code == 200
    eventually(lambda: ann.get(path_of(made)).json()["metadata"].get("rows") == 2)
    found = ann.get(path_of(made)).json()
    assert (found["state"], found["bytes"], found["name"], found["acl"]) == (
        "READY",
        len(CSV),
        "Cities",
        {"owners": ["user/ann"]},
    )
    answer = ann.post(f"{path_of(made)}/download")
    assert answer.status_code == 303
    assert answer.headers["location"] == answer.json()["uri"]
    assert httpx.get(answer.json()["uri"]).content == CSV


def test_ready_closes_an_upload_where_no_notification_comes(service) -> None:
    service.relay.stop()
    ann = service.as_("ann")
    made = make(ann)
    assert ann.post(f"{path_of(made)}/ready").status_code == 409
    uri = ann.post(f"{path_of(made)}/upload").json()["uri"]
    assert ann.post(f"{path_of(made)}/ready").status_code == 409
    httpx.put(uri, content=CSV, headers={"content-type": "text/csv"})
    done = ann.post(f"{path_of(made)}/ready").json()
    assert (done["state"], done["bytes"]) == ("READY", len(CSV))
    assert ann.post(f"{path_of(made)}/ready").json()["revision"] == done["revision"]


def test_large_objects_come_in_parts(service) -> None:
    ann = service.as_("ann")
    made = make(ann)
    first = ann.post(f"{path_of(made)}/upload", json={"parts": 2}).json()["uris"]
    uris = ann.post(f"{path_of(made)}/upload", json={"parts": 2}).json()["uris"]
    assert httpx.put(first[0], content=b"x").status_code == 404, "the first upload was given up"
    content = [b"a,b\n" * (5 << 18), b"1,2\n"]
    tags = [httpx.put(uri, content=part).headers["etag"] for uri, part in zip(uris, content, strict=True)]
    parts = [{"number": number, "etag": tag} for number, tag in enumerate(tags, 1)]
    refused = ann.post(f"{path_of(made)}/complete", json={"parts": [{"number": 1, "etag": '"none"'}]})
    assert refused.status_code == 400
    done = ann.post(f"{path_of(made)}/complete", json={"parts": parts})
    assert done.status_code == 200, done.text
    assert done.json()["bytes"] == sum(map(len, content))
    service.settle()
    uri = ann.post(f"{path_of(made)}/download", json={"ttl": 5}).json()["uri"]
    assert httpx.get(uri).content == b"".join(content)


def test_an_upload_that_nobody_ends_expires(service) -> None:
    ann = service.as_("ann")
    made, other = make(ann), make(ann, "other.csv")
    uri = ann.post(f"{path_of(made)}/upload", json={"ttl": 1}).json()["uri"]
    ann.post(f"{path_of(other)}/upload", json={"ttl": 1, "parts": 1})
    overdue = Overdue(service.lake, service.objects)

    def expired() -> bool:
        overdue.step()
        return {ann.get(path_of(each)).json()["state"] for each in (made, other)} == {"EXPIRED"}

    eventually(expired)
    assert httpx.put(uri, content=CSV).status_code == 403
    assert ann.post(f"{path_of(made)}/download").status_code == 409
    uri = ann.post(f"{path_of(made)}/upload", json={"ttl": 60}).json()["uri"]
    assert httpx.put(uri, content=CSV, headers={"content-type": "text/csv"}).status_code == 200
    eventually(lambda: ann.get(path_of(made)).json()["state"] == "READY")


def test_what_came_in_time_is_ready_although_nobody_told(service) -> None:
    service.relay.stop()
    ann = service.as_("ann")
    made = make(ann)
    uri = ann.post(f"{path_of(made)}/upload", json={"ttl": 3}).json()["uri"]
    assert httpx.put(uri, content=CSV, headers={"content-type": "text/csv"}).status_code == 200
    overdue = Overdue(service.lake, service.objects)

    def ready() -> bool:
        overdue.step()
        return bool(ann.get(path_of(made)).json()["state"] == "READY")

    eventually(ready)


def test_of_uploads_that_begin_at_once_one_is_left(service) -> None:
    ann = service.as_("ann")
    made = make(ann)
    with ThreadPoolExecutor(6) as pool:
        asked = [pool.submit(ann.post, f"{path_of(made)}/upload", json={"parts": 1}) for _ in range(12)]
    assert {each.result().status_code for each in asked} <= {200, 409}
    left = service.objects.default.client.list_multipart_uploads(Bucket="lake").get("Uploads", [])
    assert [each["UploadId"] for each in left] == [ann.get(path_of(made)).json()["upload"]]


@pytest.mark.parametrize("keep", [False, True])
def test_deleting_may_keep_the_object(service, keep) -> None:
    ann = service.as_("ann")
    made = make(ann)
    sent(ann, made)
    service.settle()
    wrong = ann.delete(path_of(made), headers={"if-match": '"999"'})
    assert wrong.status_code == 412
    assert ann.delete(path_of(made), params={"keep-object": str(keep).lower()}).status_code == 204
    service.settle()
    assert ann.get(path_of(made)).status_code == 404
    assert [found.key for found in service.objects.list("lake")] == ([made["key"]] if keep else [])


def sent(client: httpx.Client, made: dict[str, Any], content: bytes = CSV) -> None:
    uri = client.post(f"{path_of(made)}/upload").json()["uri"]
    assert httpx.put(uri, content=content, headers={"content-type": "text/csv"}).status_code == 200


def test_what_is_kept_is_not_brought_back_by_late_word_of_it(service) -> None:
    service.relay.stop()  # the store's notification waits in its outbox
    ann, bob = service.as_("ann"), service.as_("bob")
    made, other = make(ann), make(ann, "unknown.csv")
    sent(ann, made)
    sent(ann, other)
    assert ann.post(f"{path_of(made)}/ready").status_code == 200
    for each in (made, other):
        assert ann.delete(path_of(each), params={"keep-object": "true"}).status_code == 204
    late = Relay(service.door, service.lake)
    late.start()
    service.settle()
    sweeper = Sweeper(service.lake, service.objects, Reconcile(buckets=[]))
    assert list(sweeper.sweep("lake"))[-1].new == 0, "a sweep finds them where they were left"
    service.settle()
    for each in (made, other):
        assert ann.get(path_of(each)).status_code == 404
    service.objects.write("lake", made["key"], CSV + b"Mestre,89000\n", content_type="text/csv")
    service.settle()
    late.stop()
    found = ann.get(path_of(made)).json()
    assert (found["state"], found["metadata"]["rows"], found["acl"]) == ("READY", 3, {"owners": ["user/ann"]})
    assert ann.get(path_of(other)).status_code == 404
    body = {"bucket": "lake", "key": "unknown.csv"}
    assert bob.post("/data-objects", json=body).status_code == 409
    again = ann.post("/data-objects", json=body)
    assert again.status_code == 201, again.text
    assert ann.post(f"{path_of(again.json())}/ready").json()["state"] == "READY"


def test_what_arrives_is_held_against_what_was_claimed(service) -> None:
    ann = service.as_("ann")
    told = {name: hashlib.new(name, CSV).hexdigest() for name in ("md5", "sha256", "sha512")}
    told["blake3"] = blake3(CSV).hexdigest()
    for digests, error in (({"sha256": "deadbeef"}, "64"), ({"crc8": "00"}, "crc8"), ({"md5": "x" * 32}, "md5")):
        refused = ann.post("/data-objects", json={"bucket": "lake", "key": "x", "digests": digests})
        assert (refused.status_code, error in refused.json()["error"]) == (400, True), refused.text
    made = make(ann, digests={**told, "sha256": told["sha256"].upper()})
    assert (made["digests"], made["claims"]) == ({}, told)
    asked = ann.post(f"{path_of(made)}/upload").json()
    assert asked["headers"].keys() == {"content-type", "content-md5", "x-amz-checksum-sha256"}
    assert httpx.put(asked["uri"], content=CSV, headers={"content-type": "text/csv"}).status_code == 403, "the claim left out"
    assert httpx.put(asked["uri"], content=CSV + b"x", headers=asked["headers"]).status_code == 400
    assert httpx.put(asked["uri"], content=CSV, headers=asked["headers"]).status_code == 200
    service.settle()
    found = ann.get(path_of(made)).json()
    assert (found["state"], found["claims"], found["digest"]) == ("READY", {}, f"blake3:{told['blake3']}")
    assert found["digests"].items() >= {name: told[name] for name in ("md5", "sha256", "sha512")}.items()


def test_an_object_that_is_not_as_was_claimed_fails_and_says_why(service) -> None:
    """In parts, where the store compares nothing."""
    ann = service.as_("ann")
    right, wrong = hashlib.sha512(CSV).hexdigest(), hashlib.sha512(b"other").hexdigest()
    made = make(ann, digests={"sha512": wrong})

    def send() -> None:
        (uri,) = ann.post(f"{path_of(made)}/upload", json={"parts": 1}).json()["uris"]
        tag = httpx.put(uri, content=CSV).headers["etag"]
        ann.post(f"{path_of(made)}/complete", json={"parts": [{"number": 1, "etag": tag}]})
        service.settle()

    send()
    found = ann.get(path_of(made)).json()
    assert (found["state"], found["claims"], found["digests"]) == ("FAILED", {"sha512": wrong}, {})
    assert f"its sha512 is {right}, not {wrong}" in found["cause"]
    asked = ann.post(f"{path_of(made)}/upload", json={"digests": {"sha512": right}}).json()
    assert httpx.put(asked["uri"], content=CSV + b"\n", headers=asked["headers"]).status_code == 200
    service.settle()
    assert ann.get(path_of(made)).json()["state"] == "FAILED", "the claim stays until it is met"
    sent(ann, made)
    service.settle()
    found = ann.get(path_of(made)).json()
    assert (found["state"], found["claims"], found["digests"]) == ("READY", {}, {"sha512": right})


def test_what_the_store_can_tell_is_compared_when_the_upload_ends(service) -> None:
    service.relay.stop()
    ann = service.as_("ann")
    made = make(ann, digests={"sha256": "0" * 64})
    service.objects.default.client.put_object(Bucket="lake", Key=made["key"], Body=CSV, ChecksumAlgorithm="SHA256")
    ended = ann.post(f"{path_of(made)}/ready").json()
    told = hashlib.sha256(CSV).hexdigest()
    assert (ended["state"], f"its sha256 is {told}" in ended["cause"]) == ("FAILED", True)
    other = make(ann, "other", digests={"sha256": told})
    service.objects.default.client.put_object(Bucket="lake", Key="other", Body=CSV, ChecksumAlgorithm="SHA256")
    ended = ann.post(f"{path_of(other)}/ready").json()
    assert (ended["state"], ended["digests"], ended["claims"]) == ("READY", {"sha256": told}, {})


@pytest.mark.parametrize("end", ["ready", "overdue"])
def test_content_that_was_refused_is_not_ready_because_an_upload_has_begun(service, end) -> None:
    ann = service.as_("ann")
    made = make(ann, digests={"sha512": "0" * 128})
    service.objects.write("lake", made["key"], CSV)
    eventually(lambda: ann.get(path_of(made)).json()["state"] == "FAILED")
    cause = ann.get(path_of(made)).json()["cause"]
    ann.post(f"{path_of(made)}/upload", json={"ttl": 1})
    overdue = Overdue(service.lake, service.objects)

    def ended() -> bool:
        ann.post(f"{path_of(made)}/ready") if end == "ready" else overdue.step()
        return bool(ann.get(path_of(made)).json()["state"] != "UPLOADING")

    eventually(ended)
    found = ann.get(path_of(made)).json()
    assert (found["state"], found["cause"], found["digest"]) == ("FAILED", cause, "")
    asked = ann.post(f"{path_of(made)}/upload", json={"digests": {"sha512": hashlib.sha512(CSV).hexdigest()}}).json()
    assert httpx.put(asked["uri"], content=CSV, headers=asked["headers"]).status_code == 200
    service.settle()
    found = ann.get(path_of(made)).json()
    assert (found["state"], found["cause"], found["digest"]) == ("READY", "", f"blake3:{blake3(CSV).hexdigest()}")


def test_a_new_version_is_uploaded_while_the_present_one_can_be_fetched(service) -> None:
    ann = service.as_("ann")
    made = make(ann)
    sent(ann, made)
    service.settle()
    more = CSV + b"Mestre,89000\n"
    uris = ann.post(f"{path_of(made)}/upload", json={"parts": 1}).json()["uris"]
    pending = ann.get(path_of(made)).json()
    assert (pending["state"], bool(pending["expires"]), bool(pending["upload"])) == ("READY", True, True)
    assert httpx.get(ann.post(f"{path_of(made)}/download").json()["uri"]).content == CSV
    tag = httpx.put(uris[0], content=more).headers["etag"]
    done = ann.post(f"{path_of(made)}/complete", json={"parts": [{"number": 1, "etag": tag}]}).json()
    assert (done["state"], done["bytes"], done["expires"], done["upload"]) == ("READY", len(more), "", "")
    service.settle()
    found = ann.get(path_of(made)).json()
    assert (found["metadata"]["rows"], found["digest"]) == (3, f"blake3:{blake3(more).hexdigest()}")
    assert httpx.get(ann.post(f"{path_of(made)}/download").json()["uri"]).content == more


def test_an_upload_of_a_new_version_that_nobody_ends_leaves_the_old_one(service) -> None:
    ann = service.as_("ann")
    made = make(ann)
    sent(ann, made)
    service.settle()
    ann.post(f"{path_of(made)}/upload", json={"ttl": 1, "parts": 1})
    overdue = Overdue(service.lake, service.objects)

    def given_up() -> bool:
        overdue.step()
        return not ann.get(path_of(made)).json()["expires"]

    eventually(given_up)
    found = ann.get(path_of(made)).json()
    assert (found["state"], found["upload"], found["metadata"]["rows"], bool(found["digest"])) == ("READY", "", 2, True)
    assert service.objects.default.client.list_multipart_uploads(Bucket="lake").get("Uploads", []) == []


def test_a_store_without_versions_has_the_present_one(service) -> None:
    ann, bob = service.as_("ann"), service.as_("bob")
    made = make(ann)
    assert ann.get(f"{path_of(made)}/versions").json() == {"versions": [], "next": ""}
    sent(ann, made)
    service.settle()
    (only,) = ann.get(f"{path_of(made)}/versions").json()["versions"]
    assert (only["current"], only["bytes"], only["etag"]) == (True, len(CSV), hashlib.md5(CSV).hexdigest())
    assert ann.post(f"{path_of(made)}/download", json={"version": "none"}).status_code == 404
    assert bob.get(f"{path_of(made)}/versions").status_code == 404


def test_a_sweep_leaves_places_alone_that_wait_for_their_objects(service) -> None:
    ann = service.as_("ann")
    made = make(ann)
    sweeper = Sweeper(service.lake, service.objects, Reconcile(buckets=[]))
    assert list(sweeper.sweep("lake"))[-1].removed == 0
    service.settle()
    assert ann.get(path_of(made)).json()["state"] == "NEW"


def test_what_was_kept_and_is_taken_up_again_is_read_by_the_next_sweep(service) -> None:
    ann = service.as_("ann")
    made = make(ann)
    sent(ann, made)
    service.settle()
    assert ann.delete(f"{path_of(made)}?keep-object=true").status_code == 204
    taken = ann.post(f"{path_of(make(ann))}/ready").json()
    assert (taken["state"], taken["digest"]) == ("READY", ""), "of which no notification will ever come"
    sweeper = Sweeper(service.lake, service.objects, Reconcile(buckets=[]))
    assert list(sweeper.sweep("lake"))[-1].changed == 1
    service.settle()
    assert ann.get(path_of(made)).json()["digest"] == f"blake3:{blake3(CSV).hexdigest()}"
    assert list(sweeper.sweep("lake"))[-1].changed == 0


def test_an_empty_upload_fails(service) -> None:
    ann = service.as_("ann")
    made = make(ann)
    uri = ann.post(f"{path_of(made)}/upload").json()["uri"]
    httpx.put(uri, content=b"", headers={"content-type": "text/csv"})
    eventually(lambda: ann.get(path_of(made)).json()["state"] == "FAILED")
    assert "0 bytes" in ann.get(path_of(made)).json()["cause"]


def test_what_is_in_a_store_already_is_nobodys_to_claim(service) -> None:
    service.relay.stop()
    service.objects.default.ensure("lake")
    service.objects.write("lake", "secret.csv", CSV)
    service.objects.default.ensure("sluice")
    ann = service.as_("ann")
    places = [("lake", "secret.csv"), ("sluice", "index"), ("moon:lake", "a"), ("", "a"), ("lake", ""), ("No_Bucket", "a")]
    for bucket, key in places:
        answer = ann.post("/data-objects", json={"bucket": bucket, "key": key})
        assert answer.status_code in (400, 409), answer.text
    forged = make(ann, "mine.csv", state="READY", bytes=7, etag="x", digest="y")
    assert (forged["state"], forged["bytes"], forged["etag"], forged["digest"]) == ("NEW", 0, "", "")


@pytest.mark.parametrize(
    "document", [{"ttl": 0}, {"ttl": 10**7}, {"ttl": "long"}, {"parts": -1}, {"parts": 10**5}, {"tll": 5}, []]
)
def test_uploads_that_make_no_sense_are_refused(service, document) -> None:
    ann = service.as_("ann")
    made = make(ann)
    assert ann.post(f"{path_of(made)}/upload", json=document).status_code == 400
    assert ann.get(path_of(made)).json()["state"] == "NEW"


def test_of_an_object_people_change_what_is_theirs_to_say(service) -> None:
    ann = service.as_("ann")
    path = path_of(make(ann))
    point = {"type": "Point", "coordinates": [12.3, 45.4]}
    theirs = {"name": "n", "description": "d", "tags": ["t"], "geometry": point, "timestamp": "2026-01-01T00:00:00.000Z"}
    theirs |= {"timestamp-end": "2026-01-02T00:00:00.000Z", "acl": {"owners": ["user/ann"], "view": ["group/anyone"]}}
    told = ann.patch(path, json=theirs).json()
    assert {name: told[name] for name in theirs} == theirs
    for name, value in {
        "user": {"a": "b"},
        "metadata": {"a": 1},
        "bytes": 1,
        "state": "READY",
        "key": "k",
        "digest": "d",
    }.items():
        refused = ann.patch(path, json={name: value})
        assert (refused.status_code, refused.json()["error"].partition(":")[0]) == (400, name)
