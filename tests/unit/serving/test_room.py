"""A buffer made beforehand holds what came, whatever size was expected."""

import pytest

from infra.models.room import LARGE, room


@pytest.mark.parametrize("expected", [-1, 0, 1, LARGE - 1, LARGE, LARGE + 4097, 3 * LARGE, 10**15])
@pytest.mark.parametrize("came", [0, 1, LARGE, LARGE + 5000])
def test_it_holds_what_came(expected, came):
    content = bytes(range(250)) * (came // 250 + 1)
    made = room(expected)
    for start in range(0, came, 1 << 20):
        made.write(content[start : min(start + (1 << 20), came)])
    made.truncate()
    assert made.getvalue() == content[:came]
