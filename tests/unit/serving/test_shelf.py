"""Which version is served: what the alias means, else the newest that is whole, and nothing that the lake does not know."""

from __future__ import annotations

import json
from functools import partial

import httpx
import msgspec
import onnxruntime as ort
import pytest

from events.errors import Reject
from events.event import Event
from events.models import Repository
from functions.repository import layout
from functions.repository.sidecar import Unverified
from infra.config import Config, ConfigError
from infra.config import Serving as Settings
from infra.models.loader import Loader
from infra.serving import batch, server
from infra.serving.app import Serving
from infra.serving.faults import Faults
from infra.serving.model import PROVIDERS, OnnxModel
from infra.serving.published import Published
from infra.serving.shelf import Shelf, Unknown
from tests.conftest import serving
from tests.onnx_models import linear
from tests.unit.serving.bucket import REPOSITORY, Bucket
from tests.unit.serving.test_serving import TOKEN, ask

ALIAS = "linear/aliases/champion.json"


class Lake:
    """Tells what it has published, and hears what is rejected."""

    def __init__(self) -> None:
        self.models: list[dict[str, object]] = []
        self.aliases: list[dict[str, object]] = []
        self.told: list[Event] = []
        self.gone = False

    def get(self, path, **parameters):
        if self.gone:
            raise OSError("no lake answers")
        assert (path, parameters["repository"]) == ("/models", "models")
        name = parameters["name"]
        return {
            "models": [each for each in self.models if name in ("", each["name"])],
            "aliases": [each for each in self.aliases if name in ("", each["name"])],
        }

    def send(self, event):
        self.told.append(event)

    def published(self, bucket: Bucket, *versions: int, name: str = "linear") -> None:
        for version in versions:
            record = json.loads(bucket.found[layout.record_key("", name, version)])
            self.models.append({"name": name, "version": version, "digest": record["digest"]})

    def promoted(self, version: int, alias: str = "champion") -> None:
        self.aliases = [each for each in self.aliases if each["alias"] != alias]
        self.aliases.append({"name": "linear", "alias": alias, "version": version})


@pytest.fixture(autouse=True)
def hasty(monkeypatch):
    monkeypatch.setattr("infra.serving.faults.AGAIN_SECONDS", 0)
    monkeypatch.setattr("infra.serving.faults.LOOK_SECONDS", 0)


@pytest.fixture
def bucket():
    made = Bucket()
    for version in (1, 2, 3):
        made.publish("linear", version, linear(version + 1))
    return made


@pytest.fixture
def build(bucket):
    """Makes a server, which has looked at the bucket once."""
    running = []

    def made(lake: Lake | None = None, only=(), **more):
        loader = Loader(bucket, REPOSITORY)
        app = Serving(Shelf(loader, **more), loader, "secret", only)
        if lake is not None:
            app.shelf.published = Published(lake, "models")
        app.refresh()
        running.append(app)
        return app

    yield made
    for app in running:
        app.shelf.close()


def default(app) -> int:
    return int(app.shelf.default("linear").version)


def faults(app) -> list[int]:
    return [each.version for each in app.shelf.faults.get("linear", [])]


def cause(app) -> str:
    return str(app.shelf.faults["linear"][0].cause)


def remove(bucket: Bucket, key: str) -> None:
    for each in [key, f"{key}.sha256asc"]:
        bucket.found.pop(each, None)


def test_an_alias_that_is_gone_is_a_fault_and_no_reason_to_serve_the_latest(bucket, build):
    bucket.promote("linear", "champion", 1)
    app = build()
    remove(bucket, ALIAS)
    for _ in range(2):
        app.refresh()
        assert (default(app), faults(app)) == (1, [0])
        assert "is missing" in cause(app)
    app.shelf.unload("linear")
    with pytest.raises(Exception, match="is missing"):
        app.shelf.load("linear")
    bucket.promote("linear", "champion", 2)
    app.shelf.load("linear")
    assert (default(app), app.shelf.faults) == (2, {})


