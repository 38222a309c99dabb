"""CloudEvents SQL 1.0.0, case by case from the specification's text: value and error of each expression."""

from __future__ import annotations

import pytest

from events.cesql import ParseError, compile
from events.event import Event

EVENT = Event(
    id="A-7",
    source="https://lake.example/raw",
    type="org.example.object.created",
    subject="raw/2026/night_07.fits",
    time="2026-02-03T04:05:06.789+01:00",
    dataschema="https://lake.example/schema/1",
    datacontenttype="application/json",
    extensions={
        "sequence": "10", "hop": "5",
        "ttl": "12", "count": 42, "zero": 0, "lowest": -(2**31), "final": True, "draft": False,
        "word": "Lake", "yes": "TRUE", "digits": "007", "empty": "", "percent": "50%", "quote": "it's",
        "firstname": "Francesco",
        "lastname": "Guardiani", "12": "twelve", "2nd": "second", "unicode": "Ångström 🛰", "null0": "null",
    },
)  # fmt: skip

VALUES = [
    # 2.2 literals
    ("TRUE", True), ("true", True), ("tRuE", True), ("FALSE", False), ("fAlSe", False),
    ("0", 0), ("7", 7), ("007", 7), ("-7", -7), ("+7", 7), ("2147483647", 2**31 - 1), ("-2147483648", -(2**31)),
    ("+0000000000000002147483647", 2**31 - 1), ("-0", 0),
    ("''", ""), ('""', ""), ("'lake'", "lake"), ('"Lake"', "Lake"), ("'TRUE'", "TRUE"), ("'12'", "12"),
    ("'say \"hi\"'", 'say "hi"'), ('"it\'s"', "it's"), (r"'it\'s'", "it's"), (r'"say \"hi\""', 'say "hi"'),
    (r"'a\b'", r"a\b"), (r"'a\"b'", r"a\"b"), (r'"a\'b"', r"a\'b"), (r"'a\\'", r"a\\"), ("'a\nb'", "a\nb"), ("'🛰 é'", "🛰 é"),
    # white space, brackets
    ("  \t\r\n TRUE\n", True), ("(TRUE)", True), ("(((7)))", 7), ("( 'a' )", "a"), ("(id)", "A-7"),
    # 3.2 context attributes
    ("id", "A-7"), ("source", "https://lake.example/raw"), ("type", "org.example.object.created"), ("specversion", "1.0"),
    ("subject", "raw/2026/night_07.fits"), ("time", "2026-02-03T04:05:06.789+01:00"),
    ("dataschema", "https://lake.example/schema/1"), ("datacontenttype", "application/json"),
    ("word", "Lake"), ("count", 42), ("final", True), ("draft", False), ("empty", ""), ("2nd", "second"), ("null0", "null"),
    # 3.4.1 unary operators
    ("NOT TRUE", False), ("not false", True), ("NOT NOT TRUE", True), ("NOT 'true'", False), ("NOT 'FALSE'", True),
    ("NOT 0", True), ("NOT 10", False), ("NOT final", False), ("NOT yes", False), ("NOT (1 = 2)", True), ("NOT -0", True),
    ("-count", -42), ("--7", 7), ("---7", -7), ("- 7", -7), ("-(-7)", 7), ("-'7'", -7), ("-'-7'", 7), ("-TRUE", -1),
    ("-FALSE", 0), ("-digits", -7), ("-(2 + 3)", -5), ("- -2147483647", 2**31 - 1), ("-NOT FALSE", -1),
    # 3.4.2 arithmetic
    ("4 + 1", 5), ("4+1", 5), ("4 - 1", 3), ("4-1", 3), ("4 -1", 3), ("4 + -1", 3), ("4 - -1", 5), ("4--1", 5), ("-4 - 1", -5),
    ("3 * 4", 12), ("3 * -4", -12), ("7 / 2", 3), ("-7 / 2", -3), ("7 / -2", -3), ("-7 / -2", 3), ("1 / 3", 0), ("-1 / 3", 0),
    ("7 % 3", 1), ("-7 % 3", -1), ("7 % -3", 1), ("-7 % -3", -1), ("6 % 3", 0), ("'5' + '3'", 8), ("5 + '3'", 8),
    ("'5' + 3", 8), ("5 + TRUE", 6), ("FALSE * 9", 0), ("sequence + 10", 20), ("count - hop", 37), ("'+5' + 0", 5),
    ("2147483647 + 0", 2**31 - 1), ("-2147483647 - 1", -(2**31)), ("-2147483648 % -1", 0), ("2 - 3 - 4", -5), ("16 / 4 / 2", 2),
    ("2 + 3 * 4", 14), ("(2 + 3) * 4", 20), ("2 * 3 + 4", 10), ("20 / 2 % 3", 1), ("-2 * 3", -6), ("2 - -2 * 3", 8),
    # 3.4.2 comparisons
    ("1 = 1", True), ("1 = 2", False), ("1 != 2", True), ("1 <> 2", True), ("1 != 1", False), ("1 <> 1", False),
    ("'a' = 'a'", True), ("'a' = 'A'", False), ("'a' != 'A'", True), ("TRUE = TRUE", True), ("TRUE = FALSE", False),
    ("TRUE <> FALSE", True), ("1 < 2", True), ("2 < 2", False), ("2 <= 2", True), ("3 <= 2", False), ("2 > 1", True),
    ("2 > 2", False), ("2 >= 2", True), ("2 >= 3", False), ("-1 < 0", True), ("'10' > '9'", True), ("hop < ttl", True),
    ("FALSE < TRUE", True), ("count>41", True), ("1<2", True), ("1 < 2 < 3", True), ("3 > 2 > 1", False),
    # 3.7 the right side tells the type
    ("sequence = 10", True), ("10 = sequence", True), ("digits = 7", True), ("7 = digits", False), ("TRUE = 'true'", True),
    ("TRUE = 'TRUE'", False), ("'TRUE' = TRUE", True), ("TRUE = 'true' AND FALSE = 'false'", True),
    ("TRUE = 'TRUE' OR FALSE = 'FALSE'", False), ("yes = TRUE", True), ("TRUE = yes", False), ("1 = TRUE", True),
    ("2 = TRUE", True), ("TRUE = 1", True), ("TRUE = 2", False), ("FALSE = 0", True), ("1 = '1'", True), ("1 = '01'", False),
    ("count = '42'", True), ("'42' = count", True), ("final = 'true'", True), ("'fAlSe' = draft", True), ("zero = draft", True),
    ("hop = ttl", False), ("word != 'lake'", True), ("-1 = '-1'", True), ("'+1' = 1", True), ("final = count", False),
    # 3.4.2 logic
    ("TRUE AND TRUE", True), ("TRUE AND FALSE", False), ("FALSE AND TRUE", False), ("FALSE AND FALSE", False),
    ("TRUE OR TRUE", True), ("TRUE OR FALSE", True), ("FALSE OR TRUE", True), ("FALSE OR FALSE", False),
    ("TRUE XOR TRUE", False), ("TRUE XOR FALSE", True), ("FALSE XOR TRUE", True), ("FALSE XOR FALSE", False),
    ("true and true", True), ("'true' AND 1", True), ("0 OR 'FALSE'", False), ("1 XOR 2", False), ("final AND yes", True),
    ("FALSE AND (1 / 0 = 1)", False), ("FALSE AND missing", False), ("TRUE OR (1 / 0 = 1)", True), ("TRUE OR missing", True),
    ("FALSE AND 'neither'", False), ("TRUE OR 'neither'", True), ("TRUE AND TRUE AND FALSE", False),
    ("FALSE OR FALSE OR TRUE", True), ("FALSE AND TRUE AND missing", False), ("FALSE OR TRUE OR missing", True),
    # 3.6 precedence: AND, OR and XOR alike, from left to right
    ("TRUE OR FALSE AND FALSE", False), ("TRUE OR (FALSE AND FALSE)", True), ("FALSE AND FALSE OR TRUE", True),
    ("TRUE XOR TRUE OR TRUE", True), ("TRUE OR TRUE XOR TRUE", False), ("TRUE XOR TRUE AND FALSE", False),
    ("FALSE AND missing OR TRUE", True), ("1 + 1 = 2 AND 2 * 2 = 4", True), ("1 = 1 = TRUE", True),
    ("NOT FALSE AND FALSE", False),
    ("NOT 1 = 2", False), ("NOT TRUE = FALSE", True), ("2 + 3 > 4", True), ("-1 IN (-1)", True),
    ("NOT FALSE IN (TRUE)", True), ("NOT 0 LIKE 'true'", True), ("1 + 1 IN (1)", 2), ("TRUE LIKE 'tr%' = TRUE", True),
    ("'a' LIKE 'a' IN (TRUE)", True), ("1 IN (1) LIKE 't%'", True), ("NOT EXISTS missing", True),
    # 3.4.3 LIKE
    ("'abc' LIKE 'abc'", True), ("'abc' LIKE 'ABC'", False), ("'abc' LIKE 'ab'", False), ("'abc' like 'a%'", True),
    ("'abc' LIKE '%c'", True), ("'abc' LIKE '%b%'", True), ("'abc' LIKE '%'", True), ("'' LIKE '%'", True),
    ("'' LIKE ''", True),
    ("'a' LIKE ''", False), ("'' LIKE '_'", False), ("'a' LIKE '_'", True), ("'ab' LIKE '_'", False), ("'🛰' LIKE '_'", True),
    ("'abc' LIKE 'a_c'", True), ("'ac' LIKE 'a_c'", False), ("'abc' LIKE 'a%c'", True), ("'ac' LIKE 'a%c'", True),
    ("'a' LIKE 'a%a'", False), ("'aXbYc' LIKE 'a%b%c'", True), ("'acb' LIKE 'a%b%c'", False), ("'abab' LIKE '%ab'", True),
    ("'aab' LIKE '%a_'", True), ("'abc' LIKE '%%'", True), ("'a.c' LIKE 'a.c'", True), ("'abc' LIKE 'a.c'", False),
    ("'a*c' LIKE 'a*c'", True), ("'abc' LIKE 'a*'", False), ("'[x]' LIKE '[x]'", True), ("'a\nb' LIKE 'a%b'", True),
    ("'a\nb' LIKE 'a_b'", True), (r"'50%' LIKE '50\%'", True), (r"'500' LIKE '50\%'", False), (r"'a_b' LIKE 'a\_b'", True),
    (r"'axb' LIKE 'a\_b'", False), (r"percent LIKE '%\%'", True), (r"'a\b' LIKE 'a\b'", True), (r"'a%' LIKE '_\%'", True),
    (r"quote LIKE 'it\'s'", True), ("'abc' NOT LIKE 'a%'", False), ("'abc' NOT LIKE 'b%'", True), ("'abc' not like 'b%'", True),
    ("1234 LIKE '12%'", True), ("-5 LIKE '-_'", True), ("TRUE LIKE 'true'", True), ("FALSE LIKE 'TRUE'", False),
    ("count LIKE '4_'", True), ("subject LIKE 'raw/%.fits'", True), (r"subject LIKE '%night\_07%'", True),
    ("subject NOT LIKE '%.csv'", True), ("source LIKE 'https://%'", True),
    # 3.4.4 EXISTS
    ("EXISTS id", True), ("exists source", True), ("EXISTS type", True), ("EXISTS specversion", True), ("EXISTS subject", True),
    ("EXISTS word", True), ("EXISTS missing", False), ("EXISTS draft", True), ("EXISTS empty", True), ("EXISTS 12", True),
    ("EXISTS data", False), ("EXISTS id AND EXISTS missing", False), ("EXISTS missing OR EXISTS hop", True),
    # 3.4.5 IN: the left side tells the type
    ("1 IN (1, 2)", True), ("3 IN (1, 2)", False), ("3 NOT IN (1, 2)", True), ("1 NOT IN (1)", False), ("1 in (2, 1)", True),
    ("'a' IN ('A', 'a')", True), ("'1' IN (1)", True), ("1 IN ('1', 'x')", True), ("1 IN ('01')", True), ("'01' IN (1)", False),
    ("TRUE IN ('TRUE')", True), ("TRUE IN (5)", True), ("'true' IN (TRUE)", True), ("'TRUE' IN (TRUE)", False),
    ("word IN ('Lake', 'Sea')", True), ("count IN ('42')", True), ("count IN (1 + 41)", True), ("hop IN (ttl, hop)", True),
    ("id IN (word, CONCAT('A-', 7))", True), ("2 + 3 IN (3)", 3), ("(2 + 3) IN (5)", True), ("1 IN (1, 1 / 0)", True),
    # 3.5.1 text functions
    ("LENGTH('lake')", 4), ("LENGTH('')", 0), ("LENGTH(TRUE)", 4), ("LENGTH(-10)", 3), ("LENGTH('é🛰')", 2), ("length(word)", 4),
    ("CONCAT()", ""), ("CONCAT('a')", "a"), ("CONCAT('a', 1, TRUE)", "a1true"),
    ("CONCAT(firstname, ' ', lastname)", "Francesco Guardiani"),
    ("CONCAT_WS(',')", ""), ("CONCAT_WS(',', 'a')", "a"), ("CONCAT_WS(', ', 'a', 2, FALSE)", "a, 2, false"),
    ("CONCAT_WS('', 'a', 'b')", "ab"), ("Concat_Ws(1, 2, 3)", "213"),
    ("LOWER('LaKe')", "lake"), ("UPPER('LaKe')", "LAKE"), ("LOWER(TRUE)", "true"), ("UPPER(TRUE)", "TRUE"), ("UPPER('é')", "É"),
    ("TRIM('  a b ')", "a b"), ("TRIM('\t\n a\r\n')", "a"), ("TRIM('\u00a0\u2003a\u3000')", "a"),
    ("TRIM('\x1ca\x1f')", "\x1ca\x1f"),
    ("TRIM('\u200ba')", "\u200ba"), ("TRIM(7)", "7"), ("TRIM('')", ""),
    ("LEFT('lake', 2)", "la"), ("LEFT('lake', 0)", ""), ("LEFT('lake', 9)", "lake"), ("LEFT('lake', '1')", "l"),
    ("LEFT(1234, 2)", "12"),
    ("RIGHT('lake', 2)", "ke"), ("RIGHT('lake', 0)", ""), ("RIGHT('lake', 9)", "lake"), ("RIGHT('', 0)", ""),
    ("RIGHT(TRUE, 1)", "e"),
    ("SUBSTRING('lake', 1)", "lake"), ("SUBSTRING('lake', 4)", "e"), ("SUBSTRING('lake', -4)", "lake"),
    ("SUBSTRING('lake', -1)", "e"),
    ("SUBSTRING('lake', 0)", ""), ("SUBSTRING('', 0)", ""), ("SUBSTRING('lake', 2, 2)", "ak"),
    ("SUBSTRING('lake', -3, 2)", "ak"),
    ("SUBSTRING('lake', 2, 0)", ""), ("SUBSTRING('lake', 2, 99)", "ake"), ("SUBSTRING('lake', 0, 3)", ""),
    ("SUBSTRING(123456, '2', TRUE)", "2"),
    # 3.5.2 and the casts as functions
    ("ABS(10)", 10), ("ABS(-10)", 10), ("ABS(0)", 0), ("ABS('-3')", 3), ("ABS(TRUE)", 1), ("ABS(2147483647)", 2**31 - 1),
    ("INT('1')", 1), ("INT('-1')", -1), ("INT('+1')", 1), ("INT('0042')", 42), ("INT(TRUE)", 1), ("INT(FALSE)", 0),
    ("INT(9)", 9),
    ("INT('-2147483648')", -(2**31)), ("BOOL('TrUe')", True), ("BOOL('false')", False), ("BOOL(0)", False), ("BOOL(-50)", True),
    ("BOOL(TRUE)", True), ("STRING(TRUE)", "true"), ("STRING(FALSE)", "false"), ("STRING(-1)", "-1"), ("STRING('a')", "a"),
    ("STRING(007)", "7"), ("IS_INT('12')", True), ("IS_INT('1.5')", False), ("IS_INT('')", False), ("IS_INT(TRUE)", True),
    ("IS_INT('2147483648')", False), ("IS_BOOL('TRUE')", True), ("IS_BOOL('yes')", False), ("IS_BOOL(1)", True),
    ("int(hop) < int(ttl) and int(hop) < 1000", True), ("LENGTH (word)", 4),
    # 5 examples
    ("firstname = 'Francesco' OR subject = 'Francesco'", True),
    ("(firstname = 'Francesco' AND lastname = 'Guardiani') OR subject = 'Francesco Guardiani'", True),
]  # fmt: skip

