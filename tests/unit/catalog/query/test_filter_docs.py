"""The filters on the page about searching are true for the resource there, and its operators are all there are."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from infra.catalog.query import FilterError, fields_of, understand
from infra.catalog.query.aggregate import ALGORITHMS
from infra.catalog.query.operators import OPERATORS

PAGE = (Path(__file__).parents[4] / "docs" / "catalog-search.md").read_text()
FIELDS = fields_of("data-object")


def block(kind: str) -> str:
    found = re.search(rf"^```{kind}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[1]


@pytest.mark.parametrize("line", block("filters").splitlines())
def test_what_the_page_shows_is_true(line: str) -> None:
    filter = line.removeprefix("cimi: ")
    _, found = understand(filter, "cimi" if filter != line else "", FIELDS)
    assert found.predicate(msgspec.json.decode(block("resource"))) is True


def test_the_mistake_on_the_page_is_the_one_that_is_told() -> None:
    shown = re.search(r"^```text\n(filter: .*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert shown is not None
    with pytest.raises(FilterError) as found:
        understand("rows > 5 AND bytes > 'x'", "", FIELDS)
    assert str(found.value) + "\n" == shown[1]


def test_every_operator_and_algorithm_is_documented() -> None:
    told = PAGE.lower()
    assert [one for one in OPERATORS if one not in ("isnull",) and one not in told] == []
    assert [one for one in ALGORITHMS if f"`{one}`" not in PAGE] == []
