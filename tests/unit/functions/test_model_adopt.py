"""A lake rebuilt over an old bucket: what an earlier one published is verified and taken over, and nothing is overwritten."""

from __future__ import annotations

import hashlib

import pytest

from events.event import Event
from events.types import CatalogUpdated, ModelPromoted, ModelPublished, ModelRejected, ModelStored
from functions.repository import layout, sidecar
from infra.catalog.database import Database
from infra.models.adopted import Adoption, Found
from infra.models.loader import Loader
from infra.models.table import REGISTRY, SCHEMA, StoredModels
from infra.serving.published import Published
from infra.sqlite import connect, migrate
from tests.onnx_models import linear
from tests.unit.functions.model_shop import REPOSITORIES, Shop, read

WHERE = REPOSITORIES[0]


class Lake(Shop):
    """One with a database of its own, that a test may throw away."""

    def __init__(self, path):
        migrate(connection := connect(path), [SCHEMA, REGISTRY])
        self.database = Database(connection)
        super().__init__(StoredModels(self.database, REPOSITORIES), WHERE)
        self.old: list[ModelPublished] = []

    def reading(self):
        """The database, as it is read."""
        return self

    def __enter__(self):
        return self.database

    def __exit__(self, *_):
        return None

    def adopt(self, name="", *, aliases=False) -> tuple[list[Found], list[Event]]:
        """Take over what is found: what is told of it, and what it leads to."""
        told, produced = [], []
        adoption = Adoption(Loader(self.bucket, WHERE), self.bucket, self.reading, "sha256")
        for found, data in adoption.look(name, aliases=aliases):
            told += found
            if data is not None:
                produced += self.run(Event(id=f"a{len(self.seen)}", source="/t", type="t").reply(data))
        return told, produced

    def meant(self) -> dict[str, int]:
        return {each.alias: each.version for each in self.models.aliases()}


@pytest.fixture
def rebuilt(tmp_path):
    """A lake that knows nothing over a bucket with three versions and two aliases, and what the bucket has."""
    old = Lake(tmp_path / "old.db")
    for weight in (1, 2, 3):
        old.upload("digits/model.onnx", linear(weight), {"sluice-metrics": f'{{"accuracy": 0.{weight}}}'})
    old.promote("digits", 2)
    old.promote("digits", 3, "candidate")
    new = Lake(tmp_path / "new.db")
    new.bucket.found = old.bucket.found
    new.old = old.models.versions()
    return new


def states(found):
    return [(each.version, each.alias, each.state) for each in found]


def test_versions_keep_their_numbers_and_all_that_was_told_of_them(rebuilt):
    before = dict(rebuilt.bucket.found)
    found, produced = rebuilt.adopt()
    assert states(found) == [
        (1, "", "adopted"), (2, "", "adopted"), (2, "champion", "left"), (3, "", "adopted"), (3, "candidate", "left"),
    ]  # fmt: skip
    assert rebuilt.models.versions() == read(produced, ModelPublished) == rebuilt.old
    assert rebuilt.meant() == {}
    assert rebuilt.bucket.found == before


def test_aliases_are_believed_where_that_is_said(rebuilt):
    before = dict(rebuilt.bucket.found)
    rebuilt.adopt()
    found, produced = rebuilt.adopt(aliases=True)
    assert states(found) == [
        (1, "", "known"), (2, "", "known"), (2, "champion", "adopted"), (3, "", "known"), (3, "candidate", "adopted"),
    ]  # fmt: skip
    assert read(produced, ModelPublished) == []
    assert [each.alias for each in read(produced, ModelPromoted)] == ["champion", "candidate"]
    assert rebuilt.meant() == {"champion": 2, "candidate": 3}
    assert rebuilt.bucket.found == before
    assert {each.state for each in rebuilt.adopt(aliases=True)[0]} == {"known"}


def test_what_this_lake_has_decided_is_left(rebuilt):
    rebuilt.adopt("digits")
    rebuilt.promote("digits", 1)
    key, content = _alias(2)  # as it was: somebody restored it
    rebuilt.bucket.found |= {
        key: content,
        sidecar.key(key, "sha256"): sidecar.text(hashlib.sha256(content).hexdigest(), "champion.json"),
    }
    found, _ = rebuilt.adopt(aliases=True)
    (refused,) = [each for each in found if each.state == "refused"]
    assert (refused.alias, refused.cause) == ("champion", "in this lake it means version 1")
    assert rebuilt.meant() == {"champion": 1, "candidate": 3}


def test_an_upload_is_no_version(rebuilt):
    assert Loader(rebuilt.bucket, WHERE).versions("digits") == [1, 2, 3]


def _alias(version):
    content = (
        f'{{"name":"digits","alias":"champion","version":{version},'
        f'"digest":"sha256:{hashlib.sha256(linear(version)).hexdigest()}"}}'
    )
    return "apps/digits/aliases/champion.json", content.encode()


