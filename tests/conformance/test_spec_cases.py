"""Cases taken from the text of the specification, CloudEvents 1.0.2: what must be read, and what must be refused."""

import pytest

from events.codec import decode, encode_binary, encode_structured
from events.errors import BadEvent
from events.event import NULL, Event
from tests.conformance.cases import CORE, binary, structured

# Header values (binding, 3.1.3.2)


@pytest.mark.parametrize(
    ("header", "value"),
    [
        (b"Euro%20%E2%82%AC%20%F0%9F%98%80", "Euro € 😀"),
        (b"euro%20%e2%82%ac", "euro €"),
        (b"%41BC", "ABC"),
        (b'"a quoted \\"value\\" with \\\\"', 'a quoted "value" with \\'),
        (b'"50%25 off"', "50% off"),
        (b'"%22"', '"'),
        (b"%2525", "%25"),
        (b"a b", "a b"),
        (b"100%", "100%"),
        (b"a+b", "a+b"),
        ("grün".encode(), "grün"),
    ],
)
def test_header_values_are_unquoted_and_decoded_once(header, value):
    assert binary(raw=[("ce-subject", header)]).subject == value


@pytest.mark.parametrize(
    "header", [b"%C0%A0", b"%ED%A0%80", b"%FF", b"\xff", b"%F4%90%80%80", b"a%00b", b"a%0Ab", b'"open', b""]
)
def test_header_values_that_are_refused(header):
    with pytest.raises(BadEvent, match="'subject'"):
        binary(raw=[("ce-subject", header)])


@pytest.mark.parametrize(
    ("value", "header"),
    [
        ("Euro € 😀", b"Euro%20%E2%82%AC%20%F0%9F%98%80"),
        ('a"b%c', b"a%22b%25c"),
        ("!#$&'()*+,-./:;<=>?@[\\]^_`{|}~", b"!#$&'()*+,-./:;<=>?@[\\]^_`{|}~"),
    ],
)
def test_only_what_must_be_encoded_is_encoded(value, header):
    headers, _ = encode_binary(Event(**CORE, subject=value))
    assert dict(headers)[b"ce-subject"] == header
    assert decode(headers, b"")[0].subject == value


def test_header_names_are_case_insensitive():
    headers = [(name.upper(), value) for name, value in encode_binary(Event(**CORE, data={"a": 1}))[0]]
    assert decode(headers, b'{"a":1}')[0].data == {"a": 1}


def test_the_content_type_is_the_only_place_of_the_datacontenttype():
    with pytest.raises(BadEvent, match="'datacontenttype'"):
        binary(b"{}", "application/json", datacontenttype="text/plain")
    headers, _ = encode_binary(Event(**CORE, datacontenttype="text/plain", data="x"))
    assert (b"content-type", b"text/plain") in headers
    assert b"ce-datacontenttype" not in dict(headers)


def test_booleans_and_integers_travel_as_text():
    headers, _ = encode_binary(Event(**CORE, extensions={"yes": True, "no": False, "count": -5}))
    assert (dict(headers)[b"ce-yes"], dict(headers)[b"ce-no"], dict(headers)[b"ce-count"]) == (b"true", b"false", b"-5")


@pytest.mark.parametrize("name", ["specversion", "id", "source", "type"])
def test_required_attributes(name):
    with pytest.raises(BadEvent, match=f"'{name}'"):
        binary(drop=name)
    with pytest.raises(BadEvent, match=f"'{name}'"):
        binary(**{name: ""})
    with pytest.raises(BadEvent, match=f"'{name}'"):
        structured(**{name: None})


@pytest.mark.parametrize("name", ["my-extension", "my_extension", "my.extension", "", "data", "gr\xfcn"])
def test_attribute_names_are_refused(name):
    with pytest.raises(BadEvent):
        binary(raw=[(b"ce-" + name.encode("latin-1"), b"x")])


def test_long_attribute_names_are_only_advised_against():
    assert binary(averylongextensionattributename="x").extensions == {"averylongextensionattributename": "x"}


def test_a_header_may_not_come_twice():
    with pytest.raises(BadEvent, match="'id'"):
        binary(raw=[("ce-id", b"2")])
    with pytest.raises(BadEvent, match="content-type"):
        binary(b"{}", "application/json", raw=[("content-type", b"text/plain")])


# Data


