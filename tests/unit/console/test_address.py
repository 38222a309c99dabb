"""Addresses of objects."""

from __future__ import annotations

import pytest

from infra.console import address
from infra.console.client import Complaint


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("s3://lake", ("lake", "")),
        ("s3://lake/", ("lake", "")),
        ("s3://lake/a b+c%20/ü/日本.txt", ("lake", "a b+c%20/ü/日本.txt")),
        ("s3://lake//double", ("lake", "/double")),
    ],
)
def test_what_can_be_read(given: str, expected: tuple[str, str]) -> None:
    assert address.parse(given) == expected


@pytest.mark.parametrize("given", ["", "lake/key", "s3://", "s3:///key", "http://lake/key", "S3://lake"])
def test_what_cannot(given: str) -> None:
    with pytest.raises(Complaint, match="s3://BUCKET"):
        address.parse(given)


def test_one_object_needs_a_key() -> None:
    assert address.full("s3://lake/a/b") == ("lake", "a/b")
    with pytest.raises(Complaint, match="no object"):
        address.full("s3://lake/")