def test_a_fresh_server_hears_of_the_alias_from_the_lake(bucket, build):
    lake = Lake()
    lake.published(bucket, 1, 2, 3)
    lake.promoted(1)
    app = build(lake)
    assert (app.shelf.names, "is missing" in cause(app)) == ([], True)
    bucket.promote("linear", "champion", 3)
    assert not app.follow("linear")
    assert "means version 3, but the lake has promoted version 1" in cause(app)
    bucket.promote("linear", "champion", 1)
    assert app.follow("linear")
    assert (default(app), app.shelf.faults) == (1, {})


def test_what_was_rewritten_in_all_its_parts_is_refused_where_the_lake_is_there(bucket, build):
    lake = Lake()
    lake.published(bucket, 1, 2, 3)
    bucket.publish("linear", 3, linear(99))
    bucket.publish("linear", 4, linear(98))
    bucket.publish("other", 1, linear(97))
    app = build(lake)
    assert (default(app), faults(app)) == (2, [4, 3])
    assert [("has not published" in each.cause, "all of its parts" in each.cause) for each in app.shelf.faults["linear"]] == [
        (True, False), (False, True),
    ]  # fmt: skip
    assert app.shelf.names == ["linear"]
    bucket.promote("linear", "champion", 1)
    app.refresh()
    assert (default(app), "has promoted none" in cause(app)) == (2, True)


def test_a_lake_that_goes_is_believed_on_and_one_that_never_told_vouches_for_nothing(bucket, build):
    lake = Lake()
    lake.published(bucket, 1, 2)
    app = build(lake)
    assert default(app) == 2
    lake.gone = True
    assert app.follow("linear")
    assert default(app) == 2
    app.shelf.published = Published(lake, "models")
    assert not app.follow("linear")
    assert "has not told yet" in cause(app)
    with pytest.raises(OSError, match="no lake"):
        app.refresh()


def test_batch_inference_asks_the_lake_too(bucket):
    lake = Lake()
    lake.published(bucket, 1, 2)
    told = Published(lake, "models")
    told.look()
    loader = Loader(bucket, REPOSITORY)
    assert batch.chosen(loader, "linear", "champion", told).record.version == 2
    with pytest.raises(Exception, match="has not published"):
        batch.chosen(loader, "linear:3", "champion", told)
    lake.promoted(1)
    told.look()
    with pytest.raises(Exception, match="is missing"):
        batch.chosen(loader, "linear", "champion", told)
    bucket.promote("linear", "champion", 1)
    assert batch.chosen(loader, "linear", "champion", told).record.version == 1


def test_an_alias_that_never_was_is_no_alias_that_is_gone(bucket):
    bucket.promote("linear", "champion", 2)
    loader, lake = Loader(bucket, REPOSITORY), Lake()
    lake.published(bucket, 1, 2, 3)
    lake.promoted(2)
    told = Published(lake, "models")
    told.look()
    with pytest.raises(Reject, match="linear has no alias 'nope'; its aliases: champion"):
        batch.chosen(loader, "linear@nope", "champion", told)
    assert batch.chosen(loader, "linear@champion", "", told).record.version == 2
    remove(bucket, ALIAS)
    with pytest.raises(Unverified, match="was there before"):
        batch.chosen(loader, "linear@champion", "", told)


def test_a_broken_newest_version_is_passed_over_by_a_fresh_server(bucket, build):
    bucket.found["linear/3/model.onnx.sha256asc"] = b""
    bucket.found["linear/99/model.onnx"] = b"rubbish"
    app = build()
    assert (default(app), faults(app)) == (2, [99, 3])
    bucket.publish("linear", 4, linear(5))
    app.refresh()
    assert (default(app), faults(app)) == (4, [99])
    for version in range(100, 140):
        bucket.found[f"linear/{version}/model.onnx"] = b"rubbish"
    app.refresh()
    assert (default(app), len(faults(app))) == (4, 10)


