"""``sluice bind --task``: an object that matches has a task of the configuration run over it, in a lake at work."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.conftest import Sluice, eventually

TASKS = {"bright": "stars:bright", "fails": "stars:fails", "slow": "stars:slow", "shaded": "stars:shaded"}
MODULE = """
import time
from pathlib import Path

import pyarrow.compute as pc


def bright(table, least=1.0):
    return table.filter(pc.greater(table.column("flux"), least))


def fails(table):
    raise ValueError(f"{table.num_rows} stars are too many")


def slow(table, mark):
    Path(mark).touch()
    time.sleep(600)
"""
CSV = b"star,flux\nvega,1.5\nsirius,9.5\nluyten,0.5\n"
TOKEN = "of-the-administrators"


@pytest.fixture
def sluice(tmp_path: Path) -> Iterator[Sluice]:
    """A lake whose configuration names the tasks of a module of the operator's."""
    (tmp_path / "stars.py").write_text(MODULE)
    tasks = {name: place for name, place in TASKS.items() if f"def {place.partition(':')[2]}" in MODULE}
    path = os.pathsep.join([str(tmp_path), str(Path(__file__).parents[2])])
    made = Sluice(tmp_path / "data", PYTHONPATH=path, SLUICE_TASKS=json.dumps(tasks), SLUICE_HTTP_TOKEN=TOKEN)
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
    status = admin.get("/status").json()
    return bool(status["log"]["waiting"] == 0 and status["door"]["outbox"] == 0)


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
