"""The CESQL engine beyond the specification's cases: own functions, limits, use as a filter."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

import pytest

from events.cesql import (
    BUILTIN,
    CastError,
    Function,
    FunctionEvaluationError,
    MathError,
    MissingFunctionError,
    ParseError,
    compile,
)
from events.event import Event

EVENT = Event(id="1", source="/s", type="t", subject="raw/a.csv", extensions={"hop": "5", "many": 3})


def test_only_true_without_error_matches():
    assert compile("hop = 5").matches(EVENT)
    assert not compile("hop = 6").matches(EVENT)
    assert not compile("missing = 6").matches(EVENT)
    assert not compile("many").matches(EVENT), "3 is no boolean, and is not made one"
    assert not compile("'true'").matches(EVENT)


def test_one_expression_serves_many_events():
    expression = compile("INT(hop) > 3 AND NOT EXISTS dead")
    events = [Event(id=str(n), source="/s", type="t", extensions={"hop": str(n)}) for n in range(6)]
    assert [expression.matches(event) for event in events] == [False] * 4 + [True] * 2
    assert expression.text == "INT(hop) > 3 AND NOT EXISTS dead"


def test_an_error_names_what_and_where():
    error = compile("TRUE AND hop + word > 1").evaluate(EVENT).error
    assert str(error) == "the event has no attribute 'word' (at character 16 of the expression)"
    error = compile("subject + 1").evaluate(EVENT).error
    assert isinstance(error, CastError)
    assert error.position == 0
    assert "'raw/a.csv' is no integer" in str(error)
    error = compile("2 * (7 / 0)").evaluate(EVENT).error
    assert isinstance(error, MathError)
    assert error.position == 7


def test_calls_of_what_does_not_exist_are_known_before_any_event():
    expression = compile("LENGTH(subject) > 1 OR LENGHT(subject, 2) > 1")
    (missing,) = expression.missing
    assert isinstance(missing, MissingFunctionError)
    assert str(missing) == "no function LENGHT takes 2 arguments (at character 24 of the expression)"
    assert expression.matches(EVENT), "it is never evaluated"


def double(text: str) -> str:
    return text * 2


def test_own_functions():
    functions = BUILTIN.with_(
        Function("DOUBLE", (str,), str, double),
        Function("Double", (str, int, int), str, lambda text, *counts: text * sum(counts), int, True),
    )
    assert compile("double(many) = '33' AND LENGTH(DOUBLE('a', 1, '2', 3)) = 6", functions).matches(EVENT)
    assert compile("DOUBLE('a', 1)", functions).missing
    assert compile("DOUBLE('a')").missing, "the built-in functions stay as they are"


@pytest.mark.parametrize(
    "second",
    [
        Function("f", (str,), str, double),
        Function("F", (), str, double, str, True),
        Function("F", (int,), str, double, str, True),
        Function("F_1", (int,), str, double),
        Function("_F", (int,), str, double),
    ],
)
def test_functions_that_could_be_confused_are_refused(second):
    with pytest.raises(ValueError, match="function"):
        BUILTIN.with_(Function("F", (str,), str, double), second)


@pytest.mark.parametrize(
    ("call", "kind"),
    [(lambda: 1 / 0, int), (lambda: "text", int), (lambda: 2**31, int), (lambda: None, str), (lambda: 1, bool)],
)
def test_a_function_that_fails_gives_the_zero_value(call, kind):
    result = compile("BAD()", BUILTIN.with_(Function("BAD", (), kind, call))).evaluate(EVENT)
    assert isinstance(result.error, FunctionEvaluationError)
    assert (type(result.value), bool(result.value)) == (kind, False)


def test_long_expressions_and_deep_ones():
    wide = " OR ".join(f"hop = {n}" for n in range(3000))
    assert not compile(wide.replace("hop = 5 ", "hop = 6 ")).matches(EVENT)
    assert compile(wide).matches(EVENT)
    assert compile("1" + " + 1" * 5000 + " = 5001").matches(EVENT)
    assert compile("(" * 140 + "TRUE" + ")" * 140).matches(EVENT)
    assert compile("NOT " * 190 + "TRUE").matches(EVENT)
    assert compile("ABS(" * 90 + "1" + ")" * 90 + " = 1").matches(EVENT)
    assert compile("TRUE AND 1 = 1 * (0 + " * 35 + "1" + ")" * 35).matches(EVENT)
    for text in ("(" * 5000 + "1", "NOT " * 5000 + "TRUE", "-" * 5000 + "1", "ABS(" * 5000 + "1", "1 IN (" * 5000 + "1"):
        with pytest.raises(ParseError, match="nested too deep"):
            compile(text)
    with pytest.raises(ParseError, match="nested more than"):
        compile("NOT " * 300 + "TRUE")


#: Expressions as deep as any that are read, with all that is allowed on one level.
DEEPEST = (
    "ABS(0 + 1 * -(0 + ", "1 IN (0 + 1 * ABS(", "TRUE AND 1 = 0 + 1 * (1 * -",
    "LENGTH(CONCAT('a', ", "NOT (1 < 0 + -ABS(", "SUBSTRING('a', 1 * ",
)  # fmt: skip


@pytest.mark.parametrize("part", DEEPEST)
def test_what_is_read_can_be_evaluated_on_any_stack(part):
    """Half of the stack is in use already, which is more than any thread of the lake has."""

    def at_depth(frames, call):
        return call() if frames == 0 else at_depth(frames - 1, call)

    closing = part.count("(")
    read = 0
    for times in range(1, 200):
        text = part * times + "1" + ")" * closing * times
        try:
            compile(text)
        except ParseError:
            break
        at_depth(250, partial(compile, text)).evaluate(EVENT)
        at_depth(250, partial(compile(text).evaluate, EVENT))
        read = times
    assert 20 < read < 199


def test_patterns_take_linear_time():
    """With backtracking, this would outlast the universe."""
    expression = compile("text LIKE '" + "%a_" * 30 + "%b'")
    assert not expression.matches(Event(id="1", source="/s", type="t", extensions={"text": "ac" * 20_000}))
    assert expression.matches(Event(id="1", source="/s", type="t", extensions={"text": "ac" * 20_000 + "b"}))


def test_the_example_of_the_documentation():
    page = (Path(__file__).parents[3] / "docs" / "cesql.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"^```python runnable\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    exec(example, {})


def test_a_set_of_literals_is_as_one_of_expressions():
    for left in ("1", "'1'", "TRUE", "hop", "many", "'true'", "missing", "'x'"):
        for elements in (("1", "'1'"), ("'true'", "TRUE"), ("5", "3"), ("'x'", "1"), ("1", "'x'")):
            literal = compile(f"{left} IN ({elements[0]}, {elements[1]})").evaluate(EVENT)
            computed = compile(f"{left} IN ({elements[0]}, {elements[1]}, CONCAT())").evaluate(EVENT)
            if computed.error is None or "''" not in str(computed.error):
                assert (literal.value, type(literal.error)) == (computed.value, type(computed.error))
