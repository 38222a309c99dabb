"""Numbers and times as people read them."""

from __future__ import annotations

import pytest

from infra.console import text


@pytest.mark.parametrize(
    ("count", "expected"),
    [(0, "0 B"), (999, "999 B"), (1000, "1 kB"), (20_700_000, "20.7 MB"), (999_600, "1 MB"), (5e15, "5e+03 TB")],
)
def test_size(count: float, expected: str) -> None:
    assert text.size(count) == expected


@pytest.mark.parametrize(
    ("value", "expected"), [(0.0341, "34 ms"), (0.9996, "1.0 s"), (2.05, "2.0 s"), (59.96, "1 min 0 s"), (185.2, "3 min 5 s")]
)
def test_seconds(value: float, expected: str) -> None:
    assert text.seconds(value) == expected


def test_moment_is_utc_to_the_second() -> None:
    assert text.moment("2026-01-02T01:04:05.678901+02:00") == "2026-01-01 23:04:05"
    assert text.moment("") == ""


def test_short_event_types() -> None:
    assert text.short("dev.sluice.model.published.v1") == "model.published"
    assert text.short("com.amazonaws.s3.ObjectCreated:Put") == "s3.ObjectCreated:Put"
    assert text.short("com.example.hello") == "com.example.hello"


def test_nothing_from_outside_moves_the_cursor() -> None:
    assert "\x1b" not in text.printable("a\x1b[2Jb\nc")
    assert text.printable("日本 ü") == "日本 ü"
