"""Garbage of any kind is a BadEvent, never another error; and every legal event survives every mode."""

import random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from events.attributes import CORE
from events.codec import decode, encode_batch, encode_binary, encode_structured, from_json, to_json
from events.errors import BadEvent
from events.event import NULL, Event
from events.ingress import read

legal_characters = st.characters(min_codepoint=0x20, exclude_characters="\x7f", exclude_categories=("Cc", "Cs", "Cn"))
texts = st.text(legal_characters, max_size=20)
names = st.from_regex(r"[a-z0-9]{1,20}", fullmatch=True).filter(lambda name: name != "data" and name not in CORE)
values = texts | st.booleans() | st.integers(-(2**31), 2**31 - 1)
leaves = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts
documents = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4)
)
data = st.one_of(
    documents.map(lambda value: ("application/json", NULL if value is None else value)),
    documents.map(lambda value: (None, NULL if value is None else value)),
    texts.map(lambda value: ("text/plain; charset=utf-8", value)),
    texts.map(lambda value: ("application/xml", value)),
    st.binary().map(lambda value: ("application/octet-stream", value)),
    documents.map(lambda value: ("application/json", msgspec.json.encode(value))),
    st.binary().map(lambda value: (None, value)),
    st.just(("text/plain", None)),
    st.just((None, None)),
)


@st.composite
def events(draw):
    content_type, content = draw(data)
    return Event(
        id=draw(texts.filter(bool)),
        source=draw(st.sampled_from(["/s", "urn:x:1", "https://example.com/a?b#c", "ceph:s3..b%C3%BC"])),
        type=draw(texts.filter(bool)),
        subject=draw(st.none() | texts.filter(bool)),
        time=draw(st.none() | st.datetimes().map(lambda time: time.isoformat() + "Z")),
        datacontenttype=content_type,
        extensions=draw(st.dictionaries(names, values, max_size=4)),
        data=content,
    )


@given(events())
def test_json_gives_every_event_back_exactly(event):
    again = from_json(to_json(event))
    assert again == event
    assert type(again.data) is type(event.data)
    assert {name: type(value) for name, value in again.extensions.items()} == {
        name: type(value) for name, value in event.extensions.items()
    }


@given(st.lists(events(), max_size=3))
def test_batches_give_every_event_back_exactly(batch):
    assert decode(*encode_batch(batch)) == batch


@given(events())
def test_binary_mode_gives_every_event_back(event):
    (again,) = decode(*encode_binary(event))
    for name in ("id", "source", "type", "subject", "time"):
        assert getattr(again, name) == getattr(event, name)
    text = {name: value if isinstance(value, str) else str(value).lower() for name, value in event.extensions.items()}
    assert again.extensions == text
    assert encode_binary(again)[1] == encode_binary(event)[1]


@given(
    st.lists(st.tuples(st.sampled_from([b"ce-id", b"ce-type", b"ce-source", b"ce-x", b"content-type"]), st.binary())),
    st.binary(),
)
def test_random_headers_and_bodies(headers, body):
    for reader in (decode, read):
        try:
            reader([(b"ce-specversion", b"1.0"), *headers], body)
        except BadEvent as error:
            assert str(error)  # noqa: PT017 (either outcome is right; only another exception is wrong)


@given(documents, st.sampled_from(["", "+json", "-batch+json"]))
def test_random_json(document, form):
    body = to_json(Event(id="1", source="/s", type="t", data=NULL if document is None else document))
    for payload in (body, b"[" + body + b"]", body.replace(b'"data"', b'"Records"'), body.replace(b'"id"', b'"s3"')):
        try:
            read([(b"content-type", b"application/cloudevents" + form.encode() if form else b"application/json")], payload)
        except BadEvent as error:
            assert str(error)  # noqa: PT017


SEEDS = [
    encode_structured(Event(id="1", source="/s", type="t", time="2018-04-05T17:31:00Z", data={"a": ["ü", 1.5, None]})),
    encode_binary(Event(id="1", source="/s", type="t", subject="ü", data={"a": 1}, extensions={"n": 5})),
]


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("original", SEEDS)
def test_mutated_messages(original, seed):
    chance = random.Random(seed)
    headers, body = original
    for _ in range(200):
        mutant = bytearray(body)
        for _ in range(chance.randint(1, 6)):
            position = chance.randrange(len(mutant) + 1)
            mutant[position : position + chance.randint(0, 3)] = chance.choice(
                [b"", b"\x00", b"\xff", b'"', b"{", b"]", b"\\u", b"\\ud800", b"1e999", b"null", b"\xc3", chance.randbytes(3)]
            )
        mixed = [(name, chance.choice([value, value[:-1], value + b"%C0", chance.randbytes(4)])) for name, value in headers]
        for pairs in (headers, mixed):
            try:
                read(pairs, bytes(mutant))
            except BadEvent as error:
                assert str(error)  # noqa: PT017


@pytest.mark.parametrize("nested", [b"[" * 100_000, b'{"a":' * 100_000, b'{"a":[' * 600 + b"]}" * 600])
def test_bottomless_nesting(nested):
    for headers in ([(b"content-type", b"application/cloudevents+json")], [(b"content-type", b"application/json")], []):
        with pytest.raises(BadEvent):
            read(headers, nested)


@pytest.mark.parametrize("levels", [400, 499, 500, 501, 502, 700, 900])
def test_what_is_accepted_can_be_kept_and_read_with_less_stack(levels):
    headers, _ = encode_binary(Event(id="1", source="/s", type="t", data=[]))

    def deeper(frames):
        if frames:
            return deeper(frames - 1)
        return from_json(to_json(event))

    try:
        (event,) = decode(headers, b"[" * levels + b"]" * levels)
    except BadEvent:
        assert levels > 500
    else:
        assert levels <= 500
        assert deeper(200) == event


def test_huge_values_are_told_briefly():
    body = b'{"specversion":"1.0","id":"1","type":"t","source":"' + b"x y" * 1_000_000 + b'"}'
    with pytest.raises(BadEvent) as caught:
        read([(b"content-type", b"application/cloudevents+json")], body)
    assert len(str(caught.value)) < 1000