def test_a_fault_is_told_with_its_version_and_its_object(bucket, build):
    lake = Lake()
    bucket.found["linear/3/model.onnx.sha256asc"] = b""
    bucket.found["linear/99/model.onnx"] = b"rubbish"
    app = build()
    bucket.promote("linear", "champion", 1)
    told = Faults(app, lake)
    told.tell()
    assert lake.told == [], "the alias was written meanwhile: nothing newer is wanted"
    remove(bucket, ALIAS)
    app.refresh()
    told.tell()
    bucket.promote("linear", "champion", 3)
    app.refresh()
    for _ in range(2):
        told.tell()
    assert [(each.data.get("version", 0), each.data["key"]) for each in lake.told] == [(0, ALIAS), (3, "linear/3/model.onnx")]


def test_readiness_waits_for_every_model_that_was_named_and_for_one_of_those_found(bucket, build):
    bucket.found["broken/1/model.onnx"] = b"rubbish"
    assert build().missing() == ""
    assert build(only=["linear"]).missing() == ""
    assert "no version of broken is served" in build(only=["linear", "broken"]).missing()
    assert "there is none in the repository" in build(only=["linear", "absent"]).missing()
    for version in (1, 2, 3):
        bucket.found[f"linear/{version}/model.onnx"] = b""
    app = build()
    with serving(app) as url:
        answer = httpx.get(f"{url}/v2/health/ready")
        assert (answer.status_code, answer.json()["ready"]) == (503, False)
        assert "no version of" in answer.json()["reason"]
        assert httpx.get(f"{url}/v2/models/linear/ready").status_code == 404
        bucket.publish("linear", 2, linear(3))
        app.refresh()
        assert httpx.get(f"{url}/v2/health/ready").json() == {"ready": True}
    loader = Loader(bucket, REPOSITORY)
    assert "not looked at yet" in Serving(Shelf(loader), loader).missing()
    bucket.found.clear()
    assert build().missing() == "", "an empty repository has nothing to wait for"


def test_the_canary_gets_nothing_without_its_alias_and_breaks_nothing_with_a_broken_one(bucket, build):
    bucket.promote("linear", "champion", 1)
    app = build(canary="canary", share=0.5)

    def picked() -> set[int]:
        return {app.shelf.pick("linear").model.version for _ in range(200)}

    assert picked() == {1}
    bucket.promote("linear", "canary", 3)
    app.refresh()
    assert picked() == {1, 3}
    app.shelf.load("linear")
    assert picked() == {1, 3}
    app.shelf.load("linear", 2)
    assert picked() == {1, 3}
    bucket.found["linear/aliases/canary.json.sha256asc"] = b""
    bucket.promote("linear", "champion", 2)
    app.refresh()
    assert (picked(), faults(app)) == ({2, 3}, [0])
    bucket.promote("linear", "canary", 1)
    app.refresh()
    assert (picked(), app.shelf.faults) == ({1, 2}, {})


def test_what_was_unloaded_stays_so_until_it_is_loaded(bucket, build):
    app = build()
    app.shelf.unload("linear")
    app.refresh()
    assert not app.follow("linear")
    assert (app.shelf.names, app.missing()) == ([], "")
    with pytest.raises(Unknown, match="was unloaded"):
        app.shelf.pick("linear")
    app.shelf.load("linear", 1)
    for _ in range(2):
        app.refresh()
    assert app.shelf.versions("linear") == [1, 3], "what was asked for stays"


def test_only_models_that_are_to_be_served_can_be_loaded(bucket, build):
    bucket.publish("other", 1, linear(9))
    with serving(build(only=["linear"])) as url:
        answer = httpx.post(f"{url}/v2/repository/models/other/load", headers=TOKEN)
        assert (answer.status_code, "serving.models" in answer.json()["error"]) == (404, True)
        assert httpx.post(f"{url}/v2/repository/models/linear/load", headers=TOKEN).is_success


