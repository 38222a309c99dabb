"""Materialised inference: computed by its triggers alone, merged, kept when it fails, and asked for as HTTP has it."""

from __future__ import annotations

import io
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import pytest

from events.ports import NotFound, ObjectInfo
from infra.config import ConfigError
from infra.models.loader import Loader
from infra.serving import server
from infra.serving.app import Serving
from infra.serving.materialised import CATALOGUED, SAME_SECONDS, Materialised
from infra.serving.results import Definition, Result
from infra.serving.results_redis import RedisResults
from infra.serving.results_sqlite import SqliteResults
from infra.serving.shelf import Shelf
from tests.conftest import eventually, serving
from tests.onnx_models import linear
from tests.unit.serving.bucket import REPOSITORY, Bucket
from tests.unit.serving.test_serving import ask


class Store(Bucket):
    """A bucket whose objects have ETags."""

    def head(self, bucket, key):
        if key not in self.found:
            raise NotFound(key)
        content = self.found[key]
        return ObjectInfo(bucket=bucket, key=key, size=len(content), etag=str(hash(content)))

    def array(self, key, values):
        out = io.BytesIO()
        np.save(out, np.array(values, "f4"))
        self.found[key] = out.getvalue()
        return {"bucket": "lake", "key": key, "etag": self.head("lake", key).etag, "change": "upserted"}


@pytest.fixture
def store():
    made = Store()
    made.publish("linear", 1, linear(2))
    return made


@pytest.fixture
def build(store, tmp_path):
    """Makes a server, or one more on the same results."""
    running = []

    def made(results=None):
        loader = Loader(store, REPOSITORY)
        shelf = Shelf(loader)
        kept = Materialised(shelf, store, results or SqliteResults(tmp_path / "results.db"))
        app = Serving(shelf, loader, "secret", results=kept)
        app.refresh()
        running.append(app)
        return app

    yield made
    for app in running:
        if app.results:
            app.results.close()
        app.shelf.close()


@pytest.fixture
def app(build):
    return build()


@pytest.fixture
def client(app):
    headers = {"authorization": "Bearer secret"}
    with serving(app) as url, httpx.Client(base_url=url, timeout=30, headers=headers) as made:
        yield made


def data(answer: httpx.Response) -> list[float]:
    found: list[float] = answer.json()["outputs"][0]["data"]
    return found


def settled(app):
    return eventually(lambda: not any(each["stale"] == "being computed again" for each in app.results.listed()))


def counted(app):
    """Every computation from now on."""
    found: list[str] = []
    compute = app.results._compute

    def counting(wanted):
        found.append(wanted.model)
        return compute(wanted)

    app.results._compute = counting
    return found


def test_a_result_is_kept_and_asked_for_with_its_etag(app, client):
    made = client.put("/results/mine", json={"model": "linear", "input": ask([1, 2, 3])})
    assert (made.status_code, made.json()["version"], made.json()["stale"]) == (201, 1, "")
    runs = counted(app)
    answer = client.get("/results/mine", headers={"authorization": ""})
    assert data(answer) == [2, 4, 6]
    assert (answer.headers["etag"], answer.headers["sluice-model-version"]) == (made.headers["etag"], "1")
    assert int(answer.headers["age"]) >= 0
    assert "sluice-stale" not in answer.headers
    for given in (answer.headers["etag"], f'"x", W/{answer.headers["etag"]}', "*"):
        same = client.get("/results/mine", headers={"if-none-match": given})
        assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", answer.headers["etag"])
    assert client.get("/results/mine", headers={"if-none-match": '"x"'}).status_code == 200
    assert runs == []
    (listed,) = client.get("/results").json()["results"]
    assert (listed["name"], listed["age_s"] >= 0, listed["trigger"]) == ("mine", True, ["model", "object"])
    assert client.post("/results/mine/refresh").status_code == 200
    assert client.put("/results/mine", json={"model": "linear", "input": ask([2, 2, 2])}).status_code == 200
    assert client.delete("/results/mine").status_code == 204
    assert client.get("/results/mine").status_code == client.delete("/results/mine").status_code == 404


