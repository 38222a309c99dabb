"""A filter that is wrong points at the character, whichever language it is in; none brings the process down."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from events.errors import Reject
from infra.catalog.query import FilterError, fields_of, understand

FIELDS = fields_of("data-object", {"obs:target": "text"})
#: (language, filter with the place marked by ⟨, part of the reason)
WRONG = [
    ("", "rows >⟨ ", "too early"),
    ("", "a = 1 AND AND ⟨b = 2", "not understood"),
    ("", "rows >\n ⟨== 5", "not understood"),
    ("", "rows > 5 AND bytes > ⟨'x'", "compared with text"),
    ("", "bytes = 1 AND (format = 'a' OR format > ⟨5)", "compared with a number"),
    ("", "bytes IN (1, ⟨'x')", "compared with text"),
    ("", "a = 5 AND b = 5 AND bytes BETWEEN 5 AND ⟨'5'", "compared with text"),
    ("", "obs:target = ⟨7", "compared with a number"),
    ("", "created > TIMESTAMP(⟨'2026-13-01')", "no time"),
    ("", "created > ⟨'yesterday'", "no time"),
    ("", "T_AFTER(⟨format, DATE('2026-01-01'))", "time is needed"),
    ("", r"key LIKE ⟨'a\'", "backslash"),
    ("", "S_WITHIN(⟨key, BBOX(1,2,3,4))", "no geometry"),
    ("", "⟨nofunc('x')", "no function"),
    ("", "⟨tags > 'x'", "A_CONTAINS"),
    ("", "flag > ⟨TRUE", "no order"),
    ("", "bytes = ⟨NULL", "IS NULL"),
    ("", "fulltext(⟨'...')", "words"),
    ("", "⟨format.x = 1", "no parts"),
    ("cimi", "a =⟨ ", "too early"),
    ("cimi", "a = 1 or\n b ⟨^ 'x'", "not understood"),
    ("cimi", "bytes = ⟨'x' and created > '2026-01-01'", "compared with text"),
    ("cimi", "geometry within '⟨POINT(1 2)) or (1=1'", "no WKT"),
    ("cimi", "(((a = 1)⟨", "expected )"),
    ("cimi", "created >= ⟨2026-13-01", "no time"),
    ("cimi", "created in [2026-01-01, ⟨2026-02-31]", "no time"),
    ("cimi", "a = '5' and created < ⟨2026-01-01T25:00:00Z", "no time"),
    ("cimi", "geometry within '⟨POLYGON((0 0, 1 1, 2 2))'", "not closed"),
    ("cimi", r"key = 'a\'b' and bytes = ⟨'a\'b'", "compared with text"),
    ("cimi", "a = 'x' and ⟨bytes ^= 'x'", "text is needed"),
    ("", "S_INTERSECTS(geometry, ⟨POLYGON((0 0, 1 1, 2 2)))", "not closed"),
    ("", "S_WITHIN(geometry, POINT(1 2)) AND S_INTERSECTS(geometry, ⟨POINT(1 2000000000))", "no coordinate"),
    ("", "S_INTERSECTS(geometry, GEOMETRYCOLLECTION(POINT(1 2), ⟨POLYGON((0 0, 1 1, 2 2))))", "not closed"),
    ("", "S_WITHIN(geometry, POINT(1 2)) OR S_WITHIN(geometry, ⟨GEOMETRYCOLLECTION(POINT(1 2)))", "no geometry collection"),
    ("cimi", "geometry within '⟨GEOMETRYCOLLECTION(POINT(1 2))'", "no geometry collection"),
    ("", "rows = 1 AND ⟨S_TOUCHES(geometry, POINT(1 2))", "not answered"),
    ("", "rows ^ ⟨0.5 > 1", "whole number"),
    ("", "rows ^ ⟨bytes > 1", "whole number"),
    ("cimi", "tags ^= 'x' and ⟨bytes ^= 'x'", "text is needed"),
    ("", "A_CONTAINS(tags, ('a', ⟨POINT(1 2)))", "elements are"),
    ("", "content-type = 'a' AND ⟨format.x = 2", "no parts"),
    ("cql2-json", '{"op": "=",\n "args": [1,⟨,2]}', "no JSON"),
    ("cql2-json", '{"op":⟨', "no JSON"),
    ("cql2-json", '{"op": "=",\n "args": [{"property": "bytes"}, ⟨"x,]"]}', "compared with text"),
    ("cql2-json", '{"op": "and", "args": [true, ⟨{"op": "=", "args": [1]}]}', "2 arguments"),
    ("cql2-json", '{"op": "=", "args": [1, 2], "args": [{"property": "a"}, ⟨{"timestamp": "x"}]}', "no time"),
    ("cql2-json", ' ⟨{"args": [], "op": "\\u0066oo"}', "no function"),
    ("cql2-json", " ⟨null", "leave it out"),
    ("", 'format=⟨"csv"', "double quotes"),
    ("", '"my x" = 1 OR "a b" = rows OR format IN (\'a\', ⟨"csv")', "double quotes"),
    ("", '⟨"csv" = format', "double quotes"),
    ("", "key^⟨='x'", "filter-lang"),
]


@pytest.mark.parametrize(("lang", "marked", "reason"), WRONG)
def test_errors_point_at_the_character(lang: str, marked: str, reason: str) -> None:
    text, index = marked.replace("⟨", ""), marked.index("⟨")
    with pytest.raises(FilterError) as found:
        understand(text, lang, FIELDS)
    assert reason in str(found.value)
    assert found.value.index == index, str(found.value)
    caret = str(found.value).splitlines()[-1].index("^") - 2
    assert (found.value.line, found.value.column) == (text[:index].count("\n") + 1, caret + 1)
    assert isinstance(found.value, Reject)


@pytest.mark.parametrize(
    ("filter", "pointer"),
    [
        ({"op": "and", "args": [{"op": "=", "args": [{"property": "bytes"}, "x"]}]}, "/args/0/args/1"),
        ({"op": "in", "args": [{"property": "a"}, []]}, "/args/1"),
        (
            {"op": "s_within", "args": [{"property": "geometry"}, {"type": "Polygon", "coordinates": [[[0, 0], [1, 1]]]}]},
            "/args/1",
        ),
        ({"op": "=", "args": [{"property": "a"}, "\x00"]}, "/args/1"),
        ({"op": 1}, "/"),
    ],
)
def test_errors_in_json_have_a_pointer(filter: dict, pointer: str) -> None:
    with pytest.raises(FilterError) as found:
        understand(filter, "", FIELDS)
    assert found.value.pointer == pointer


@pytest.mark.parametrize(
    ("lang", "text"),
    [
        ("", "(" * 5000 + "a" + ")" * 5000),
        ("", "NOT " * 5000 + "a = 1"),
        ("", "-" * 5000 + "1 = a"),
        ("", "a = " + "1 ^ " * 5000 + "1"),
        ("", "casei(" * 5000 + "a" + ")" * 5000 + " = 'x'"),
        ("", "+".join(["a"] * 5000) + " > 1"),
        ("", " AND ".join(["a = 1"] * 5000)),
        ("cimi", "not " * 50000 + "a = 1"),
        ("cql2-json", "[" * 100_000),
        ("cql2-json", '{"op":"not","args":[' * 5000 + "true" + "]}" * 5000),
        ("", "a LIKE '" + "%a" * 500 + "'"),
        ("", "a = '\ud800'"),
        ("sql", "a = 1"),
    ],
)
def test_what_is_too_much_is_refused(lang: str, text: str) -> None:
    with pytest.raises(FilterError):
        understand(text, lang, FIELDS)


PIECES = [
    *(
        "a",
        "bytes",
        "=",
        "<",
        "(",
        ")",
        "'x'",
        "5",
        "-",
        "AND",
        "or",
        "not",
        "in",
        "[",
        "]",
        "like",
        "S_INTERSECTS",
        "BBOX",
        ",",
    ),
    *(
        "{",
        '"',
        "'",
        "\\",
        "intersects",
        "'POINT(1 2)'",
        "^=",
        "null",
        "between",
        "T_AFTER",
        "INTERVAL",
        "'..'",
        "\n",
        "é",
        "\x00",
    ),
]
TEXTS = st.lists(st.sampled_from(PIECES), max_size=12).map(" ".join) | st.text(max_size=30)


@settings(max_examples=300, deadline=None)
@given(text=TEXTS, lang=st.sampled_from(["", "cimi", "cql2-json"]))
def test_garbage_is_a_filter_error_and_nothing_else(text: str, lang: str) -> None:
    with suppress(FilterError):
        understand(text, lang, FIELDS)