ERRORS = [
    # 3.4.2 arithmetic: the value is 0
    ("5 / 0", 0, "math"), ("5 % 0", 0, "math"), ("0 / 0", 0, "math"), ("5 / zero", 0, "math"), ("5 / FALSE", 0, "math"),
    ("2147483647 + 1", 0, "math"), ("-2147483648 - 1", 0, "math"), ("65536 * 65536", 0, "math"),
    ("-2147483648 / -1", 0, "math"),
    ("-lowest", 0, "math"), ("--2147483648", 0, "math"), ("ABS(lowest)", 2**31 - 1, "math"),
    ("(ABS(-2147483648))", 2**31 - 1, "math"),
    # 3.7 casts: the zero value of what the operation gives
    ("'x' + 1", 0, "cast"), ("1 + 'x'", 0, "cast"), ("'' + 1", 0, "cast"), ("'1.5' * 2", 0, "cast"), ("' 1' * 2", 0, "cast"),
    ("'2147483648' - 1", 0, "cast"), ("'99999999999999999999' - 1", 0, "cast"), ("'٣' + 1", 0, "cast"),
    ("'--1' + 1", 0, "cast"),
    ("-'x'", 0, "cast"), ("NOT 'x'", False, "cast"), ("NOT ''", False, "cast"), ("'x' < 1", False, "cast"),
    ("1 >= 'x'", False, "cast"),
    ("'x' = 1", False, "cast"), ("'x' != 1", False, "cast"), ("'x' = TRUE", False, "cast"), ("'1' = TRUE", False, "cast"),
    ("word = count", False, "cast"), ("'x' AND TRUE", False, "cast"), ("TRUE AND 'x'", False, "cast"),
    ("FALSE OR 'x'", False, "cast"),
    ("TRUE XOR 'x'", False, "cast"), ("1 IN ('x', 1)", False, "cast"), ("TRUE IN ('x')", False, "cast"),
    ("1 NOT IN ('x')", False, "cast"),
    ("INT('ABC')", 0, "cast"), ("BOOL('ABC')", False, "cast"), ("BOOL('')", False, "cast"), ("LEFT('abc', 'x')", "", "cast"),
    ("ABS('x')", 0, "cast"), ("NOT word LIKE 'L%'", False, "cast"),
    # 3.2 missing attributes: the zero value of the subexpression, and of all around it
    ("missing", False, "missingAttribute"), ("(missing)", False, "missingAttribute"),
    ("missing = 2", False, "missingAttribute"),
    ("missing != 2", False, "missingAttribute"), ("missing <> 2", False, "missingAttribute"),
    ("2 = missing", False, "missingAttribute"),
    ("missing = missing", False, "missingAttribute"), ("missing <= 2", False, "missingAttribute"),
    ("missing * 5", 0, "missingAttribute"),
    ("1 / missing", 0, "missingAttribute"), ("missing / 0", 0, "missingAttribute"), ("-missing", 0, "missingAttribute"),
    ("NOT missing", False, "missingAttribute"), ("missing LIKE '%'", False, "missingAttribute"),
    ("missing NOT LIKE '%'", False, "missingAttribute"), ("missing IN (1)", False, "missingAttribute"),
    ("missing NOT IN (1)", False, "missingAttribute"), ("1 IN (2, missing)", False, "missingAttribute"),
    ("TRUE AND (missing = '')", False, "missingAttribute"), ("true AND (missingAttribute = \"\")", False, "missingAttribute"),
    ("missing OR TRUE", False, "missingAttribute"), ("TRUE XOR missing", False, "missingAttribute"),
    ("LENGTH(missing)", 0, "missingAttribute"), ("UPPER(missing)", "", "missingAttribute"),
    ("BOOL(missing)", False, "missingAttribute"),
    ("CONCAT('a', missing)", "", "missingAttribute"), ("data", False, "missingAttribute"),
    ("LEFT(missing, -1)", "", "missingAttribute"),
    ("NOT (missing = 1)", False, "missingAttribute"), ("LENGTH(missing) = 0", False, "missingAttribute"),
    ("TRUE AND TRUE AND missing", False, "missingAttribute"), ("FALSE OR FALSE OR missing", False, "missingAttribute"),
    # 3.5 functions
    ("NOSUCH()", False, "missingFunction"), ("NOSUCH(1, 'a')", False, "missingFunction"),
    ("nosuch(missing)", False, "missingFunction"),
    ("LENGTH()", False, "missingFunction"), ("LENGTH('a', 'b')", False, "missingFunction"),
    ("CONCAT_WS()", False, "missingFunction"),
    ("SUBSTRING('a')", False, "missingFunction"), ("SUBSTRING('a', 1, 1, 1)", False, "missingFunction"),
    ("LEFT('a')", False, "missingFunction"),
    ("NOSUCH() = 1", False, "missingFunction"), ("NOSUCH() + 1", 0, "missingFunction"),
    ("UPPER(NOSUCH())", "", "missingFunction"),
    ("LEFT('abc', -2)", "abc", "functionEvaluation"), ("RIGHT('abc', -2)", "abc", "functionEvaluation"),
    ("(LEFT('abc', -2))", "abc", "functionEvaluation"), ("UPPER(LEFT('abc', -2))", "", "functionEvaluation"),
    ("LEFT('abc', -2) = 'abc'", False, "functionEvaluation"), ("LEFT(RIGHT('abc', -1), 1)", "", "functionEvaluation"),
    ("SUBSTRING('abc', 4)", "", "functionEvaluation"), ("SUBSTRING('abc', -4)", "", "functionEvaluation"),
    ("SUBSTRING('', 1)", "", "functionEvaluation"), ("SUBSTRING('abc', 1, -1)", "", "functionEvaluation"),
    ("SUBSTRING('abc', 4, 1)", "", "functionEvaluation"), ("SUBSTRING('abc', -4, 1)", "", "functionEvaluation"),
    # the first error ends it
    ("TRUE AND (1 != 1 / 0)", False, "math"), ("FALSE OR (1 != 1 / 0)", False, "math"), ("(1 / 0) + 5", 0, "math"),
    ("1 / 0 + missing", 0, "math"), ("missing + 1 / 0", 0, "missingAttribute"), ("'x' + 1 / 0", 0, "cast"),
    ("CONCAT(1 / 0)", "", "math"), ("1 IN (1 / 0, 1)", False, "math"),
]  # fmt: skip