@pytest.mark.parametrize(
    ("name", "document", "status", "reason"),
    [
        ("a", {"model": "none", "input": ask([1, 2, 3])}, 404, "is not served"),
        ("a", {"model": "linear", "input": "s3://lake/none"}, 404, "is not there"),
        ("a", {"model": "linear", "input": "lake/none"}, 400, "no s3://"),
        ("a", {"model": "linear", "input": ask([1, 2])}, 400, "needs 3 values"),
        ("a", {"model": "linear", "input": ask([1, 2, 3]), "trigger": ["never"]}, 400, "trigger"),
        ("a", {"model": "linear", "input": ask([1, 2, 3]), "every_s": 0.01}, 400, "every_s"),
        ("a", {"model": "linear", "input": ask([1, 2, 3]), "evry_s": 1}, 400, "evry_s"),
        ("-a", {"model": "linear", "input": ask([1, 2, 3])}, 400, "no name"),
    ],
)
def test_what_cannot_be_computed_is_not_kept(client, name, document, status, reason):
    answer = client.put(f"/results/{name}", json=document)
    assert (answer.status_code, reason in answer.json()["error"]) == (status, True), answer.text
    assert client.get("/results").json() == {"results": []}


def test_changes_need_the_token(client):
    wrong = {"authorization": "Bearer wrong"}
    for method, path in (("PUT", "/results/a"), ("POST", "/results/a/refresh"), ("DELETE", "/results/a")):
        assert client.request(method, path, headers=wrong).status_code == 401


def test_another_version_and_a_changed_input_compute_it_again_and_nothing_else_does(app, store, client):
    told = store.array("x.npy", [[1, 2, 3]])
    client.put("/results/mine", json={"model": "linear", "input": "s3://lake/x.npy"})
    client.put("/results/still", json={"model": "linear", "input": "s3://lake/x.npy", "trigger": []})
    runs = counted(app)
    app.announced(CATALOGUED, told)
    app.announced(CATALOGUED, {**told, "key": "other", "etag": "new"})
    app.announced("dev.sluice.model.published.v1", {"repository": "models", "name": "linear"})
    settled(app)
    assert runs == []
    app.announced(CATALOGUED, store.array("x.npy", [[1, 1, 1], [2, 2, 2]]))
    settled(app)
    assert (data(client.get("/results/mine")), len(runs)) == ([2, 2, 2, 4, 4, 4], 1)
    store.publish("linear", 2, linear(3))
    app.announced("dev.sluice.model.published.v1", {"repository": "models", "name": "linear"})
    settled(app)
    assert (data(client.get("/results/mine")), len(runs)) == ([3, 3, 3, 6, 6, 6], 2)
    assert data(client.get("/results/still")) == [2, 4, 6]


def test_events_and_time_are_triggers(app, client):
    client.put("/results/mine", json={"model": "linear", "input": ask([1, 2, 3]), "trigger": ["dev.acme.*"]})
    other = ["dev.acme.d?ne", "dev.acme.[d]one", "dev.acme.Done", "acme.*"]  # an asterisk is the only sign
    client.put("/results/other", json={"model": "linear", "input": ask([1, 2, 3]), "trigger": other})
    runs = counted(app)
    app.announced("dev.acme.done", None)
    settled(app)
    assert len(runs) == 1
    client.put("/results/timed", json={"model": "linear", "input": ask([1, 2, 3]), "every_s": 1})
    eventually(lambda: len(runs) >= 4)


def test_many_who_ask_at_once_are_one_computation(app, client):
    client.put("/results/mine", json={"model": "linear", "input": ask([1, 2, 3])})
    compute, runs, gate = app.results._compute, [], threading.Event()

    def slow(wanted):
        runs.append(wanted)
        gate.wait(20)
        return compute(wanted)

    app.results._compute = slow
    first = app.results.refresh("mine")
    eventually(lambda: runs)
    with ThreadPoolExecutor(40) as pool:
        asked = [pool.submit(app.results.refresh, "mine") for _ in range(200)]
        found = {id(each.result()) for each in asked}
    assert data(client.get("/results/mine")) == [2, 4, 6]
    assert client.get("/results/mine").headers["sluice-stale"] == "being computed again"
    gate.set()
    first.result(20)
    asked[0].result().result(20)
    assert (len(found), len(runs)) == (1, 2)