@pytest.mark.parametrize("part", ["model.onnx", "version.json", "model.onnx.sha256asc", "version.json.sha256asc"])
def test_a_version_that_was_tampered_with_is_refused_and_named(rebuilt, part):
    key = f"apps/digits/2/{part}"
    content = rebuilt.bucket.found[key]
    rebuilt.bucket.found[key] = content[:40] + bytes([content[40] ^ 1]) + content[41:]
    found, produced = rebuilt.adopt(aliases=True)
    assert [each.version for each in read(produced, ModelPublished)] == [1, 3]
    refused = [each for each in found if each.state == "refused"]
    assert refused[-1].version == 2 or refused[-1].alias == "champion"
    assert all("s3://models/apps/digits/" in each.cause or "not there" in each.cause for each in refused)
    assert any((each.version, each.alias) == (2, "") and "digits/2/" in each.cause for each in refused)
    assert "candidate" in rebuilt.meant()


def test_an_alias_that_was_tampered_with_is_refused_and_named(rebuilt):
    rebuilt.bucket.found["apps/digits/aliases/champion.json"] = _alias(3)[1]
    found, _ = rebuilt.adopt(aliases=True)
    (refused,) = [each for each in found if each.state == "refused"]
    assert refused.alias == "champion"
    assert "s3://models/apps/digits/aliases/champion.json" in refused.cause
    assert rebuilt.meant() == {"candidate": 3}


def test_an_alias_of_a_version_that_is_gone_is_refused(rebuilt):
    rebuilt.bucket.found = {key: value for key, value in rebuilt.bucket.found.items() if "/digits/2/" not in key}
    found, _ = rebuilt.adopt(aliases=True)
    assert [(each.alias, each.state) for each in found if each.alias] == [("candidate", "adopted"), ("champion", "refused")]


def test_an_upload_that_is_found_again_overwrites_no_version_and_is_the_next_after_the_adoption(rebuilt):
    before = dict(rebuilt.bucket.found)
    (rejected,) = read(rebuilt.upload("digits/model.onnx", linear(3)), ModelRejected)  # as a sweep tells of it
    assert rejected.version == 1
    assert "sluice model adopt digits" in rejected.cause
    assert rebuilt.bucket.found == before
    rebuilt.adopt(aliases=True)
    assert rebuilt.upload("digits/model.onnx", linear(3)) == []  # the latest version's content
    (published,) = read(rebuilt.upload("digits/model.onnx", linear(4)), ModelPublished)
    assert published.version == 4


def test_even_the_same_content_is_no_second_version_in_the_place_of_the_first(rebuilt):
    before = dict(rebuilt.bucket.found)
    assert read(rebuilt.upload("digits/model.onnx", linear(1)), ModelStored) == []
    assert rebuilt.bucket.found["apps/digits/1/version.json"] == before["apps/digits/1/version.json"]


def test_a_version_in_the_bucket_that_this_lake_published_otherwise_is_refused(rebuilt):
    rebuilt.adopt()
    content = linear(9)
    digest = hashlib.sha256(content).hexdigest()
    record = (
        f'{{"name":"digits","version":2,"key":"apps/digits/2/model.onnx","digest":"sha256:{digest}","size":{len(content)}}}'
    ).encode()
    for key, data in ((layout.file_key("apps/", "digits", 2), content), (layout.record_key("apps/", "digits", 2), record)):
        rebuilt.bucket.found[key] = data
        beside = sidecar.text(hashlib.sha256(data).hexdigest(), key.rsplit("/", 1)[-1])
        rebuilt.bucket.found[sidecar.key(key, "sha256")] = beside
    found, produced = rebuilt.adopt("digits", aliases=False)
    (refused,) = [each for each in found if each.state == "refused" and not each.alias]
    assert refused.version == 2
    assert "published another content" in refused.cause
    assert produced == []


def test_a_server_beside_the_lake_believes_what_was_adopted(rebuilt):
    class Register:
        def get(self, path, **_):
            return {
                "models": [{"name": each.name, "version": each.version, "digest": each.digest}
                           for each in rebuilt.models.versions()],
                "aliases": [{"name": each.name, "alias": each.alias, "version": each.version}
                            for each in rebuilt.models.aliases()],
            }  # fmt: skip

    published = Published(Register(), WHERE.name)
    rebuilt.adopt(aliases=True)
    published.look()
    for version in (1, 2, 3):
        published.check("digits", version, Loader(rebuilt.bucket, WHERE).load("digits", version).record.digest)
    assert published.alias("digits", "champion") == 2


def test_the_watch_of_versions_tells_who_is_to_adopt_them(rebuilt):
    told = CatalogUpdated(bucket="models", key="apps/digits/1/model.onnx", change="upserted", digest="blake3:0")
    (rejected,) = read(rebuilt.tell(told), ModelRejected)
    assert "sluice model adopt digits" in rejected.cause
    rebuilt.adopt()
    etag = hashlib.md5(rebuilt.bucket.found["apps/digits/1/model.onnx"]).hexdigest()
    again = CatalogUpdated(bucket="models", key="apps/digits/1/model.onnx", change="upserted", etag=etag, digest="blake3:0")
    assert rebuilt.tell(again) == []
