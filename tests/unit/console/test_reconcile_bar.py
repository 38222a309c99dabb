"""What a terminal shows of a sweep: a bar against what the catalogue knew, with the rate."""

from __future__ import annotations

import io
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

from rich.console import Console

from infra.console.reconcile import _sweep


def test_a_sweep_has_a_bar_with_its_rate():
    shown = io.StringIO()
    session: Any = SimpleNamespace(json=False, err=Console(file=shown, force_terminal=True, width=160))
    counts = {"bucket": "raw", "prefix": "in/", "position": "k", "missed": 2, "changed": 0, "removed": 0, "new": 2}

    def lines(path: str, wanted: dict[str, str]) -> Iterator[dict[str, Any]]:
        for listed in (1000, 2000, 4200):
            yield {**counts, "listed": listed, "expected": 4000, "done": listed == 4200}

    api: Any = SimpleNamespace(lines=lines)
    found = _sweep(session, api, {"bucket": "raw", "prefix": "in/"})
    assert found["listed"] == 4200
    assert "s3://raw/in/" in shown.getvalue()
    assert "4200/4200" in shown.getvalue(), "the store has more than the catalogue knew"
    assert "/s" in shown.getvalue()
    assert "2 missed, 2 new" in shown.getvalue()