def test_a_failure_keeps_the_last_answer_and_says_so(app, store, client):
    told = store.array("x.npy", [[1, 2, 3]])
    client.put("/results/mine", json={"model": "linear", "input": "s3://lake/x.npy"})
    app.announced(CATALOGUED, store.array("x.npy", [[1, 2]]))
    settled(app)
    answer = client.get("/results/mine")
    assert (data(answer), "must have the shape" in answer.headers["sluice-stale"]) == ([2, 4, 6], True)
    assert client.post("/results/mine/refresh").status_code == 400
    del store.found["x.npy"]
    app.announced(CATALOGUED, {**told, "change": "removed"})
    eventually(lambda: "is not there" in client.get("/results/mine").headers["sluice-stale"])
    app.announced(CATALOGUED, store.array("x.npy", [[3, 2, 1]]))
    eventually(lambda: data(client.get("/results/mine")) == [6, 4, 2])
    assert "sluice-stale" not in client.get("/results/mine").headers


def test_results_outlive_the_server_and_catch_up(app, build, store, client):
    store.array("x.npy", [[1, 2, 3]])
    client.put("/results/mine", json={"model": "linear", "input": "s3://lake/x.npy"})
    client.put("/results/fixed", json={"model": "linear", "input": ask([1, 1, 1]), "version": "1"})
    store.array("x.npy", [[1, 1, 1]])
    store.publish("linear", 2, linear(5))
    later = build()
    with serving(later) as url:
        eventually(lambda: data(httpx.get(f"{url}/results/mine")) == [5, 5, 5])
        assert data(httpx.get(f"{url}/results/fixed")) == [2, 2, 2]


@pytest.mark.server
def test_servers_share_results_by_redis(build, redis_server):
    one, two = build(RedisResults(redis_server.url)), build(RedisResults(redis_server.url))
    headers = {"authorization": "Bearer secret"}
    with serving(one) as first, serving(two) as second:
        httpx.put(f"{first}/results/mine", json={"model": "linear", "input": ask([1, 2, 3])}, headers=headers)
        assert data(httpx.get(f"{second}/results/mine")) == [2, 4, 6]
        httpx.put(f"{first}/results/mine", json={"model": "linear", "input": ask([2, 2, 2])}, headers=headers)
        eventually(lambda: data(httpx.get(f"{second}/results/mine")) == [4, 4, 4])
        httpx.delete(f"{second}/results/mine", headers=headers)
        eventually(lambda: httpx.get(f"{first}/results/mine").status_code == 404)


@pytest.mark.server
def test_a_redis_that_is_gone_takes_no_result_with_it(build, redis_server):
    app = build(RedisResults(redis_server.url))
    headers = {"authorization": "Bearer secret"}
    with serving(app) as url:
        httpx.put(f"{url}/results/mine", json={"model": "linear", "input": ask([1, 2, 3])}, headers=headers)
        redis_server.stop()
        app.results.get("mine").read = 0.0
        assert data(httpx.get(f"{url}/results/mine", timeout=30)) == [2, 4, 6]
        failed = httpx.post(f"{url}/results/mine/refresh", headers=headers, timeout=30)
        assert failed.status_code == 500
        assert data(httpx.get(f"{url}/results/mine", timeout=30)) == [2, 4, 6]
        with pytest.raises(ConfigError, match="cannot be used"):
            RedisResults(redis_server.url)
        redis_server.start()
        assert httpx.post(f"{url}/results/mine/refresh", headers=headers, timeout=30).status_code == 200


@pytest.fixture(params=["sqlite", pytest.param("redis", marks=pytest.mark.server)])
def opened(request, tmp_path):
    """Opens one store of results, once for each server."""
    if request.param == "sqlite":
        return lambda: SqliteResults(tmp_path / "shared.db")
    server = request.getfixturevalue("redis_server")
    return lambda: RedisResults(server.url)


def result(began: float, body: bytes = b"{}") -> Result:
    wanted = Definition(model="linear", input={})
    return Result(definition=wanted, body=body, etag="", computed=began + 1, version=1, digest="", began=began)