@pytest.mark.parametrize(
    ("content_type", "body", "data"),
    [
        ("application/json", b' {"a": [1, 2.5, null]} ', {"a": [1, 2.5, None]}),
        ("application/vnd.api+json; charset=UTF-8", b"5", 5),
        ("text/json", b"[]", []),
        ("application/json", b"null", NULL),
        ("application/json", b"", None),
        ("application/json", b'{"a": 1, "a": 2}', {"a": 2}),
        ("text/csv", "a;ü".encode(), "a;ü"),
        ('text/plain; charset="utf-8"', b"x", "x"),
        ("TEXT/PLAIN", b"x", "x"),
        ("application/octet-stream", b"\x00\xff", b"\x00\xff"),
        ("application/xml", b"<a/>", b"<a/>"),
        (None, b"{}", b"{}"),
        (None, b"", None),
    ],
)
def test_binary_data(content_type, body, data):
    event = binary(body, content_type)
    assert event.data == data
    assert event.datacontenttype == content_type


@pytest.mark.parametrize(
    "body", [b"{", b"NaN", b"Infinity", b'"\\ud800"', b'"\xff"', b"1e999", b"[" * 5000, b"{} {}", b"'a'", b" "]
)
def test_binary_json_that_is_none(body):
    with pytest.raises(BadEvent, match=r"JSON|character set"):
        binary(body, "application/json")


@pytest.mark.parametrize(
    ("content_type", "body", "data"),
    [
        ("text/plain; charset=iso-8859-1", "Zürich".encode("latin-1"), "Zürich"),
        ("text/csv; charset=windows-1252", "5 €".encode("cp1252"), "5 €"),
        ("application/json; charset=utf-16", '{"a": "ü"}'.encode("utf-16"), {"a": "ü"}),
        ("application/json; charset=utf-16be", '["\ud83d\ude00"]'.encode("utf-16be", "surrogatepass"), ["😀"]),
        ("text/plain; charset=utf-16", "x".encode("utf-16le"), b"x\x00"),  # no mark: it would not come back as it was
        ("text/plain; charset=ebcdic-klingon", b"\x81", b"\x81"),
        ("application/json; charset=zip", b"\x81", b"\x81"),
        ("text/plain; charset=unicode_escape", b"\\x41", b"\\x41"),
        ("text/plain; charset=windows-1252", b"\x81", b"\x81"),
    ],
)
def test_other_character_sets_are_read_or_kept_as_bytes(content_type, body, data):
    event = binary(body, content_type)
    assert (event.data, event.datacontenttype) == (data, content_type)
    again = decode(*encode_binary(event))[0]
    assert (again.data, again.datacontenttype) == (data, content_type)
    assert decode(*encode_structured(event))[0].data == data


def test_text_outside_its_character_set():
    with pytest.raises(BadEvent, match="character set"):
        binary(b"\xff", "text/plain")
    with pytest.raises(BadEvent, match="ascii"):
        binary("ü".encode(), "text/plain; charset=us-ascii")


@pytest.mark.parametrize(
    "content_type", ["json", "application/", "/json", "a/b; charset", "a b/c", "application/json, text/plain"]
)
def test_malformed_content_types(content_type):
    with pytest.raises(BadEvent, match="'datacontenttype'"):
        binary(b"x", content_type)


@pytest.mark.parametrize(
    ("members", "data"),
    [
        ({"data": {"a": 1}}, {"a": 1}),
        ({"data": "just a string"}, "just a string"),
        ({"data": '{"a": 1}', "datacontenttype": "application/json"}, '{"a": 1}'),
        ({"data": None}, NULL),
        ({"data": None, "datacontenttype": "application/json"}, NULL),
        ({}, None),
        ({"data_base64": "AP8="}, b"\x00\xff"),
        ({"data_base64": "AP8=", "datacontenttype": "image/png"}, b"\x00\xff"),
        ({"data_base64": ""}, b""),
        ({"data": "<a/>", "datacontenttype": "application/xml"}, "<a/>"),
        ({"data": "", "datacontenttype": "text/plain"}, ""),
    ],
)
def test_structured_data(members, data):
    event = structured(**members)
    assert event.data == data
    assert type(event.data) is type(data)
    assert decode(*encode_structured(event)) == [event]


@pytest.mark.parametrize(
    "members",
    [
        {"data": 1, "data_base64": "AP8="},
        {"data_base64": "AP8"},
        {"data_base64": "A-_="},
        {"data_base64": "AP 8="},
        {"data_base64": 5},
        {"data": {"a": 1}, "datacontenttype": "text/plain"},
        {"data": 5, "datacontenttype": "application/xml"},
    ],
)
def test_structured_data_that_is_refused(members):
    with pytest.raises(BadEvent, match="'data"):
        structured(**members)


