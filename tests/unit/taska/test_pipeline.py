"""Pipelines: their order, and how a deadline is dealt out. ``docs/taska.md``, which a test runs, has one at work."""

import pytest

from events.errors import Reject
from events.types import Interval, ObjectDerived, ObjectVersion
from infra.runtime.pipeline import Forecast, Pipeline, Stage, _flat, _share


def rebin() -> None: ...


def image() -> None: ...


def known(seconds: float) -> Forecast:
    return Forecast(1, Interval(value=seconds / 2, low=0, high=seconds))


def test_a_stage_works_on_those_before_it() -> None:
    first, second = Stage(rebin, "s3://lake/a/"), Stage(image, "s3://lake/b/")
    third = Stage(image, "s3://lake/c/", after=(first, second))
    assert Pipeline([first, second, third])._inputs == [[], [0], [0, 1]]
    apart = Stage(image, "s3://lake/d/", after=())
    assert Pipeline([first, apart])._inputs == [[], []]
    with pytest.raises(Reject, match="image works on results of rebin, which must come before"):
        Pipeline([Stage(image, "s3://lake/b/", after=(first,)), first])
    with pytest.raises(Reject, match="needs a stage"):
        Pipeline([])


def test_what_is_left_of_a_deadline_is_dealt_out_by_upper_bounds() -> None:
    assert _share([known(30), known(10), known(20)], 120) == pytest.approx(60)
    assert _share([known(20)], 50) == 50
    assert _share([Forecast(1, None), known(10), known(20)], 90) == pytest.approx(30)
    assert _share([Forecast(1, None), Forecast(1, None)], 90) == 45
    assert 0 < _share([known(20)], -3) <= 0.001


def test_results_are_what_was_made_of_what() -> None:
    one = ObjectVersion(bucket="lake", key="a", etag="1")
    made = ObjectDerived(of=one, result=one, function="rebin")
    assert _flat([made, [made, made], (made,)]) == [made] * 4
    with pytest.raises(Reject, match="not dict"):
        _flat([{}])