#: What is wrong, and where: counted from 0.
PARSE_ERRORS = [
    ("", 0), ("   ", 3), ("(", 1), (")", 0), ("()", 1), ("(1", 2), ("1)", 1), ("((1)", 4), ("1 2", 2), ("id source", 3),
    ("'a' 'b'", 4),
    ("'abc", 0), ('  "abc', 2), ("'abc\"", 0), (r"'abc\'", 0), ("'it''s'", 4), ("a.b", 1), ("a & b", 2), ("1 == 1", 3),
    ("1 =! 2", 3),
    ("é", 0), ("1 +", 3), ("* 2", 0), ("1 * / 2", 4), ("1 AND", 5), ("AND TRUE", 0), ("TRUE AND OR FALSE", 9), ("TRUE NOT", 8),
    ("1 NOT = 2", 6), ("NOT", 3), ("-", 1), ("+id", 1), ("+'1'", 1), ("+ 1", 2), ("+-1", 1), ("2147483648", 0),
    ("-2147483649", 0),
    ("- 2147483648", 2), ("+2147483648", 0), ("99999999999999999999", 0), ("1 + 2147483648", 4), ("1.5", 1), ("'a' LIKE", 8),
    ("'a' LIKE id", 9), ("'1' LIKE 123", 9), ("'a' LIKE ('a')", 9), ("'a' LIKE TRUE", 9), ("'a' LIKE UPPER('a')", 9),
    ("LIKE 'a'", 0),
    ("EXISTS", 6), ("EXISTS 'id'", 7), ("EXISTS (id)", 7), ("EXISTS TRUE", 7), ("EXISTS my_ext", 7), ("1 IN", 4), ("1 IN 1", 5),
    ("1 IN ()", 6), ("1 IN (1,)", 8), ("1 IN (1 2)", 8), ("IN (1)", 0), ("LENGTH(", 7), ("LENGTH('a'", 10),
    ("CONCAT('a',)", 11),
    ("CONCAT(,)", 7), ("my_ext = 1", 0), ("_X()", 0), ("X1(1)", 0), ("2X(1)", 0), ("TRUE()", 4), ("'f'()", 3),
    ("f(1)(2)", 4), ("id;", 2),
    ("id # comment", 3), ("a\u00a0= 1", 1),
]  # fmt: skip


@pytest.mark.parametrize(("text", "value"), VALUES, ids=lambda case: repr(case))
def test_value(text, value):
    result = compile(text).evaluate(EVENT)
    assert result.error is None
    assert (type(result.value), result.value) == (type(value), value)


@pytest.mark.parametrize(("text", "value", "kind"), ERRORS, ids=lambda case: repr(case))
def test_value_and_error(text, value, kind):
    expression = compile(text)
    result = expression.evaluate(EVENT)
    assert result.error is not None
    assert (result.error.kind, type(result.value), result.value) == (kind, type(value), value)
    assert not expression.matches(EVENT), "an event with an error passes no filter"


@pytest.mark.parametrize(("text", "position"), PARSE_ERRORS, ids=lambda case: repr(case))
def test_parse_error(text, position):
    with pytest.raises(ParseError) as caught:
        compile(text)
    assert (caught.value.kind, caught.value.position) == ("parse", position)
    assert f"at character {position + 1} of the expression" in str(caught.value)