def test_implied_json_is_made_explicit_in_binary_mode():
    headers, body = encode_binary(structured(data="text"))
    assert dict(headers)[b"content-type"] == b"application/json"
    assert body == b'"text"'


# Attributes


@pytest.mark.parametrize("value", [1.5, 1.0, 2**31, -(2**31) - 1, [], {}, 1e300])
def test_extension_values_that_are_refused(value):
    with pytest.raises(BadEvent, match="'ext'"):
        structured(ext=value)


@pytest.mark.parametrize("value", [2**31 - 1, -(2**31), 0, True, False, "", "x" * 5000, "😀"])
def test_extension_values(value):
    event = structured(ext=value)
    assert event.extensions == {"ext": value}
    assert type(event.extensions["ext"]) is type(value)


@pytest.mark.parametrize("value", ["a\nb", "\x7f", "\x85", "\ufdd0", "\uffff", "\U0001fffe", "\x00"])
def test_characters_no_string_may_hold(value):
    with pytest.raises(BadEvent, match=f"'ext'.*U\\+{ord(value.strip('ab')):04X}"):
        structured(ext=value)


@pytest.mark.parametrize(
    "time",
    [
        "1985-04-12T23:20:50.52Z",
        "1996-12-19T16:39:57-08:00",
        "1990-12-31T23:59:60Z",
        "1990-12-31T15:59:60-08:00",
        "1937-01-01T12:00:27.87+00:20",
        "2018-04-05t17:31:00z",
        "2024-02-29T00:00:00Z",
        "2000-02-29T00:00:00.123456789Z",
        "2018-04-05T17:31:00-00:00",
        "9999-12-31T23:59:59Z",
    ],
)
def test_times(time):
    event = structured(time=time)
    assert event.time == time
    assert event.moment.tzinfo is not None
    assert binary(time=time) == event


@pytest.mark.parametrize(
    "time",
    [
        "",
        "2018-04-05",
        "2018-04-05T17:31:00",
        "2018-04-05 17:31:00Z",
        "2018-4-5T17:31:00Z",
        "2018-13-05T17:31:00Z",
        "2018-02-29T17:31:00Z",
        "1900-02-29T17:31:00Z",
        "2018-04-31T17:31:00Z",
        "2018-04-00T17:31:00Z",
        "2018-04-05T24:00:00Z",
        "2018-04-05T17:60:00Z",
        "2018-04-05T17:31:61Z",
        "2018-04-05T17:31:60Z",
        "1990-12-31T23:59:60-08:00",
        "2018-04-05T17:31:00.Z",
        "2018-04-05T17:31:00,5Z",
        "2018-04-05T17:31:00+0100",
        "20180405T173100Z",
        "٢٠١٨-04-05T17:31:00Z",
        "0000-01-01T00:00:00Z",
    ],
)
def test_times_that_are_refused(time):
    with pytest.raises(BadEvent, match="'time'"):
        structured(time=time)


@pytest.mark.parametrize(
    "source",
    [
        "https://github.com/cloudevents",
        "mailto:cncf-wg-serverless@lists.cncf.io",
        "urn:uuid:6e8bc430-9c3a-11d9-9669-0800200c9a66",
        "/sensors/tn-1234567/alerts",
        "1-555-123-4567",
        "//host/path?query=1#fragment",
        "#fragment",
        "?q",
        "http://[::1]:8080/x",
        "aws:s3.us-east-1.bucket",
        "/a%20b",
    ],
)
def test_sources(source):
    assert structured(source=source).source == source


@pytest.mark.parametrize(
    "source", ["a b", "/ü", "<x>", "/a%2", "1a:b", "a#b#c", "/{id}", 'x"y', "back\\slash", "/a|b", "http://[::1"]
)
def test_sources_that_are_no_uri_reference(source):
    with pytest.raises(BadEvent, match="'source'"):
        structured(source=source)


@pytest.mark.parametrize("schema", ["/relative", "no scheme", "#x", "schema.json"])
def test_a_dataschema_is_an_absolute_uri(schema):
    assert structured(dataschema="https://example.com/schema#/definitions/a").dataschema
    with pytest.raises(BadEvent, match="'dataschema'"):
        structured(dataschema=schema)
