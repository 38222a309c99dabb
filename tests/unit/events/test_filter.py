"""Subscription filters: the mandatory dialects, SQL, types with ``*``, and errors that tell where."""

from typing import Any

import pytest

from events.errors import Reject
from events.event import Event
from events.filter import compile_filters
from events.route import Handler

EVENT = Event(
    id="1",
    source="/s",
    type="com.github.push",
    subject="raw/data.csv",
    extensions={"count": 5, "final": True, "partitionkey": "b/raw/data.csv"},
)


@pytest.mark.parametrize(
    ("expression", "wanted"),
    [
        ({"exact": {"type": "com.github.push"}}, True),
        ({"exact": {"type": "com.github.Push"}}, False),
        ({"exact": {"type": "com.github.push", "subject": "other"}}, False),
        ({"exact": {"type": "com.github.push", "subject": "raw/data.csv"}}, True),
        ({"exact": {"count": "5"}}, True),
        ({"exact": {"final": "true"}}, True),
        ({"exact": {"specversion": "1.0"}}, True),
        ({"exact": {"missing": "x"}}, False),
        ({"prefix": {"type": "com.github."}}, True),
        ({"prefix": {"subject": "data"}}, False),
        ({"prefix": {"time": "2"}}, False),
        ({"suffix": {"subject": ".csv", "partitionkey": "data.csv"}}, True),
        ({"suffix": {"subject": ".CSV"}}, False),
        ({"not": {"exact": {"type": "x"}}}, True),
        ({"not": {"prefix": {"missing": "x"}}}, True),
        ({"all": [{"prefix": {"subject": "raw/"}}, {"suffix": {"subject": ".csv"}}]}, True),
        ({"all": [{"prefix": {"subject": "raw/"}}, {"suffix": {"subject": ".txt"}}]}, False),
        ({"any": [{"prefix": {"subject": "x"}}, {"suffix": {"subject": ".csv"}}]}, True),
        ({"any": [{"prefix": {"subject": "x"}}]}, False),
        ({"sql": "source LIKE '/%' AND count = 5"}, True),
        ({"cesql": "source LIKE '/%' AND count = 5"}, True),
        ({"sql": "count"}, False),
        ({"sql": "'TRUE'"}, False),
        ({"sql": "missing = 'x'"}, False),
        ({"not": {"sql": "missing = 'x'"}}, True),
        ({"any": [{"sql": "1 / 0 = 1"}, {"sql": "final"}]}, True),
        ({"all": [{"sql": "final"}, {"suffix": {"subject": ".csv"}}]}, True),
        ({"not": {"any": [{"exact": {"type": "a"}}, {"not": {"all": [{"exact": {"type": "com.github.push"}}]}}]}}, True),
    ],
)
def test_dialects(expression, wanted):
    assert compile_filters([], [expression])(EVENT) is wanted


def test_all_filters_must_hold():
    first, second = {"prefix": {"subject": "raw/"}}, {"suffix": {"subject": ".txt"}}
    assert compile_filters([], [])(EVENT)
    assert compile_filters([], [first])(EVENT)
    assert not compile_filters([], [first, second])(EVENT)


@pytest.mark.parametrize(
    ("types", "wanted"),
    [
        (["com.github.push"], True),
        (["x", "com.github.push"], True),
        (["com.github.*"], True),
        (["*"], True),
        (["com.github"], False),
        (["push"], False),
        (["com-github-push"], False),
    ],
)
def test_types(types, wanted):
    assert compile_filters(types, [])(EVENT) is wanted


@pytest.mark.parametrize(("source", "wanted"), [("", True), ("/s", True), ("/S", False), ("/s/", False), ("s", False)])
def test_source(source, wanted):
    assert compile_filters([], [], source)(EVENT) is wanted
    assert compile_filters(["com.*"], [{"exact": {"count": "5"}}], source)(EVENT) is wanted
    assert not compile_filters(["org.*"], [], source)(EVENT)


@pytest.mark.parametrize(
    ("types", "filters", "reason"),
    [
        ([""], [], r"types\[0\]"),
        ([5], [], r"types\[0\]"),
        ([], {"exact": {}}, "filters: an array"),
        ([], ["exact"], r"filters\[0\]: a filter is an object"),
        ([], [{}], r"filters\[0\]: a filter is an object"),
        ([], [{"exact": {"type": "a"}, "prefix": {"type": "a"}}], r"filters\[0\]: a filter is an object with one"),
        ([], [{"exact": {}}], r"filters\[0\].exact: .*at least one"),
        ([], [{"exact": {"type": ""}}], r"filters\[0\].exact.type: "),
        ([], [{"exact": {"type": 5}}], r"filters\[0\].exact.type: "),
        ([], [{"exact": {"": "x"}}], r"filters\[0\].exact.: '' is no attribute"),
        ([], [{"exact": {"data": "x"}}], "'data' is no attribute"),
        ([], [{"any": []}], r"filters\[0\].any: at least one filter"),
        ([], [{"all": {"exact": {"type": "a"}}}], r"filters\[0\].all: an array"),
        (
            [],
            [{"all": [{"exact": {"type": "a"}}, {"any": [{"not": {"Exact": {}}}]}]}],
            r"filters\[0\].all\[1\].any\[0\].not.Exact: .*no such",
        ),
        ([], [{"not": [{"exact": {"type": "a"}}]}], r"filters\[0\].not: a filter is an object"),
        ([], [{"sql": "type = "}], r"filters\[0\].sql: a value is expected, not the end \(at character 8"),
        ([], [{"any": [{"cesql": "LENGHT(id) > 1"}]}], r"filters\[0\].any\[0\].cesql: no function LENGHT takes 1 argument"),
        ([], [{"sql": {"type": "a"}}], r"filters\[0\].sql: a text is expected"),
        ([], [{"sql": ""}], r"filters\[0\].sql: a value is expected"),
        ([], [{"regex": {"type": "a"}}], "no such dialect; use exact, prefix, suffix, all, any, not, sql, cesql"),
    ],
)
def test_filters_that_make_no_sense(types, filters, reason):
    with pytest.raises(Reject, match=reason):
        compile_filters(types, filters)


def test_bottomless_filters():
    expression: dict[str, Any] = {"exact": {"type": "a"}}
    for _ in range(5000):
        expression = {"not": expression}
    with pytest.raises(Reject, match="nested"):
        compile_filters([], [expression])


def test_the_json_form_is_kept():
    filters = [{"exact": {"type": "a"}}]
    made = compile_filters(["a"], filters)
    assert (made.types, made.filters) == (["a"], filters)
    assert made(Event(id="1", source="/s", type="a"))


@pytest.mark.parametrize(
    ("pattern", "matching", "others"),
    [
        ("a[1].b", ["a[1].b"], ["a1.b", "a[1]xb"]),
        ("a?.b", ["a?.b"], ["ax.b"]),
        ("a*b", ["ab", "a.b", "a\nb", "a*b"], ["abc", "xab"]),
        ("*", ["anything", "a[1].b"], []),
        ("com.(a|b)", ["com.(a|b)"], ["com.a"]),
    ],
)
def test_only_the_star_stands_for_anything_else_than_itself(pattern, matching, others):
    """Here as in ``@on(...)``."""
    wanted, handler = compile_filters([pattern], []), Handler("f", (pattern,), lambda: None)
    for text in (*matching, *others):
        event = Event(id="1", source="/s", type=text)
        assert wanted(event) is handler.wants(text) is (text in matching), text
