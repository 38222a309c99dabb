"""Model repositories: numbers, checks, sidecars, aliases, and what is told of changes behind its back."""

from __future__ import annotations

import hashlib
import pickle

import msgspec
import onnx
import pytest
from blake3 import blake3
from onnx import TensorProto, helper

import functions.model_store
from events.errors import Reject
from events.event import Event
from events.ports import Entry
from events.route import handlers
from events.types import (
    ModelPromoted,
    ModelPublished,
    ModelRejected,
    ModelStored,
    ModelSubmitted,
)
from functions.model_store import model_store
from functions.model_version import model_version
from functions.repository import layout, sidecar, store, told
from functions.repository.layout import Place, place
from functions.repository.sidecar import ALGORITHMS, Unverified
from infra.delivery.provenance import about
from infra.models.loader import Loader, Record, Verified
from infra.serving.model import OnnxModel, Unable
from tests.onnx_models import endless, linear
from tests.unit.functions.model_shop import NAMES, REPOSITORIES, read


def test_what_lies_where():
    assert place("digits/model.onnx") == place("digits.onnx") == place("/digits.onnx") == Place("digits")
    assert place("a/b/model.onnx") == Place("a/b")
    assert place("digits/3/model.onnx") == Place("digits", 3)
    assert place("digits/3/version.json") == Place("digits", 3, "version.json")
    assert place("digits/0/model.onnx") == Place("digits/0")
    assert place("readme.md") is place("model.onnx") is place(".onnx") is place("digits/model.onnx.sha256asc") is None
    assert layout.touched("a/b/3/version.json") == layout.touched("a/b/aliases/champion.json.sha256asc") == "a/b"
    assert layout.touched("a/model.onnx") == layout.touched("a/aliases/notes.txt") == layout.touched("aliases/x.json") == ""
    assert layout.file_key("apps", "digits", 3) == "apps/digits/3/model.onnx"


def test_uploads_become_numbered_versions_in_places_of_their_own(shop):
    first, second = linear(1), linear(2)
    (published,) = read(shop.upload("digits/model.onnx", first), ModelPublished)
    assert (published.repository, published.name, published.version) == ("apps", "digits", 1)
    assert published.digest == f"sha256:{hashlib.sha256(first).hexdigest()}"
    assert (published.key, published.source) == ("apps/digits/1/model.onnx", "s3://models/apps/digits/model.onnx")
    assert [p.version for p in read(shop.upload("digits/model.onnx", second), ModelPublished)] == [2]
    assert shop.bucket.found["apps/digits/1/model.onnx"] == first
    assert shop.bucket.found["apps/digits/2/model.onnx"] == second
    assert shop.bucket.found["apps/digits/2/model.onnx.sha256asc"].startswith(hashlib.sha256(second).hexdigest().encode())
    assert [v.version for v in shop.models.versions("apps", "digits")] == [1, 2]
    assert shop.upload("digits/model.onnx", second) == []  # the same content again
    assert [p.version for p in read(shop.upload("digits.onnx", first), ModelPublished)] == [3]  # an older one is new again


def test_a_model_belongs_to_the_innermost_repository_only(shop):
    shop.upload("digits/model.onnx", linear())
    assert {version.repository for version in shop.models.versions()} == {"apps"}


