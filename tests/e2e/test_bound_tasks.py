"""``sluice bind --task``: an object that matches has a task of the configuration run over it, in a lake at work."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from infra.bench.postgres_process import PostgresProcess
from tests.conftest import RedisProcess, Sluice, at_rest, eventually

TASKS = {name: f"stars:{name}" for name in ("bright", "fails", "slow", "twice")}
MODULE = """
import hashlib
import time
from pathlib import Path

import pyarrow.compute as pc

from events.types import ObjectDerived
from infra.runtime.derived import address, lake, version
from infra.runtime.pipeline import Pipeline, Stage


def bright(table, least=1.0):
    return table.filter(pc.greater(table.column("flux"), least))


def fails(table):
    raise ValueError(f"{table.num_rows} stars are too many")


def slow(table, mark):
    if not Path(mark).exists():
        Path(mark).touch()
        time.sleep(600)
    return table


def doubled(table, *, to):
    lines = [f"{row['star']},{2 * row['flux']}" for row in table.to_pylist()]
    content = "\\n".join(["star,flux", *lines, ""]).encode()
    bucket, prefix = address(to)
    with lake() as store:
        key = f"{prefix}{hashlib.sha256(content).hexdigest()[:16]}.csv"
        made = store.write(bucket, key, content, content_type="text/csv")
    return ObjectDerived(of=version(made), result=version(made), function="doubled")


def twice(slices: int) -> Pipeline:
    first = Stage(doubled, "s3://anywhere/", options={"slices": slices})
    return Pipeline([first, Stage(doubled, "s3://anywhere/", after=(first,))])
"""
CSV = b"star,flux\nvega,1.5\nsirius,9.5\nluyten,0.5\n"
TOKEN = "of-the-administrators"


def configured(tmp_path: Path, **more: str) -> Sluice:
    """A lake whose configuration names the tasks of a module of the operator's."""
    (tmp_path / "stars.py").write_text(MODULE)
    path = os.pathsep.join([str(tmp_path), str(Path(__file__).parents[2])])
    return Sluice(tmp_path / "data", PYTHONPATH=path, SLUICE_TASKS=json.dumps(TASKS), SLUICE_HTTP_TOKEN=TOKEN, **more)


@pytest.fixture
def sluice(tmp_path: Path) -> Iterator[Sluice]:
    """One that is all in its own folder."""
    made = configured(tmp_path)
    try:
        yield made.start()
    finally:
        made.close()


def api(sluice: Sluice, token: str = TOKEN) -> httpx.Client:
    headers = {"authorization": f"Bearer {token}"}
    return httpx.Client(base_url=sluice.endpoints["http"], timeout=30, headers=headers)


def user(sluice: Sluice, name: str) -> httpx.Client:
    with api(sluice) as admin:
        made = admin.post("/api-keys", json={"name": name, "scopes": ["read", "write"]})
        assert made.status_code == 201, made.text
    return api(sluice, made.json()["token"])


def bound(client: httpx.Client, task: str, into: str = "s3://results/", **more: Any) -> str:
    parameters = {"task": task, "into": into, **more}
    body = {"name": task, "function": "run_task", "formats": ["csv"], "parameters": parameters}
    answer = client.post("/bindings", json=body)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def put(sluice: Sluice, key: str, content: bytes) -> None:
    store = sluice.store()
    store.write("raw", key, content, content_type="text/csv")
    store.close()


def results(client: httpx.Client, bucket: str = "results") -> list[dict[str, Any]]:
    found = client.get("/data-objects", params={"filter": f"bucket = '{bucket}'"}).json()["resources"]
    return [each for each in found if each["state"] == "READY"]


def settled(admin: httpx.Client) -> bool:
    return at_rest(lambda: admin.get("/status").json())