@pytest.mark.parametrize("devices", [["cuda"], ["cuda", "cpu"], []])
def test_a_device_that_is_not_there_is_said_at_the_start_not_replaced(bucket, tmp_path, monkeypatch, devices):
    monkeypatch.setattr("infra.serving.model.ort.get_available_providers", lambda: ["CPUExecutionProvider"])
    wanted = msgspec.structs.replace(Config(), data=str(tmp_path), serving=Settings(devices=devices))
    with pytest.raises(ConfigError, match=r"install onnxruntime-gpu|no device"):
        server.application(wanted, bucket)
    assert not list(tmp_path.iterdir())


def test_a_device_that_cannot_be_started_runs_nothing_elsewhere(build, monkeypatch):
    monkeypatch.setitem(PROVIDERS, "cuda", "AzureExecutionProvider")  # one that every package has
    monkeypatch.setattr(ort.InferenceSession, "get_providers", lambda _: ["CPUExecutionProvider"])
    app = build(make=partial(OnnxModel, devices=("cuda", "cpu")))
    assert (app.shelf.names, "could not be started" in cause(app)) == ([], True)


CHANGES = [
    ("POST", "/v2/repository/models/linear/unload"), ("POST", "/v2/repository/models/linear/load"), ("POST", "/"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("host", "status"), [("0.0.0.0", 403), ("::", 403), ("10.1.2.3", 403), ("127.0.0.1", 200), ("::1", 200)]
)
def test_without_a_token_only_this_machine_may_change_what_is_served(bucket, tmp_path, host, status):
    app = server.application(msgspec.structs.replace(Config(), data=str(tmp_path), serving=Settings(host=host)), bucket)
    app.refresh()
    asked = [*CHANGES, ("PUT", "/results/a"), ("DELETE", "/results/a"), ("POST", "/results/a/refresh")]
    with serving(app) as url:
        for method, path in asked:
            answer = httpx.request(method, url + path, json={})
            assert (answer.status_code == 403) == (status == 403), (method, path, answer.text)
            if status == 403:
                assert "SLUICE_SERVING_TOKEN" in answer.json()["error"]
        assert httpx.post(f"{url}/v2/repository/index").status_code == 200
        assert httpx.post(f"{url}/v2/models/linear/infer", json=ask([1, 2, 3])).is_success
    assert app.results is not None
    app.results.close()
    app.shelf.close()


def test_with_a_token_the_index_and_every_change_want_it(build):
    with serving(build()) as url:
        for method, path in [*CHANGES, ("POST", "/v2/repository/index")]:
            assert httpx.request(method, url + path, json={}).status_code == 401
            assert httpx.request(method, url + path, json={}, headers=TOKEN).status_code != 401
        index = partial(httpx.post, f"{url}/v2/repository/index", headers=TOKEN)
        assert index(json={"ready": None}).status_code == 200
        assert index(content=b"[]").status_code == 400


def test_the_index_tells_only_what_is_ready_if_asked_so(bucket, build):
    bucket.found["linear/4/model.onnx"] = b"rubbish"
    with serving(build()) as url:
        index = partial(httpx.post, f"{url}/v2/repository/index", headers=TOKEN)
        assert [(each["version"], each["state"]) for each in index().json()] == [("3", "READY"), ("4", "UNAVAILABLE")]
        assert [each["state"] for each in index(json={"ready": True}).json()] == ["READY"]


def test_what_lies_in_an_inner_repository_is_neither_served_nor_told_on(bucket, caplog, tmp_path):
    bucket.publish("sg/evil", 1, linear(9))
    bucket.promote("sg/evil", "champion", 1)
    inner = Repository(name="signed", bucket="models", prefix="sg/", signed=True)
    lake = Lake()
    lake.published(bucket, 1, 2, 3)
    app = server.application(Config(data=str(tmp_path), models=[REPOSITORY, inner]), bucket, keep=False)
    app.shelf.published = Published(lake, "models")
    app.refresh()
    app.announced("dev.sluice.catalog.updated.v1", {"bucket": "models", "key": "sg/evil/aliases/champion.json"})
    Faults(app, lake).tell()
    with pytest.raises(Unknown):
        app.shelf.load("sg/evil", 1)
    assert (app.shelf.names, app.shelf.faults, lake.told, caplog.messages) == (["linear"], {}, [], [])
    app.shelf.close()
