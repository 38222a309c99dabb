"""The crash test itself: a round of every fault, and that its verdict sees what it is there for."""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from infra.chaos import faults
from infra.chaos.__main__ import main
from infra.chaos.faults import FAULTS
from infra.chaos.load import Load, Sending
from infra.chaos.rounds import Rounds
from infra.chaos.steps import STEPS, Trap
from infra.chaos.verdict import check
from infra.chaos.world import World
from tests.conftest import eventually, need

#: One of each fault, so that none is left out.
ROUNDS = len(FAULTS)


@pytest.mark.server
@pytest.mark.timeout(600)
def test_a_round_of_every_fault_loses_nothing_and_doubles_nothing(capsys):
    if os.environ.get("CI") == "true":
        for program in ("redis-server", "radosgw", "postgres"):
            need(program)
    code = main(["--rounds", str(ROUNDS), "--seed", "1"])
    told = capsys.readouterr().out
    assert code == 0, told
    assert json.loads(told.splitlines()[-1]) == {"rounds": ROUNDS, "lost": 0, "doubled": 0, "wrong": 0}


def test_there_is_a_fault_for_every_step(tmp_path):
    assert ROUNDS >= 30
    with Rounds(tmp_path, ["redis", "ceph", "postgres"]) as rounds:
        assert rounds.possible() == list(FAULTS)
        assert {fault.world for fault in rounds.possible("takeover")} == {"embedded", "redis", "postgres"}
    with Rounds(tmp_path, []) as rounds:
        assert {fault.world for fault in rounds.possible()} == {"embedded"}
    text = Path(faults.__file__).read_text()
    assert [step.name for step in STEPS if f'("{step.name}", ' not in text] == []


@pytest.fixture
def world(tmp_path):
    made = World("embedded", tmp_path / "world", {})
    try:
        made.start()
        yield made
    finally:
        made.close()


def test_the_verdict_sees_what_is_lost_doubled_and_given_up(world):
    load = Load(world, 1, random.Random(1), Sending())
    load.start(lambda: True)
    eventually(lambda: load.done, 60, "the load")
    load.close()
    world.quiet()
    world.victims["up"].end()
    gone = next(key for (_, key), etag in load.final.items() if etag)
    with closing(sqlite3.connect(world.folder / "data" / "lake.db")) as database, database:
        database.execute("DELETE FROM data_object WHERE key = ?", (gone,))
        database.execute("UPDATE data_object SET bytes = 2 WHERE key = ?", (load.sent["s0"][0],))
        database.execute("DELETE FROM event WHERE json_extract(body, '$.id') = ?", (load.sent["s1"][0],))
        columns = "seq, 'tally', 'no reason', 1, 0, body"
        database.execute(f"INSERT INTO dead (seq, target, cause, attempts, at, body) SELECT {columns} FROM event LIMIT 1")
    world.sink.taken["/ok"].remove(load.sent["s2"][3])
    first = world.sink.taken["/ok"].index(load.sent["s3"][0])
    world.sink.taken["/ok"].append(world.sink.taken["/ok"].pop(first))
    verdict = check(world, load)
    assert sorted(text.split(" in the catalogue")[0] for text in verdict.lost) == sorted([
        f"s3://raw/{gone} is None",
        f"{load.sent['s1'][0]}: never in the log",
        f"{load.sent['s2'][3]} was not delivered to /ok",
    ])  # fmt: skip
    assert verdict.doubled == [f"{load.sent['s0'][0]}: 2 times entered"]
    assert [text.split(":")[0].split(" are")[0] for text in verdict.wrong] == [
        "deliveries of s3 to /ok",
        "a dead letter of tally",
    ]


def test_a_trap_kills_at_its_pass_and_only_once(tmp_path):
    program = (
        "import sys; from pathlib import Path; from infra.chaos.steps import Trap\n"
        "trap = Trap(Path(sys.argv[1]))\n"
        "for n in range(5):\n    print(n, flush=True)\n    trap.passing('settle')\n    trap.passing('append')\n"
    )
    trap = Trap(tmp_path)
    trap.arm("settle", 3, "a")

    def run():
        return subprocess.run([sys.executable, "-c", program, tmp_path], capture_output=True, text=True, timeout=60)

    assert trap.armed("settle")
    died = run()
    assert (died.returncode, died.stdout.split()) == (-signal.SIGKILL, ["0", "1", "2"])
    assert not trap.armed("settle")
    assert run().returncode == 0


@pytest.mark.parametrize(
    ("arguments", "told"),
    [(["--only", "nothing"], "there are: "), (["--servers", "redis,oracle"], "not installed here: ")],
)
def test_what_cannot_be_done_is_said(arguments, told, capsys):
    assert main(arguments) == 2
    assert told in capsys.readouterr().out


@pytest.mark.parametrize("rounds", ["0", "-1", "many"])
def test_no_rounds_are_no_success(rounds):
    with pytest.raises(SystemExit) as ended:
        main(["--rounds", rounds])
    assert ended.value.code == 2