def test_a_bound_task_runs_by_itself_and_what_it_makes_is_its_owners(sluice: Sluice) -> None:
    with api(sluice) as admin, user(sluice, "ann") as ann, user(sluice, "bob") as bob:
        id = bound(ann, "bright", args={"least": 1.2}, deadline_s=60, objective="time")
        bound(ann, "bright", into="s3://raw/derived/", form="csv")
        put(sluice, "a/stars.csv", CSV)
        eventually(lambda: results(ann), 90, "the result")
        eventually(lambda: settled(admin), 90, "the lake to settle")
        found = results(ann)
        assert [each["acl"] for each in found] == [{"owners": ["user/ann"]}] * len(found)
        assert results(bob) == [], "the original is everybody's, but not what ann's binding makes of it"
        store = sluice.store()
        parts = sorted(each["key"] for each in found if each["key"].startswith("a/stars.csv.bright-0"))
        tables = [pq.read_table(io.BytesIO(b"".join(store.stream("results", key)))) for key in parts]
        assert pa.concat_tables(tables).to_pydict() == {"star": ["vega", "sirius"], "flux": [1.5, 9.5]}
        raw = {each.key.partition("-")[0] for each in store.list("raw")}
        assert raw == {"a/stars.csv", "derived/a/stars.csv.bright"}, "it is no new original for what made it"
        assert {each["key"].count(".bright-") for each in found} == {1, 2}, "each binding once in a chain"
        assert list(store.list("sluice", "tasks/")) == [], "nothing is left where it was made"
        head = store.head("results", parts[0])
        assert (head.user["sluice-bindings"], head.user["sluice-source"]) == (id, "s3://raw/a/stars.csv")
        store.close()
        told = ann.get(f"/lineage/results/{parts[0]}").json()
        assert "run_task" in json.dumps(told["origin"])
        assert "stars.csv" in json.dumps(told["origin"])
        assert bob.get(f"/lineage/results/{parts[0]}").status_code == 404
        assert admin.get("/dead-letters").json()["dead_letters"] == []
        assert [key for key in admin.get("/profiles").json()["profiles"] if "bright" in key]


def flux(sluice: Sluice, bucket: str, keys: list[str]) -> list[float]:
    store = sluice.store()
    lines = [line for key in keys for line in b"".join(store.stream(bucket, key)).decode().splitlines()[1:]]
    store.close()
    return sorted(float(line.partition(",")[2]) for line in lines)


def test_a_bound_pipeline_shows_only_what_its_last_stage_made_and_a_new_version_replaces_it(sluice: Sluice) -> None:
    with api(sluice) as admin, user(sluice, "ann") as ann, user(sluice, "bob") as bob:
        bound(ann, "twice", args={"slices": 3})
        put(sluice, "stars.csv", CSV)
        eventually(lambda: results(ann), 90, "the results")
        eventually(lambda: settled(admin), 90, "the lake to settle")
        keys = sorted(each["key"] for each in results(ann))
        assert [key for key in keys if not key.startswith("stars.csv.twice-0")] == []
        assert flux(sluice, "results", keys) == [2.0, 6.0, 38.0]
        assert results(bob) == []
        assert results(ann, "anywhere") == []
        put(sluice, "stars.csv", b"star,flux\nrigel,0.25\n")
        eventually(lambda: [each["key"] for each in results(ann)] == ["stars.csv.twice-00000.csv"], 90, "the others to go")
        eventually(lambda: settled(admin), 90, "the lake to settle")
        assert flux(sluice, "results", ["stars.csv.twice-00000.csv"]) == [1.0]
        store = sluice.store()
        assert list(store.list("sluice", "tasks/")) == []
        store.close()
        assert admin.get("/dead-letters").json()["dead_letters"] == []


def test_a_task_that_fails_is_the_failure_of_its_binding(sluice: Sluice) -> None:
    with api(sluice) as admin, user(sluice, "ann") as ann:
        id = bound(ann, "fails")
        put(sluice, "stars.csv", CSV)
        failure = f"/bindings/{id.partition('/')[2]}/failure"
        eventually(lambda: ann.get(failure).json()["failure"], 90, "the failure")
        eventually(lambda: settled(admin), 90, "the lake to settle")
        assert "stars are too many" in ann.get(failure).json()["failure"]["cause"]
        (letter,) = admin.get("/dead-letters").json()["dead_letters"]
        assert "the task fails: ValueError" in letter["cause"]
        assert results(ann) == []


def test_a_binding_to_what_is_no_task_or_to_a_place_that_is_not_its_owners_is_refused(sluice: Sluice) -> None:
    with user(sluice, "ann") as ann:
        for parameters, told in (
            ({"task": "os", "into": "s3://results/"}, "those are bright, fails, slow, twice"),
            ({"task": "bright", "into": "s3://sluice/tasks/"}, "the lake's own"),
            ({"task": "bright", "into": "s3://far:results/"}, "there is no provider 'far'"),
            ({"task": "bright", "into": "results/"}, "s3://BUCKET/PREFIX/"),
            ({"task": "bright"}, "into"),
            ({"task": "bright", "into": "s3://results/", "form": "xls"}, "xls"),
            ({"task": "bright", "into": "s3://results/", "module": "os:system"}, "module"),
        ):
            body = {"name": "b", "function": "run_task", "formats": ["csv"], "parameters": parameters}
            answer = ann.post("/bindings", json=body)
            assert (answer.status_code, told in answer.json()["error"]) == (400, True), answer.text
        assert ann.get("/bindings").json()["resources"] == []


