"""The model of what more workers take, the front, and the pictures."""

from xml.etree import ElementTree

import pytest

from infra.bench.taska_chart import Point, Series, chart
from infra.bench.taska_model import Cost, front, modelled


def test_a_slice_takes_its_start_and_its_share() -> None:
    costs = [modelled(count, [1 / count] * count, whole=21.0, cut=25.0, slices=9) for count in (1, 2, 9)]
    assert costs[0] == pytest.approx((1, 21.0, 21.0))
    assert costs[1] == pytest.approx((2, 0.5 + 20.5 / 2, 21.5))
    assert costs[2] == pytest.approx((9, 0.5 + 20.5 / 9, 25.0))
    assert modelled(2, [0.75, 0.25], whole=21.0, cut=25.0, slices=9).time == pytest.approx(0.5 + 20.5 * 0.75)


def test_the_front_has_what_no_other_beats() -> None:
    costs = [Cost(1, 10, 10), Cost(2, 5, 11), Cost(3, 5, 12), Cost(4, 6, 13), Cost(5, 2, 14)]
    assert [one.workers for one in front(costs)] == [1, 2, 5]


@pytest.mark.parametrize("log", [False, True])
def test_pictures_show_what_is_measured_and_what_is_modelled(log: bool) -> None:
    series = [
        Series("<seen>", [Point(1, 5.0, label="1"), Point(9, 0.5, measured=False)]),
        Series("front", [Point(2, 3)], line=True),
    ]
    text = chart("Title & more", "x", "y", series, log=log)
    circles = ElementTree.fromstring(text).findall("{http://www.w3.org/2000/svg}circle")
    assert [circle.get("fill") == "#fff" for circle in circles] == [False, True]
    heights = [float(circle.get("cy", 0)) for circle in circles]
    assert heights[0] < heights[1]
