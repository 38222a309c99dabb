"""Loading from a model repository: what was tampered with is refused, and the rest goes on loading."""

from __future__ import annotations

import hashlib
import pickle

import msgspec
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from functions.repository import layout, sidecar, store
from functions.repository.sidecar import ALGORITHMS, Unverified
from infra.catalog.database import Database
from infra.models.loader import Loader
from infra.models.table import REGISTRY, SCHEMA, StoredModels
from infra.sqlite import connect, migrate
from tests.onnx_models import linear
from tests.unit.functions.model_shop import REPOSITORIES, Bucket, Shop


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    connection = connect(tmp_path_factory.mktemp("models") / "lake.db")
    migrate(connection, [SCHEMA, REGISTRY])
    shop = Shop(StoredModels(Database(connection), REPOSITORIES), REPOSITORIES[0])
    for weight in (1, 2):
        shop.upload("digits.onnx", linear(weight))
    shop.promote("digits", 2)
    yield dict(shop.bucket.found)
    connection.close()


def loader_over(found: dict[str, bytes]) -> Loader:
    bucket = Bucket()
    bucket.found = dict(found)
    return Loader(bucket, REPOSITORIES[0])


def test_good_versions_load(published):
    loader = loader_over(published)
    assert loader.versions("digits") == [1, 2]
    assert [loader.load("digits", version).content for version in (1, 2)] == [linear(1), linear(2)]
    assert loader.resolve("digits", "champion") == 2


def planted(found: dict[str, bytes], content: bytes) -> Loader:
    """A loader over a bucket in which somebody put a version 3, with everything that belongs to one."""
    bucket = Bucket()
    bucket.found = dict(found)
    key = layout.file_key("apps/", "digits", 3)
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    record = {"name": "digits", "version": 3, "key": key, "digest": digest, "size": len(content)}
    store.write(bucket, REPOSITORIES[0], key, content, "")
    store.write(bucket, REPOSITORIES[0], layout.record_key("apps/", "digits", 3), msgspec.json.encode(record), "")
    return Loader(bucket, REPOSITORIES[0])


def test_what_would_not_be_published_is_not_loaded_either(published):
    assert planted(published, linear(3)).load("digits", 3).content == linear(3)
    foreign, outside = onnx.load_from_string(linear()), onnx.load_from_string(linear())
    foreign.graph.node[0].domain = "evil"
    outside.graph.initializer[0].external_data.add(key="location", value="/etc/passwd")
    for content, reason in (
        (foreign.SerializeToString(), "evil.Mul"),
        (outside.SerializeToString(), "external_data=False"),
        (pickle.dumps([1]), "no ONNX model"),
    ):
        with pytest.raises(Unverified, match=reason):
            planted(published, content).load("digits", 3)


PARTS = ["2/model.onnx", "2/model.onnx.sha256asc", "2/version.json", "2/version.json.sha256asc"]
ALIAS = ["aliases/champion.json", "aliases/champion.json.sha256asc"]


@given(data=st.data())
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_one_flipped_byte_anywhere_is_refused(published, data):
    path = data.draw(st.sampled_from([*PARTS, *ALIAS]))
    found = dict(published)
    content = bytearray(found[f"apps/digits/{path}"])
    content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    found[f"apps/digits/{path}"] = bytes(content)
    loader = loader_over(found)
    with pytest.raises(Unverified):
        loader.resolve("digits", "champion") if path in ALIAS else loader.load("digits", 2)
    assert loader.load("digits", 1).content == linear(1)


@pytest.mark.parametrize("path", [*PARTS, *ALIAS])
@pytest.mark.parametrize("content", [None, b"", b"\xff\xfe", b"0" * 10_000])
def test_missing_empty_and_nonsense_are_refused(published, path, content):
    found = dict(published)
    if content is None:
        del found[f"apps/digits/{path}"]
    else:
        found[f"apps/digits/{path}"] = content
    loader = loader_over(found)
    with pytest.raises(Unverified):
        loader.resolve("digits", "champion") if path in ALIAS else loader.load("digits", 2)


def test_swapped_versions_and_replaced_aliases_are_refused(published):
    found = dict(published)
    for file in ("model.onnx", "model.onnx.sha256asc"):
        found[f"apps/digits/2/{file}"] = published[f"apps/digits/1/{file}"]
    with pytest.raises(Unverified, match="names another digest"):
        loader_over(found).load("digits", 2)
    for file in ("version.json", "version.json.sha256asc"):
        found[f"apps/digits/2/{file}"] = published[f"apps/digits/1/{file}"]
    with pytest.raises(Unverified, match="is the record of version 1"):
        loader_over(found).load("digits", 2)
    with pytest.raises(Unverified):
        loader_over(found).resolve("digits", "champion")
    other = dict(published)
    for end in ("", ".sha256asc"):
        copied = published[f"apps/digits/aliases/champion.json{end}"]
        other[f"apps/digits/aliases/canary.json{end}"] = copied.replace(b"  champion.json", b"  canary.json")
    with pytest.raises(Unverified, match="is the alias champion"):
        loader_over(other).resolve("digits", "canary")


def test_what_lies_in_an_inner_repository_is_none_of_the_outer_one(published):
    bucket = Bucket()
    bucket.found = {**published, **{key.replace("apps/digits", "own"): content for key, content in published.items()}}
    inner, outer = REPOSITORIES
    elsewhere = msgspec.structs.replace(inner, bucket="others")
    alone, loader = Loader(bucket, outer, [outer, elsewhere]), Loader(bucket, outer, [inner, outer, elsewhere])
    assert (alone.names(), loader.names()) == (["apps/digits", "own"], ["own"])
    assert (alone.versions("apps/digits"), loader.versions("apps/digits")) == ([1, 2], [])
    assert (loader.aliases("apps/digits"), loader.has_alias("apps/digits", "champion")) == ([], False)
    for refused in (lambda: loader.load("apps/digits", 1), lambda: loader.resolve("apps/digits", "champion")):
        with pytest.raises(Unverified, match="belongs to another model repository"):
            refused()
    assert (loader.versions("own"), loader.aliases("own")) == ([1, 2], ["champion"])
    assert Loader(bucket, inner, REPOSITORIES).load("digits", 2).content == linear(2)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_algorithm_checks(algorithm):
    made = sidecar.hasher(algorithm)
    made.update(b"content")
    digest = made.hexdigest()
    sidecar.check(sidecar.text(digest, "model.onnx"), algorithm, digest, "it")
    with pytest.raises(Unverified, match="it is not what"):
        sidecar.check(sidecar.text("0" * len(digest), "model.onnx"), algorithm, digest, "it")
    with pytest.raises(Unverified, match="cannot be checked"):
        sidecar.check(digest[:-1].encode(), algorithm, digest, "it")
