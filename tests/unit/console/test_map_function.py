"""The function that ``sluice map`` is given, and its results."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from infra.console.client import Complaint
from infra.console.maps import find_function, plain


def test_a_function_is_found_by_its_name() -> None:
    assert find_function("json:dumps") is json.dumps


def test_it_may_lie_in_the_present_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "lying_here.py").write_text("def answer(table):\n    return 42\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path.copy())
    assert find_function("lying_here:answer")(None) == 42


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("json", "MODULE:FUNCTION"),
        ("no_such_module:f", "no_such_module"),
        ("json:nothing", "nothing"),
        ("json:__name__", "no function"),
    ],
)
def test_what_is_no_function_is_told(name: str, told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", sys.path.copy())
    with pytest.raises(Complaint, match=told):
        find_function(name)


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (np.int64(3), 3),
        (np.array([[1.5, 2.0]]), [[1.5, 2.0]]),
        ({"rows": 1}, {"rows": 1}),
        ({"n": np.float64(2)}, {"n": 2.0}),
        (3 + 4j, "(3+4j)"),
    ],
)
def test_results_as_json(result: object, expected: object) -> None:
    assert plain(result) == expected
