"""Batches of the Redis log: ended as one where all goes well, each by itself where not; and nothing is read without a lease."""

from __future__ import annotations

from functools import partial

import pytest
import redis

from events.errors import Retry
from events.event import Event
from infra.delivery.order import shard_of
from infra.log.log import Job
from infra.profiles.redis import RedisProfiles
from tests.conftest import eventually
from tests.contract import redis_log_workers as shared
from tests.contract.redis_log_workers import lake, settled

pytestmark = pytest.mark.server
functions = shared.functions  # fixtures


def noted(number: int, subject: str) -> Event:
    return Event(id=str(number), source="/t", type="test.poison", subject=subject, data="live")


def note(event: Event, unit) -> list[Event]:
    """Under the event's subject: the ids it has had, in their order."""
    profiles = RedisProfiles(unit.documents)
    known = profiles.get(str(event.subject)) or {"ids": []}
    profiles.put(str(event.subject), {"ids": [*known["ids"], event.id]})
    return [event.reply({}, type="test.noted", subject=event.id)]


def jobs_of(made, count: int) -> list[Job]:
    made.log.lease(5)
    eventually(lambda: len(made.log.ready(100, lambda _: True)) == count)
    return [Job(each, partial(note, each.event)) for each in made.log.ready(100, lambda _: True)]


def pending(made, client) -> int:
    return sum(client.xpending(made.log._server.key("shard", shard), "workers")["pending"] for shard in range(64))


def told(made) -> list[str]:
    return sorted(str(event.subject) for _, _, event in made.log.tail(0, 100, "test.noted"))


def test_what_a_batch_changed_often_is_written_once_as_it_was_last(tmp_path, redis_server):
    with lake(tmp_path / "data", redis_server.url) as made, redis.Redis.from_url(redis_server.url) as client:
        made.append([noted(n, f"s{n % 3}") for n in range(30)]).result()
        jobs = jobs_of(made, 30)
        client.config_resetstat()
        made.log.settle(jobs, lambda *_: pytest.fail("none fails"))
        used = client.info("commandstats")
        assert used["cmdstat_hset"]["calls"] == 1
        assert used["cmdstat_xack"]["calls"] <= 3
        assert made.profiles() == {f"s{s}": {"ids": [str(n) for n in range(s, 30, 3)]} for s in range(3)}
        assert told(made) == sorted(map(str, range(30)))
        assert (made.log.counts()["waiting"], pending(made, client)) == (0, 0)
        assert client.object("encoding", made.log._server.key("table", "profile")) == b"hashtable"


def test_one_that_was_settled_before_has_no_second_effect_and_its_neighbours_have_theirs(tmp_path, redis_server, monkeypatch):
    with lake(tmp_path / "data", redis_server.url) as made, redis.Redis.from_url(redis_server.url) as client:
        made.append([noted(n, f"s{n % 4}") for n in range(12)]).result()
        jobs = jobs_of(made, 12)
        submit = made.log._settlements._submit

        def answer_lost(stamp, items):
            submit(stamp, items)
            raise Retry("gone")

        done = [job for job in jobs if job.delivery.event.subject == "s1"][:1]
        with monkeypatch.context() as patch:
            patch.setattr(made.log._settlements, "_submit", answer_lost)
            with pytest.raises(Retry):
                made.log.settle(done, lambda *_: pytest.fail("none fails"))
        made.log.settle(jobs, lambda *_: pytest.fail("none fails"))
        while again := [Job(each, partial(note, each.event)) for each in made.log.ready(100, lambda _: True)]:
            made.log.settle(again, lambda *_: pytest.fail("none fails"))
        assert made.profiles() == {f"s{s}": {"ids": [str(n) for n in range(s, 12, 4)]} for s in range(4)}
        assert told(made) == sorted(map(str, range(12)))
        assert (made.log.counts()["waiting"], pending(made, client)) == (0, 0)


def test_a_document_that_another_has_changed_holds_up_its_own_lane_only(tmp_path, redis_server):
    with lake(tmp_path / "data", redis_server.url) as made, redis.Redis.from_url(redis_server.url) as client:
        made.append([noted(1, "s1"), noted(2, "s2")]).result()
        made.log.settle(jobs_of(made, 2), lambda *_: pytest.fail("none fails"))
        made.append([noted(3, "s1"), noted(4, "s2")]).result()
        jobs = jobs_of(made, 2)
        client.hset(made.log._server.key("table", "profile"), "s1", b'other\n{"ids":["theirs"]}')
        made.log.settle(jobs, lambda *_: pytest.fail("none fails"))
        assert made.profiles() == {"s1": {"ids": ["theirs"]}, "s2": {"ids": ["2", "4"]}}
        (left,) = jobs_of(made, 1)
        made.log.settle([left], lambda *_: pytest.fail("none fails"))
        assert made.profiles()["s1"] == {"ids": ["theirs", "3"]}
        assert settled(made)


def test_who_has_lost_a_shard_reads_nothing_of_it(tmp_path, redis_server):
    with lake(tmp_path / "data", redis_server.url) as made, redis.Redis.from_url(redis_server.url) as client:
        made.log.lease(5)
        eventually(lambda: made.log.ready(10, lambda _: True) == [] and not made.log._hand._recovering)
        event = noted(1, "s1")
        lease = made.log._server.key("lease", shard_of(event.partition))
        client.set(lease, "another")
        made.append([event]).result()
        for _ in range(3):
            assert made.log.ready(10, lambda _: True) == []
        assert pending(made, client) == 0
        client.delete(lease)
        made.log.lease(5)
        eventually(lambda: made.log.ready(10, lambda _: True))