def test_what_is_no_model_is_rejected_with_its_reason_and_leaves_no_gap(shop):
    outside = onnx.load_from_string(linear())
    outside.graph.initializer[0].data_location = TensorProto.EXTERNAL
    outside.graph.initializer[0].external_data.add(key="location", value="weights.bin")
    traced = onnx.load_from_string(linear())
    traced.graph.node[0].metadata_props.add(key="pkg.torch.onnx.stack_trace", value="none")
    pathed = onnx.load_from_string(linear())
    pathed.graph.node[0].metadata_props.add(key="note", value='from "/srv/secret/train.py"')
    foreign = onnx.load_from_string(linear())
    foreign.graph.node[0].domain = "evil"
    foreign.opset_import.add(domain="evil", version=1)
    for content, reason in (
        (pickle.dumps({"weights": [1, 2]}), "Python pickle"),
        (b"PK\x03\x04 and more", "zip archive"),
        (outside.SerializeToString(), "external_data=False"),
        (traced.SerializeToString(), "traces of the machine"),
        (pathed.SerializeToString(), "traces of the machine"),
        (foreign.SerializeToString(), "evil.Mul"),
    ):
        (rejected,) = read(shop.upload("digits.onnx", content), ModelRejected)
        assert reason in rejected.cause
    shop.entries["apps/digits.onnx"] = Entry(bucket="models", key="apps/digits.onnx", etag="e", state="failed", cause="cut off")
    (broken,) = read(shop.change("apps/digits.onnx", "failed", etag="e"), ModelRejected)
    assert broken.cause == "it is no ONNX model that can be used: cut off"
    (replaced,) = read(shop.change("apps/digits.onnx", "failed", etag="f"), ModelRejected)
    assert replaced.cause == "it is no ONNX model that can be used"
    assert [p.version for p in read(shop.upload("digits.onnx", linear()), ModelPublished)] == [1]


def test_operators_may_be_allowed(shops):
    model = onnx.load_from_string(linear())
    model.graph.node.append(helper.make_node("FusedMatMul", ["y", "y"], ["z"], domain="com.microsoft", transB=1))
    model.graph.output[0].CopyFrom(helper.make_tensor_value_info("z", TensorProto.FLOAT, ["n", "n"]))
    model.opset_import.add(domain="com.microsoft", version=1)
    content = model.SerializeToString()
    assert read(shops().upload("digits.onnx", content), ModelRejected)
    allowing = msgspec.structs.replace(REPOSITORIES[0], operators=["com.microsoft.*"])
    assert read(shops(allowing).upload("digits.onnx", content), ModelPublished)