def test_a_task_under_way_does_not_hold_up_the_end_and_is_done_after_the_next_start(sluice: Sluice, tmp_path: Path) -> None:
    mark = tmp_path / "began"
    with user(sluice, "ann") as ann:
        bound(ann, "slow", args={"mark": str(mark)}, form="csv")
        put(sluice, "stars.csv", CSV)
        eventually(mark.exists, 90, "the task to begin")
    assert sluice.stop() == 0
    sluice.start()
    with api(sluice) as admin:
        eventually(lambda: results(admin), 90, "the results")
        eventually(lambda: settled(admin), 90, "the lake to settle")
        assert flux(sluice, "results", [each["key"] for each in results(admin)]) == [0.5, 1.5, 9.5]
        assert admin.get("/dead-letters").json()["dead_letters"] == []


def test_the_command_line_binds_a_task(sluice: Sluice, tmp_path: Path) -> None:
    def called(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "infra.cli", *words]
        return subprocess.run(command, env=sluice.environment, cwd=tmp_path, capture_output=True, text=True, timeout=100)

    refused = called("bind", "--task", "bright")
    assert (refused.returncode, "--into" in refused.stderr) == (1, True), refused.stderr
    refused = called("bind", "--task", "dark", "--into", "s3://results/")
    assert (refused.returncode, "'dark' is none of sluice.tasks" in refused.stderr) == (1, True), refused.stderr
    words = ["--format", "csv", "--task", "bright", "--into", "s3://results/", "--args", '{"least": 9}', "--form", "csv"]
    made = called("bind", *words, "--deadline", "30", "--objective", "cost")
    assert made.returncode == 0, made.stderr
    (binding,) = json.loads(called("bindings", "--json").stdout)["bindings"]
    assert (binding["name"], binding["function"]) == ("bright", "run_task")
    told = {"task": "bright", "into": "s3://results/", "form": "csv", "deadline_s": 30.0, "objective": "cost"}
    assert binding["parameters"] == {**told, "args": {"least": 9}}
    put(sluice, "stars.csv", CSV)
    with api(sluice) as admin:
        eventually(lambda: results(admin), 90, "the result")
        eventually(lambda: settled(admin), 90, "the lake to settle")
        assert flux(sluice, "results", [each["key"] for each in results(admin)]) == [9.5]


@pytest.mark.server
def test_a_bound_task_runs_with_the_log_in_redis_and_the_catalogue_in_postgresql(
    tmp_path: Path, redis_server: RedisProcess, postgres: PostgresProcess
) -> None:
    sluice = configured(tmp_path, SLUICE_LOG_URL=redis_server.url, SLUICE_CATALOG_URL=postgres.new())
    try:
        sluice.start()
        with api(sluice) as admin, user(sluice, "ann") as ann, user(sluice, "bob") as bob:
            bound(ann, "bright", form="csv", args={"least": 1.2})
            put(sluice, "stars.csv", CSV)
            eventually(lambda: results(ann), 90, "the result")
            eventually(lambda: settled(admin), 90, "the lake to settle")
            found = results(ann)
            assert flux(sluice, "results", [each["key"] for each in found]) == [1.5, 9.5]
            assert ([each["acl"] for each in found], results(bob)) == ([{"owners": ["user/ann"]}] * len(found), [])
            told = eventually(lambda: origin(ann, found[0]["key"]), 30, "its lineage")
            assert "s3://raw/stars.csv" in json.dumps(told)
            assert admin.get("/dead-letters").json()["dead_letters"] == []
    finally:
        sluice.close()


def origin(client: httpx.Client, key: str) -> list[Any]:
    """What made a result, as far as the reader of the log has come."""
    answer = client.get(f"/lineage/results/{key}")
    return [each for each in answer.json().get("origin", []) if each["function"] == "run_task"]


def test_workers_of_their_own_run_tasks_too(sluice: Sluice, tmp_path: Path) -> None:
    told = (tmp_path / "worker.log").open("wb")
    with (
        told,
        subprocess.Popen(
            [sys.executable, "-m", "infra.cli", "worker"], env=sluice.environment, cwd=tmp_path, stdout=told, stderr=told
        ) as worker,
    ):
        try:
            with api(sluice) as admin:
                bound(admin, "bright", form="csv")
                eventually(lambda: b"working on" in (tmp_path / "worker.log").read_bytes(), 60, "the worker to start")
                for number in range(4):
                    put(sluice, f"{number}.csv", b"star,flux\nvega,%d.5\n" % (number + 1))
                eventually(lambda: len(results(admin)) == 4, 120, "the results")
                eventually(lambda: settled(admin), 90, "the lake to settle")
                assert flux(sluice, "results", [each["key"] for each in results(admin)]) == [1.5, 2.5, 3.5, 4.5]
                assert admin.get("/dead-letters").json()["dead_letters"] == []
        finally:
            worker.terminate()
    assert b"Traceback" not in (tmp_path / "worker.log").read_bytes()
