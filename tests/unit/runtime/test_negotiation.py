"""Content negotiation: what an ``Accept`` header wants most."""

from __future__ import annotations

import pytest

from infra.runtime.negotiation import preferred


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        ("", "a/a"),
        ("*/*", "a/a"),
        ("c/c", "a/a"),
        ("b/b", "b/b"),
        ("B/B ; Q = 0.2 , a/a;q=0.1", "b/b"),
        ("b/*", "b/b"),
        ("*/*;q=0.5, b/c;q=0.6", "b/c"),
        ("*/*, a/a;q=0", "b/b"),
        ("b/b;q=nan, b/c;level=1;q=.1", "b/c"),
        ("b/b;q=7, ,;=, b/c;q=-1", "a/a"),
    ],
)
def test_the_most_wanted_of_what_is_offered(accept: str, wanted: str) -> None:
    assert preferred(accept, ("a/a", "b/b", "b/c")) == wanted
