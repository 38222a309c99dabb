"""The command line against a lake that runs in a process of its own."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from http.server import HTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from infra.demo.inputs import models
from tests.conftest import Sluice
from tests.plain_http import Silent, answering

ROWS = 1000
TASKS = """
def rows(table):
    return table.num_rows

def fails(table):
    raise ValueError("not today")
"""


class Caller:
    """Runs ``sluice`` in one folder against one lake."""

    def __init__(self, lake: Sluice, folder: Path) -> None:
        self.lake, self.folder = lake, folder
        names = {name: value for name, value in os.environ.items() if not name.startswith(("SLUICE_", "LITHOPS_", "AWS_"))}
        self.environment = {**names, "SLUICE_DATA": str(lake.folder)}

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "infra.cli", *arguments],
            cwd=self.folder, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def __call__(self, *arguments: str, code: int = 0) -> str:
        """Standard output of a command that must end with ``code``; standard error is in ``errors``."""
        process = self.start(*arguments)
        out, self.errors = process.communicate(timeout=60)
        assert process.returncode == code, self.errors + out
        assert "Traceback" not in self.errors
        return out

    def json(self, *arguments: str) -> Any:
        """The one document that ``--json`` gives."""
        return json.loads(self(*arguments, "--json"))

    def settle(self) -> None:
        """Wait until everything has gone its way."""
        end = time.monotonic() + 40
        while not self.lake.settled():
            assert time.monotonic() < end, "the lake did not settle"
            time.sleep(0.05)


@pytest.fixture
def call(sluice: Sluice, tmp_path: Path) -> Caller:
    """The command line, in a folder with two files and a module, against an empty lake."""
    return Caller(sluice, furnished(tmp_path / "work"))


@pytest.fixture
def standing_call(standing_sluice: Sluice, tmp_path: Path) -> Caller:
    """The same against the lake that many share."""
    return Caller(standing_sluice, furnished(tmp_path / "work"))


def furnished(folder: Path) -> Path:
    (folder / "tables").mkdir(parents=True)
    (folder / "tables" / "numbers.csv").write_text("n,square\n" + "".join(f"{n},{n * n}\n" for n in range(ROWS)))
    (folder / "tables" / "empty.csv").write_bytes(b"")
    (folder / "cli_tasks.py").write_text(TASKS)
    return folder


def test_an_object_from_put_to_replay(call: Caller) -> None:
    uploaded = call.json("put", "tables", "s3://lake/raw")["uploaded"]
    assert [each["key"] for each in uploaded] == ["raw/empty.csv", "raw/numbers.csv"]
    call.settle()

    entries = {entry["key"]: entry for entry in call.json("ls", "s3://lake/raw/")["entries"]}
    assert {key: entry["state"] for key, entry in entries.items()} == {"raw/empty.csv": "failed", "raw/numbers.csv": "ready"}
    listed = call("ls")
    assert "s3://lake/raw/numbers.csv" in listed
    assert entries["raw/empty.csv"]["cause"] in listed

    found = call.json("find", "--format", "csv", "--where", f"rows>={ROWS}", "--name", "*.csv")["entries"]
    assert [entry["key"] for entry in found] == ["raw/numbers.csv"]
    assert call.json("find", "--where", f"rows>{ROWS}")["entries"] == []
    assert call.json("find", "--state", "failed", "--limit", "1")["entries"][0]["key"] == "raw/empty.csv"
    assert call.json("show", "s3://lake/raw/numbers.csv")["metadata"]["rows"] == ROWS

    (letter,) = call.json("dead-letters")["dead_letters"]
    assert letter["function"] == "ingest"
    assert "0 bytes" in call("dead-letters")
    (trial,) = call.json("replay", "--dry-run", str(letter["id"]))["trials"]
    assert (trial["function"], trial["events"], trial["changes"]) == ("ingest", [], [])
    assert "0 bytes" in trial["error"]
    assert "would fail again" in call("replay", "--dry-run", "--all")
    assert [each["id"] for each in call.json("dead-letters")["dead_letters"]] == [letter["id"]], "nothing was replayed"
    assert call.json("replay", str(letter["id"])) == {"replayed": [letter["id"]]}
    call.settle()
    (again,) = call.json("dead-letters")["dead_letters"]
    assert again["id"] != letter["id"]
    assert len(call.json("replay", "--all")["replayed"]) == 1

    status = call.json("status")
    assert status["catalog"]["ready"]["objects"] == 1
    assert status["endpoints"]["http"] == call.lake.endpoints["http"]
    assert "1 ready" in call("status")


COUNTING = """
from collections.abc import Iterator
from pathlib import Path
from events.event import Event
from events.ports import Catalog, Entry
from events.route import on

