"""The Event: identity, order, typed data, and replies whose ids a replay repeats."""

from __future__ import annotations

import copy
import pickle

import msgspec
import pytest

from events.errors import BadEvent, Reject
from events.event import Event, restamp
from events.types import TYPES, ModelPublished, S3Record

CAUSE = Event(id="1", source="/s", type="t", subject="a/b", extensions={"partitionkey": "p", "traceparent": "00-1-2-01"})


def reply_data() -> ModelPublished:
    return ModelPublished(repository="r", name="n", version=1, bucket="b", key="k", etag="e", digest="d", size=1)


@pytest.mark.parametrize("name", ["id", "source", "type"])
def test_required_attributes_must_not_be_empty(name):
    with pytest.raises(BadEvent, match=name):
        Event(**{**{"id": "1", "source": "s", "type": "t"}, name: ""})  # type: ignore[arg-type]


def test_an_event_is_immutable_and_travels_between_processes():
    with pytest.raises(AttributeError):
        CAUSE.id = "2"  # type: ignore[misc]
    assert pickle.loads(pickle.dumps(CAUSE)) == CAUSE == copy.deepcopy(CAUSE)


def test_the_key_tells_apart_what_a_batch_delete_does_not():
    other = msgspec.structs.replace(CAUSE, subject="a/c")
    assert other.key != CAUSE.key
    assert msgspec.structs.replace(CAUSE, time="2026-01-01T00:00:00Z").key == CAUSE.key


def test_the_key_does_not_mix_up_neighbouring_attributes():
    assert Event(id="1", source="ab", type="t", subject="c").key != Event(id="1", source="a", type="t", subject="bc").key


def test_partition_is_the_key_given_else_the_subject_else_the_event():
    assert CAUSE.partition == "p"
    plain = Event(id="1", source="/s", type="t", subject="x")
    assert plain.partition == Event(id="2", source="/s", type="u", subject="x").partition
    assert Event(id="1", source="/s", type="t").partition != Event(id="2", source="/s", type="t").partition


def test_replies_repeat_their_ids_and_differ_by_function_and_ordinal():
    first = restamp(CAUSE.reply(reply_data()), CAUSE, "f", 0)
    again = restamp(CAUSE.reply(reply_data()), CAUSE, "f", 0)
    assert first.id == again.id
    assert len({first.id, restamp(first, CAUSE, "f", 1).id, restamp(first, CAUSE, "g", 0).id}) == 3


def test_replies_inherit_partition_and_trace_and_name_their_cause():
    reply = CAUSE.reply(reply_data())
    assert reply.type == "dev.sluice.model.published.v1"
    assert reply.extensions == {
        "partitionkey": "p", "traceparent": "00-1-2-01", "causationid": "1", "correlationid": "1", "recordedtime": reply.time,
    }  # fmt: skip
    assert reply.reply({"x": 1}, type="u").extensions["correlationid"] == "1"
    assert reply.read(ModelPublished) == reply_data()


def test_the_state_of_a_trace_goes_along_with_it():
    cause = msgspec.structs.replace(CAUSE, extensions={"traceparent": "00-1-2-01", "tracestate": "a=1"})
    assert cause.reply(reply_data()).extensions["tracestate"] == "a=1"


def test_replies_stand_where_their_cause_does_and_in_their_own_order():
    """CloudEvents extension "sequence": the values of one source compare as text."""
    causes = [msgspec.structs.replace(CAUSE, id=place, extensions={"sequence": place}) for place in ("09", "0A", "0B")]
    told = [restamp(cause.reply(reply_data()), cause, "f", n).extensions["sequence"] for cause in causes for n in range(12)]
    assert told[0] == "09"
    assert told == sorted(set(told))
    counted = msgspec.structs.replace(CAUSE, extensions={"sequence": "7", "sequencetype": "Integer"})
    assert not {"sequence", "sequencetype"} & counted.reply(reply_data()).extensions.keys()
    own = msgspec.structs.replace(causes[0].reply(reply_data()), extensions={"sequence": "mine"})
    assert restamp(own, causes[0], "f", 1).extensions == {"sequence": "mine"}


def test_a_reply_of_unknown_type_is_refused():
    with pytest.raises(TypeError, match="type="):
        CAUSE.reply({"x": 1})


def test_data_that_do_not_fit_are_rejected_with_their_path():
    event = msgspec.structs.replace(CAUSE, data={"eventName": "x", "eventTime": "y", "s3": {"bucket": {"name": 5}}})
    with pytest.raises(Reject, match=r"s3\.bucket\.name"):
        event.read(S3Record)


def test_every_type_name_is_ours_and_versioned():
    assert all(name.startswith("dev.sluice.") and name.rsplit(".", 1)[1].startswith("v") for name in TYPES)
