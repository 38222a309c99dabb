"""Lists of entity tags."""

from __future__ import annotations

import pytest

from infra.etags import strong, weak


@pytest.mark.parametrize(
    ("header", "strongly", "weakly"),
    [
        ('"4"', True, True),
        ('"1", "4"', True, True),
        ('"1","4","5"', True, True),
        (' "4" ,', True, True),
        ('W/"4"', False, True),
        ('W/"1", W/"4"', False, True),
        ('W/"4", "4"', True, True),
        ("*", True, True),
        ('"1"', False, False),
        ('"14"', False, False),
        ('"1, 4"', False, False),
        ("4", False, False),
        ('w/"4"', False, False),
        ('"4', False, False),
        ("", False, False),
        ('"x" "4"', False, False),
    ],
)
def test_a_tag_is_found_in_a_list(header: str, strongly: bool, weakly: bool) -> None:
    assert (strong(header, '"4"'), weak(header, '"4"')) == (strongly, weakly)


def test_clients_of_s3_may_leave_the_quotes_out() -> None:
    assert strong("e1, e2", '"e2"', bare=True)
    assert not strong("e1, e2", '"e2"')
    assert strong('"a,b"', '"a,b"')