def test_an_older_computation_never_replaces_a_newer_one(opened):
    one, two = opened(), opened()
    assert one.put("a", result(10.0, b"new"))
    assert not two.put("a", result(9.0, b"old"))
    assert not two.put("a", result(9.0, b"old"), again=True)
    assert two.get("a").body == b"new"
    assert two.put("a", result(11.0, b"newer"), again=True)
    assert one.get("a").body == b"newer"
    assert one.remove("a")
    assert not two.put("a", result(12.0), again=True), "it was removed meanwhile"
    assert two.put("a", result(1.0))
    for each in (one, two):
        each.close()


def test_a_lease_has_one_owner_until_it_ends(opened):
    one, two = opened(), opened()
    assert one.claim("a", "one", 60)
    assert not two.claim("a", "two", 60)
    assert two.claim("b", "two", 60)
    two.release("a", "two")
    assert not two.claim("a", "two", 60), "only its owner gives it back"
    one.release("a", "one")
    assert two.claim("a", "two", 0.05)
    eventually(lambda: one.claim("a", "one", 60))
    for each in (one, two):
        each.close()


def test_many_servers_of_one_store_compute_once(build, store, opened):
    told = store.array("x.npy", [[1, 2, 3]])
    apps = [build(opened()) for _ in range(3)]
    wanted = Definition(model="linear", input="s3://lake/x.npy", trigger=("object", "dev.acme.*"))
    apps[0].results.define("mine", wanted).result(20)
    for app in apps:
        app.results.reload("mine")
    runs = [counted(app) for app in apps]
    for kind, event in ((CATALOGUED, store.array("x.npy", [[1, 1, 1]])), ("dev.acme.done", None)):
        before = sum(map(len, runs))
        with ThreadPoolExecutor(3) as pool:
            list(pool.map(lambda app, kind=kind, event=event: app.announced(kind, event), apps))
        eventually(lambda: not any(app.results.stale("mine") for app in apps))
        assert sum(map(len, runs)) == before + 1
        time.sleep(SAME_SECONDS)
    assert {app.results.get("mine").result.body for app in apps} == {apps[0].results.get("mine").result.body}
    assert told["etag"] != apps[1].results.get("mine").result.source
    apps[2].results.refresh("mine").result(20)
    assert len(runs[2]) >= 1, "whoever asks later is computed for"


def test_what_nobody_can_know_is_not_called_fresh(app, store, client, monkeypatch):
    told = store.array("x.npy", [[1, 2, 3]])
    client.put("/results/mine", json={"model": "linear", "input": "s3://lake/x.npy"})
    client.put("/results/still", json={"model": "linear", "input": ask([1, 2, 3]), "trigger": []})

    def stale(name: str = "mine") -> str:
        return str(client.get(f"/results/{name}").headers.get("sluice-stale", ""))

    assert (stale(), stale("still")) == ("", "")
    app.hearing(all_of_it=False)
    first = stale()
    assert (first.startswith("cannot be known since 20"), stale("still")) == (True, "")
    app.hearing(all_of_it=False)
    assert stale() == first
    app.hearing(all_of_it=True)
    assert stale() == ""
    with monkeypatch.context() as broken:
        broken.setattr(store, "head", lambda bucket, key: (_ for _ in ()).throw(OSError("no store answers")))
        app.results.catch_up()
        assert stale().startswith("cannot be known since")
    app.results.catch_up()
    assert stale() == ""
    del store.found[told["key"]]
    app.results.catch_up()
    eventually(lambda: "is not there" in stale())
    store.array("x.npy", [[1, 2, 3]])
    app.results.catch_up()
    app.results.refresh("mine").result(20)
    assert stale() == ""


def test_a_lake_that_cannot_be_followed_makes_results_doubtful(app, client):
    client.put("/results/mine", json={"model": "linear", "input": ask([1, 2, 3])})
    stopping, seen = threading.Event(), []

    class Gone:
        def get(self, path, **parameters):
            seen.append(path)
            raise OSError("no lake answers")

    worker = threading.Thread(target=server.follow, args=(app, Gone(), stopping))
    worker.start()
    try:
        eventually(lambda: "cannot be known since" in client.get("/results/mine").headers.get("sluice-stale", ""))
    finally:
        stopping.set()
        worker.join(10)
    assert data(client.get("/results/mine")) == [2, 4, 6]
