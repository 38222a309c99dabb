"""How the dispatch benchmark compares its sides."""

from __future__ import annotations

import subprocess
import sys

from infra.bench.dispatch import GOALS, median, over
from infra.bench.load import Side, Window
from infra.bench.peers import PEERS


def side(*cpu: float) -> Side:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return Side("x", process, 0, 0.0, [Window(each, 1.0, 1.0, 1.0) for each in cpu])


def test_sides_are_compared_within_their_rounds() -> None:
    theirs, ours = side(8.0, 30.0, 6.0), side(2.0, 10.0, 1.0)
    assert over(theirs, ours) == 4.0
    assert median(ours).cpu == 2.0


def test_every_goal_has_its_side() -> None:
    assert {key.removeprefix("vs_").removeprefix("share_of_") for key in GOALS} <= set(PEERS)
    assert next(iter(PEERS)) == "ours"