def test_hostile_models_are_tried_in_a_cage_first(shop):
    huge = helper.make_graph(
        [helper.make_node("ConstantOfShape", ["shape"], ["y"], value=helper.make_tensor("v", TensorProto.FLOAT, [1], [1.0]))],
        "huge", [], [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [helper.make_tensor("shape", TensorProto.INT64, [1], [10_000_000_000])],
    )  # fmt: skip
    content = helper.make_model(huge, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()
    (rejected,) = read(shop.upload("huge.onnx", content), ModelRejected)
    assert "ONNX Runtime could not run it" in rejected.cause
    assert read(shop.upload("digits.onnx", linear()), ModelPublished)


def untyped(kind: str) -> bytes:
    """A model with a value that no protocol has a type for."""
    info, proto = helper.make_tensor_value_info, TensorProto
    tensor = helper.make_tensor_type_proto(proto.FLOAT, ["n", 3])
    maps = helper.make_sequence_type_proto(
        helper.make_map_type_proto(proto.INT64, helper.make_tensor_type_proto(proto.FLOAT, []))
    )
    if kind == "map":
        nodes = [helper.make_node("ZipMap", ["x"], ["y"], domain="ai.onnx.ml", classlabels_int64s=[0, 1, 2])]
        inputs, outputs = [info("x", proto.FLOAT, ["n", 3])], [helper.make_value_info("y", maps)]
    elif kind == "sequence":
        nodes = [helper.make_node("ConcatFromSequence", ["x"], ["y"], axis=0)]
        inputs = [helper.make_value_info("x", helper.make_sequence_type_proto(tensor))]
        outputs = [info("y", proto.FLOAT, ["n", 3])]
    else:
        number = getattr(proto, kind)
        nodes = [helper.make_node("Identity", ["x"], ["y"])]
        inputs, outputs = [info("x", number, ["n", 3])], [info("y", number, ["n", 3])]
    graph = helper.make_graph(nodes, kind, inputs, outputs)
    opsets = [helper.make_opsetid("", 19), helper.make_opsetid("ai.onnx.ml", 3)]
    made: bytes = helper.make_model(graph, opset_imports=opsets, ir_version=9).SerializeToString()
    return made


@pytest.mark.parametrize(
    ("kind", "told", "advice"),
    [("map", "seq(map(int64,tensor(float)))", "zipmap=False"), ("sequence", "seq(tensor(float))", "with tensors of"),
     ("BFLOAT16", "tensor(bfloat16)", "with tensors of"), ("FLOAT8E4M3FN", "tensor(float8e4m3fn)", "with tensors of")],
)  # fmt: skip
def test_values_that_the_protocol_has_no_type_for_are_refused_before_they_are_published(shop, kind, told, advice):
    content = untyped(kind)
    (rejected,) = read(shop.upload("digits.onnx", content), ModelRejected)
    assert (told in rejected.cause, advice in rejected.cause, rejected.version) == (True, True, 1), rejected.cause
    assert shop.models.versions() == []
    with pytest.raises(Unable, match="has no type for"):
        OnnxModel(Verified(Record(name="a", version=1, key="k", digest="d", size=1), content))


def test_a_model_that_never_ends_is_stopped(shop, monkeypatch):
    monkeypatch.setattr("functions.model_store.TRIAL_SECONDS", 2.0)
    monkeypatch.setattr("functions.model_store.FIRST_SECONDS", 0.5)
    (rejected,) = read(shop.upload("endless.onnx", endless()), ModelRejected)
    assert "no answer within 2 s" in rejected.cause


def test_a_model_that_takes_long_is_tried_where_no_other_waits_for_it(shop, monkeypatch):
    monkeypatch.setattr("functions.model_store.FIRST_SECONDS", 0.05)
    produced = shop.upload("digits.onnx", endless(10**6))
    first, second = read(produced, ModelSubmitted)
    assert (first.slow, second.slow, first.version, second.version) == (False, True, 1, 1)
    assert [each.version for each in read(produced, ModelPublished)] == [1]
    pools = {each.name: each.alone for each in handlers([functions.model_store])}
    assert pools == {"model_store": True, "model_trial": True}


def sidecar_of(content: bytes, algorithm: str) -> bytes:
    return sidecar.text(store.digest_of(content, algorithm), "digits.onnx")


def test_an_empty_sidecar_is_a_wrong_one_until_it_is_replaced(shop):
    shop.beside("digits.onnx.sha256asc", b"")
    (rejected,) = read(shop.upload("digits.onnx", linear()), ModelRejected)
    assert "hexadecimal digits" in rejected.cause
    assert rejected.wants.endswith("digits.onnx.sha256asc")
    late = shop.beside("digits.onnx.sha256asc", sidecar_of(linear(), "sha256"))
    assert [p.version for p in read(shop.tell(late), ModelPublished)] == [1]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_an_uploads_own_sidecar_is_checked_whatever_its_algorithm(shops, algorithm):
    shop = shops()
    shop.beside(f"digits.onnx.{algorithm}asc", sidecar_of(linear(9), algorithm))
    (rejected,) = read(shop.upload("digits.onnx", linear()), ModelRejected)
    assert "is not what its sidecar says" in rejected.cause
    late = shop.beside(f"digits.onnx.{algorithm}asc", sidecar_of(linear(), algorithm).upper())
    assert [p.version for p in read(shop.tell(late), ModelPublished)] == [1]


def test_where_sidecars_are_needed_one_that_comes_after_its_model_will_do(shops):
    strict = shops(msgspec.structs.replace(REPOSITORIES[0], sidecars=True, digest="blake3"))
    content = linear()
    (rejected,) = read(strict.upload("digits.onnx", content), ModelRejected)
    assert "upload apps/digits.onnx.blake3asc, and it is tried again" in rejected.cause
    (rejected,) = read(strict.tell(strict.beside("digits.onnx.blake3asc", b"0" * 64)), ModelRejected)
    assert "is not what its sidecar says" in rejected.cause
    late = strict.beside("digits.onnx.blake3asc", sidecar_of(content, "blake3").upper().replace(b" ", b" *", 1))
    assert [p.version for p in read(strict.tell(late), ModelPublished)] == [1]
    assert Loader(strict.bucket, strict.repository).load("digits", 1).content == content
    assert strict.tell(late) == []  # it has been published
    assert strict.tell(strict.beside("other.onnx.sha256asc", b"0" * 64)) == []  # of nothing


def test_a_sidecar_that_comes_while_its_model_is_being_refused_is_not_missed(shops):
    strict = shops(msgspec.structs.replace(REPOSITORIES[0], sidecars=True))
    run, held = strict.run, list[Event]()

    def hold(event: Event) -> list[Event]:
        held.append(event)
        return []

    strict.run = hold
    strict.upload("digits.onnx", linear())
    strict.run = run
    (submitted,) = model_version(held[0], strict.models, strict.catalog)
    (refused,) = model_store(submitted, submitted.read(ModelSubmitted), strict.bucket, strict.models)
    assert strict.tell(strict.beside("digits.onnx.sha256asc", sidecar_of(linear(), "sha256"))) == []  # not yet refused
    assert [p.version for p in read(strict.run(refused), ModelPublished)] == [1]


def test_what_is_uploaded_next_takes_the_number_that_waits(shops):
    strict = shops(msgspec.structs.replace(REPOSITORIES[0], sidecars=True))
    assert read(strict.upload("digits.onnx", linear(1)), ModelRejected)
    assert read(strict.upload("digits.onnx", linear(1)), ModelRejected)  # the same again is tried again
    strict.beside("digits.onnx.sha256asc", sidecar_of(linear(2), "sha256"))
    assert [p.version for p in read(strict.upload("digits.onnx", linear(2)), ModelPublished)] == [1]


def test_versions_outlive_a_change_of_the_algorithm(shops):
    before = shops()
    before.upload("digits.onnx", linear(1))
    before.promote("digits", 1)
    after = shops(msgspec.structs.replace(REPOSITORIES[0], digest="blake3"))
    after.bucket = before.bucket
    loader = Loader(after.bucket, after.repository)
    assert loader.load("digits", loader.resolve("digits", "champion")).content == linear(1)
    (rejected,) = read(after.change("apps/digits/1/model.onnx.sha256asc", "removed"), ModelRejected)
    assert "was removed" in rejected.cause
    after.upload("digits.onnx", linear(2))
    after.promote("digits", 2)
    assert loader.load("digits", loader.resolve("digits", "champion")).content == linear(2)
    assert "apps/digits/aliases/champion.json.sha256asc" not in after.bucket.found  # it would be stale
    old = Loader(after.bucket, REPOSITORIES[0])  # a server that is still configured as before
    assert old.resolve("digits", "champion") == 2
    flipped = bytearray(after.bucket.found["apps/digits/1/model.onnx"])
    flipped[-1] ^= 1
    after.bucket.found["apps/digits/1/model.onnx"] = bytes(flipped)
    with pytest.raises(Unverified, match="sha256"):
        loader.load("digits", 1)


def test_what_the_uploader_tells_of_a_model_stays_with_it(shop):
    user = told.written({"accuracy": 0.97, "größe": 2}, ["s3://raw/digits.parquet"])
    assert all(each.isascii() for each in user.values())
    (published,) = read(shop.upload("digits.onnx", linear(), user), ModelPublished)
    assert published.metrics == {"accuracy": 0.97, "größe": 2}
    record = msgspec.json.decode(shop.bucket.found["apps/digits/1/version.json"])
    assert (record["metrics"], record["datasets"]) == (published.metrics, ["s3://raw/digits.parquet"])
    (submitted,) = [event for event in shop.seen if event.type == NAMES[ModelSubmitted]]
    assert "s3://raw/digits.parquet" in {each.entity for each in about(submitted)}
    for wrong in ({told.METRICS: "much"}, {told.METRICS: '{"a": "b"}'}, {told.DATASETS: "{}"}):
        (rejected,) = read(shop.upload("digits.onnx", linear(4), wrong), ModelRejected)
        assert "sluice-metrics" in rejected.cause
    assert [p.version for p in read(shop.upload("digits.onnx", linear(3)), ModelPublished)] == [2]


def test_aliases_move_and_roll_back(shop):
    for weight in (1, 2, 3):
        shop.upload("digits.onnx", linear(weight))
    loader = Loader(shop.bucket, shop.repository)
    (promoted,) = read(shop.promote("digits", 2), ModelPromoted)
    assert (promoted.version, promoted.previous, loader.resolve("digits", "champion")) == (2, 0, 2)
    shop.promote("digits", 3)
    assert loader.resolve("digits", "champion") == 3
    (back,) = read(shop.promote("digits", 0), ModelPromoted)
    assert (back.version, back.previous, loader.resolve("digits", "champion")) == (2, 3, 2)
    assert shop.promote("digits", 2) == []
    for version, alias, reason in ((9, "champion", "published are: 1, 2, 3"), (1, "3", "is no alias"), (0, "new", "roll back")):
        with pytest.raises(Reject, match=reason):
            shop.promote("digits", version, alias)


def test_a_version_that_was_changed_is_told_on(shop):
    shop.upload("digits.onnx", linear())
    published = shop.models.get("apps", "digits", 1)
    assert shop.change(published.key, etag=published.etag) == []  # our own writing
    (rejected,) = read(shop.change(published.key, etag="other"), ModelRejected)
    assert (rejected.version, "overwritten" in rejected.cause) == (1, True)
    (rejected,) = read(shop.change(published.key, "removed"), ModelRejected)
    assert "model.onnx was removed" in rejected.cause
    for name in ("model.onnx.sha256asc", "version.json", "version.json.sha256asc"):
        (rejected,) = read(shop.change(f"apps/digits/1/{name}", "removed"), ModelRejected)
        assert f"{name} was removed" in rejected.cause
    beside = f"{published.key}.sha256asc"
    written = blake3(shop.bucket.found[beside]).hexdigest()
    assert shop.change(beside, digest=f"blake3:{written}") == []
    (rejected,) = read(shop.change(beside, digest=f"blake3:{blake3(b'other').hexdigest()}"), ModelRejected)
    assert (rejected.key, "sha256asc was overwritten" in rejected.cause) == (beside, True)
    for name in ("model.onnx.sha256asc", "version.json", "version.json.sha256asc"):  # nothing can be read of what is empty
        (rejected,) = read(shop.change(f"apps/digits/1/{name}", "failed", etag="e"), ModelRejected)
        assert f"{name} was overwritten" in rejected.cause
    assert shop.change("apps/digits/1/notes.txt", "removed") == []
    assert shop.models.get("apps", "digits", 1) is not None


def test_a_version_that_nobody_published_is_told_on_and_one_on_its_way_is_left_alone(shop):
    shop.upload("digits.onnx", linear())
    for change in ("upserted", "failed"):
        (rejected,) = read(shop.change("apps/digits/2/model.onnx", change, etag="e"), ModelRejected)
        assert (rejected.version, rejected.key, "never published" in rejected.cause) == (2, "apps/digits/2/model.onnx", True)
    assert shop.change("apps/digits/2/model.onnx", "removed") == []
    assert shop.change("apps/digits/2/version.json") == []
    (first,) = read(shop.seen, ModelSubmitted)
    assert shop.models.submit(msgspec.structs.replace(first, digest="other")) == 2
    assert shop.change("apps/digits/2/model.onnx", etag="e") == [], "it is being published"
    told = ModelRejected(repository="apps", name="digits", bucket="models", key="apps/digits/2/model.onnx", cause="", version=2)
    shop.run(Event(id="s", source="/serving", type="t", subject="apps/digits").reply(told))
    assert shop.models.numbered("apps", "digits", 2), "a server's finding does not withdraw an upload"
    told = msgspec.structs.replace(told, key="apps/digits.onnx")
    shop.run(Event(id="u", source="/lake", type="t", subject="apps/digits").reply(told))
    assert not shop.models.numbered("apps", "digits", 2)


def test_a_repeated_event_changes_nothing(shop):
    produced = shop.upload("digits.onnx", linear())
    (stored,) = [event for event in produced if event.type == NAMES[ModelStored]]
    (submitted,) = [event for event in produced if event.type == NAMES[ModelSubmitted]]
    assert shop.run(stored) == []
    again = shop.run(submitted)
    assert [event.key for event in again] == [stored.key]
    assert [v.version for v in shop.models.versions()] == [1]