@on("com.example.count")
def count(event: Event, catalog: Catalog) -> Iterator[Event]:
    if Path({file!r}).exists():
        raise ValueError("not while the file is there")
    catalog.upsert(Entry(bucket="counted", key=event.id, sequence="1"))
    yield event.reply({{"n": 1}}, type="com.example.counted", subject="one more")
"""


def test_a_replay_is_tried_before_it_is_done(tmp_path: Path) -> None:
    """What ``--dry-run`` tells of a mended function is what the replay then does, and not before."""
    broken = tmp_path / "broken"
    broken.touch()
    (tmp_path / "counting.py").write_text(COUNTING.format(file=str(broken)))
    lake = Sluice(
        tmp_path / "data", SLUICE_FUNCTIONS="[counting]", SLUICE_DELIVERY_ATTEMPTS="1",
        PYTHONPATH=f"{tmp_path}{os.pathsep}{Path(__file__).parents[2]}",
    )  # fmt: skip
    try:
        call = Caller(lake.start(), tmp_path)
        event = {"specversion": "1.0", "id": "7", "source": "/me", "type": "com.example.count"}
        headers = {"content-type": "application/cloudevents+json"}
        assert httpx.post(lake.endpoints["http"], json=event, headers=headers).status_code == 202
        call.settle()
        broken.unlink()
        (trial,) = call.json("replay", "--dry-run", "--all")["trials"]
        assert [told["type"] for told in trial["events"]] == ["com.example.counted"]
        assert [(each["store"], each["key"], each["before"]) for each in trial["changes"]] == [
            ("catalog", "s3://counted/7", None)
        ]
        shown = call("replay", "--dry-run", "1")
        assert "would yield 1 events and make 1 changes" in shown
        assert "adds s3://counted/7" in shown
        assert call.json("ls")["entries"] == []
        assert call.json("replay", "1") == {"replayed": [1]}
        call.settle()
        assert [entry["key"] for entry in call.json("ls")["entries"]] == ["7"]
        told = lake.get("/events", type="com.example.counted")["events"]
        assert [each["event"]["id"] for each in told] == [trial["events"][0]["id"]]
    finally:
        lake.close()


def test_keys_of_any_text(standing_call: Caller) -> None:
    key = "a b+c%20/ü/日本.csv"
    standing_call("put", "tables/numbers.csv", f"s3://lake/{key}")
    standing_call.settle()
    assert standing_call.json("show", f"s3://lake/{key}")["key"] == key
    assert [entry["key"] for entry in standing_call.json("ls", "s3://lake/a b+c%20/")["entries"]] == [key]


def test_large_files_are_sent_in_parts(standing_call: Caller) -> None:
    (standing_call.folder / "large.bin").write_bytes(os.urandom(17 << 20))
    standing_call("put", "large.bin", "s3://lake/")
    standing_call.settle()
    entry = standing_call.json("show", "s3://lake/large.bin")
    assert entry["size"] == 17 << 20
    assert entry["etag"].endswith("-2")


def test_following_events(call: Caller) -> None:
    tail = call.start("events", "--json", "--type", "dev.sluice.*", "--limit", "3")
    call("put", "tables/numbers.csv", "s3://lake/")
    out, _ = tail.communicate(timeout=30)
    assert tail.returncode == 0
    events = [json.loads(line) for line in out.splitlines()]
    assert [each["event"]["type"].split(".")[2] for each in events] == ["object", "metadata", "catalog"]
    later = call("events", "--json", "--no-follow", "--after", str(events[1]["seq"]), "--limit", "1")
    assert json.loads(later)["seq"] == events[2]["seq"]
    assert "s3.ObjectCreated:Put" in call("events", "--no-follow")


def test_control_c_ends_following_quietly(call: Caller) -> None:
    call("put", "tables/numbers.csv", "s3://lake/")
    tail = call.start("events")
    assert tail.stdout is not None
    assert tail.stdout.readline()
    for _ in range(5):  # Python loses an interrupt that comes while it finalizes an object; a person presses again
        tail.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            tail.wait(5)
            break
    _, errors = tail.communicate(timeout=20)
    assert (tail.returncode, errors) == (0, "")


def test_following_ends_with_the_lake(call: Caller) -> None:
    call("put", "tables/numbers.csv", "s3://lake/")
    tail = call.start("events")
    assert tail.stdout is not None
    assert tail.stdout.readline()
    assert call.lake.stop() == 0
    _, errors = tail.communicate(timeout=20)
    assert (tail.returncode, errors) == (0, "")


def test_plan_and_map(call: Caller) -> None:
    call("put", "tables", "s3://lake/")
    call.settle()
    data = "s3://lake/numbers.csv"
    assert call.json("plan", "rows", data)["basis"] == "none"
    assert "nothing is known" in call("plan", "rows", data)
    done = call.json("map", "cli_tasks:rows", data, "--slices", "4")
    assert len(done["results"]) == 4
    assert sum(done["results"]) == ROWS
    assert done["executed"]["seconds"] > 0
    call.settle()
    assert call.json("plan", "rows", data)["basis"] == "profile"
    assert sum(map(int, call("map", "cli_tasks:rows", data).split())) == ROWS
    assert "from a profile of 1 run" in call.errors
    made = call(
        "map", "cli_tasks:rows", data, "--slices", "1", "--columns", "n", "--where", "n < 3", "--into", "s3://lake/made"
    )
    assert re.fullmatch(r"s3://lake/made/\S+\.json\n", made)
    call("map", "cli_tasks:fails", data, code=1)
    assert "ValueError: not today" in call.errors
    assert data in call.errors


class Sink(Silent):
    """Keeps the types of the events it receives."""

    received: list[str]

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"] or 0))
        self.received.append(self.headers["ce-type"])
        self.send_response(204)
        self.end_headers()


@pytest.fixture
def sink() -> Iterator[tuple[str, list[str]]]:
    received: list[str] = []
    with answering(HTTPServer(("127.0.0.1", 0), type("Kept", (Sink,), {"received": received}))) as url:
        yield url, received


def test_subscriptions(standing_call: Caller, sink: tuple[str, list[str]]) -> None:
    url, received = sink
    made = standing_call.json(
        "subscribe", url, "--type", "dev.sluice.catalog.*", "--prefix", "subject=lake/raw/", "--id", "mine"
    )
    assert (made["id"], made["filters"]) == ("mine", [{"prefix": {"subject": "lake/raw/"}}])
    assert standing_call.json("subscriptions")["subscriptions"] == [made]
    assert "prefix subject=lake/raw/" in standing_call("subscriptions")
    standing_call("put", "tables/numbers.csv", "s3://lake/raw/")
    standing_call("put", "tables/numbers.csv", "s3://lake/other/")
    standing_call.settle()
    assert received == ["dev.sluice.catalog.updated.v1"]
    assert standing_call.json("unsubscribe", "mine") == {"removed": "mine"}
    assert standing_call.json("subscriptions") == {"subscriptions": []}
    standing_call("unsubscribe", "mine", code=1)
    assert standing_call.errors == "sluice: there is no subscription mine\n"


def test_env_is_what_the_aws_tools_need(standing_call: Caller) -> None:
    names = standing_call.json("env")
    assert names["AWS_ENDPOINT_URL_S3"] == standing_call.lake.endpoints["s3"]
    secret = Path(names["AWS_SHARED_CREDENTIALS_FILE"]).read_text().split()[-1]
    printed = standing_call("env")
    assert secret not in printed
    script = printed + f"exec '{Path(sys.executable).parent}/aws' s3 cp tables/numbers.csv s3://lake/by-aws.csv\n"
    standing_call("put", "tables/numbers.csv", "s3://lake/")
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=standing_call.folder,
        env=standing_call.environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    standing_call.settle()
    assert standing_call.json("show", "s3://lake/by-aws.csv")["state"] == "ready"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["show", "s3://lake/nothing"], "the catalogue has no s3://lake/nothing"),
        (["find", "--where", "rows"], "compares nothing"),
        (["find", "--where", "rows==3"], "compares nothing"),
        (["find", "--where", "rows >> 3"], "compares nothing"),
        (["find", "--where", "rows = = 3"], "compares nothing"),
        (["find", "--where", ">=3"], "compares nothing"),
        (["put", "nothing.csv", "s3://lake/"], "no file nothing.csv"),
        (["put", "tables", "s3://No_Bucket/"], "No_Bucket"),
        (["plan", "rows", "s3://lake/nothing"], "not in the catalogue"),
        (["plan", "rows", "s3://lake/nothing", "--objective", "fame"], "fame"),
        (["subscribe", "ftp://nowhere"], "no http or https URL"),
        (["subscribe", "http://127.0.0.1:1/", "--exact", "subject"], "NAME=TEXT"),
        (["replay"], "--all"),
        (["replay", "77"], "no dead letter 77"),
        (["map", "cli_tasks:rows", "s3://lake/a", "--dataset", "made"], "needs --into"),
        (["map", "cli_tasks:nothing", "s3://lake/a"], "has no nothing"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_goes_wrong_is_told_in_one_line(standing_call: Caller, arguments: list[str], told: str) -> None:
    assert standing_call(*arguments, code=1) == ""
    assert standing_call.errors.startswith("sluice: ")
    assert told in standing_call.errors
    assert standing_call.errors.count("\n") == 1


def test_up_says_where_it_is_and_never_the_secret(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "infra.cli", "up", "--data", str(tmp_path / "lake"), "--http-port", "0", "--s3-port", "0"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SLUICE_")}
    with subprocess.Popen(
        [*command, "--json"], cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        known = json.loads(process.stdout.readline())
        assert known == {**json.loads((tmp_path / "lake" / "endpoints.json").read_text()), **{
            name: known[name] for name in ("data", "credentials")
        }}  # fmt: skip
        second = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=30)
        assert (second.returncode, second.stdout) == (1, "")
        assert second.stderr.startswith("sluice: another sluice is running on ")
        process.send_signal(signal.SIGINT)
        out, errors = process.communicate(timeout=20)
    assert (process.returncode, out, errors) == (0, "", "")
    credentials = Path(known["credentials"])
    assert credentials.stat().st_mode & 0o077 == 0
    assert credentials.read_text().split()[-1] not in json.dumps(known)


def test_a_model_is_pushed_promoted_rolled_back_and_guarded(call: Caller) -> None:
    for file in models(call.folder):
        call("model", "push", "digits", str(file))
        call.settle()
    found = call.json("models")
    assert [(each["name"], each["version"], each["key"]) for each in found["models"]] == [
        ("digits", 1, "digits/1/model.onnx"),
        ("digits", 2, "digits/2/model.onnx"),
    ]
    call("model", "promote", "digits", "1")
    call("model", "promote", "digits", "2")
    call.settle()
    assert call.json("model", "verify", "digits")["version"] == 2
    call("model", "rollback", "digits")
    call.settle()
    assert call.json("model", "verify", "digits")["version"] == 1
    assert "champion" in call("models")
    assert "published are: 1, 2" in refused(call, "model", "promote", "digits", "7")
    store = call.lake.store()
    try:
        store.write("models", "digits/1/model.onnx", b"something else")
        assert "is not what its sidecar says" in refused(call, "model", "verify", "digits")
        call.settle()
    finally:
        store.close()
    told = [each["event"] for each in call.lake.get("/events", type="dev.sluice.model.rejected.v1")["events"]]
    assert [(each["data"]["version"], "overwritten" in each["data"]["cause"]) for each in told] == [(1, True)]
    assert call.json("model", "verify", "digits", "2")["version"] == 2


def refused(call: Caller, *arguments: str) -> str:
    call(*arguments, code=1)
    return call.errors
