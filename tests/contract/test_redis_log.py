"""The Redis log with several processes, and with a server or worker that dies: nothing lost, nothing doubled, in order."""

from __future__ import annotations

import random
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial

import msgspec
import pytest
import redis

from events.errors import Retry
from events.event import Event
from infra.config import ConfigError
from infra.delivery import outbox
from infra.log.log import Failure, Job
from infra.log.redis_hand import Hand, InHand
from infra.log.redis_server import RedisServer
from tests.conftest import eventually
from tests.contract import redis_log_workers as shared
from tests.contract.redis_log_workers import (
    DUPLICATES,
    EVENTS,
    KILLS,
    lake,
    progress,
    settled,
    work,
)

pytestmark = pytest.mark.server
catalog, functions, workers = shared.catalog, shared.functions, shared.workers  # fixtures


@pytest.mark.timeout(240)
def test_workers_killed_in_mid_work_lose_nothing_and_double_nothing(tmp_path, redis_server, catalog, workers):
    generator = random.Random(7)
    with lake(tmp_path / "data", redis_server.url, catalog) as sender:
        workers.start()
        workers.start()
        events = [work(number) for number in range(EVENTS)]
        new = 0
        for part in range(KILLS + 1):
            size = EVENTS // (KILLS + 1)
            new += sender.append(events[part * size : (part + 1) * size]).result()
            again = generator.sample(events[: (part + 1) * size], DUPLICATES // (KILLS + 1))
            new += sender.append(again).result()
            if part < KILLS:
                waiting = sender.log.counts()["waiting"]
                eventually(partial(progress, sender, waiting), what="the workers to be in mid-work")
                workers.kill(generator.randrange(2))
                workers.start()
        assert new == EVENTS
        eventually(lambda: settled(sender), 120, "the workers to finish")
        effects = sender.profiles()
        assert sum(len(found["ids"]) for found in effects.values()) == EVENTS
        for subject, found in effects.items():  # once each, and in the order of the subject
            assert found["ids"] == [event.id for event in events if event.subject == subject]
        with sender.database() as database:
            sizes = database.rows("SELECT bytes AS size, count(*) AS n FROM data_object GROUP BY bytes")
        assert [(row["size"], row["n"]) for row in sizes] == [(1, EVENTS)]
        told = Counter(event.type for _, _, event in sender.log.tail(0, 10 * EVENTS))
        assert told == {"test.count": EVENTS, "test.counted": EVENTS, "test.entered": EVENTS}
        assert sender.log.counts()["dead"] == 0


@pytest.mark.timeout(120)
@pytest.mark.parametrize("log", ["redis", "sqlite"])
def test_an_event_that_kills_its_workers_becomes_a_dead_letter_and_its_neighbours_do_not(tmp_path, redis_server, workers, log):
    workers.url = redis_server.url if log == "redis" else ""

    def event(id: str, data: str) -> Event:
        return Event(id=id, source="/t", type="test.poison", subject=f"p{id}", data=data)

    with lake(tmp_path / "data", workers.url) as sender:
        sender.append([event(str(n), "live") for n in range(20)] + [event("die", "die")]).result()
        sender.append([event(str(n), "live") for n in range(20, 40)]).result()

        def ended() -> bool:
            if not workers.running or workers.running[-1].poll() is not None:
                workers.start()
            return settled(sender)

        eventually(ended, 90, "the poison to be given up")
        letters = sender.log.dead_letters()
        assert [letter.event.id for letter in letters if letter.event] == ["die"]
        assert "died" in letters[0].cause
        assert sender.profiles() == {str(n): {"ids": [str(n)]} for n in range(40)}


@pytest.mark.timeout(120)
@pytest.mark.parametrize("seed", range(3))
def test_answers_that_never_come_lose_nothing_and_keep_the_order(tmp_path, redis_server, monkeypatch, seed):
    """The server does what the worker asks, and answers are lost. No lease ends, so nobody else makes up for it."""
    choose, lost = random.Random(seed), Counter[str]()
    often = {"lease": 0.1, "XREADGROUP": 0.3, "settle": 0.3, "XCLAIM": 0.3}
    whole, whole_if = RedisServer.run, RedisServer.run_if

    def lossy(answer, name):
        first = name in often and not lost[name]  # a busy machine may need only a few of some
        if threading.current_thread().name == "worker" and (first or choose.random() < often.get(name, 0.01)):
            lost[name] += 1
            raise Retry("the answer was lost")
        return answer

    def run(self, *command):
        return lossy(whole(self, *command), command[4] if command[0] == "EVALSHA" else command[0])

    def run_if(self, keys, wanted, *command):
        return lossy(whole_if(self, keys, wanted, *command), command[0])

    monkeypatch.setattr(RedisServer, "run", run)
    monkeypatch.setattr(RedisServer, "run_if", run_if)
    monkeypatch.setattr("infra.runtime.worker.PAUSE_SECONDS", 0.01)
    monkeypatch.setattr("infra.log.redis.VISIBLE_MS", 50)
    monkeypatch.setattr(shared, "QUICK", msgspec.structs.replace(shared.QUICK, lease_s=0.3))
    monkeypatch.setattr(Hand, "lease", _for_an_hour(Hand.lease))
    with lake(tmp_path / "data", redis_server.url) as made:
        events = [work(number) for number in range(200)]
        made.worker.start()
        for part in range(0, len(events), 20):
            made.append(events[part : part + 20]).result()
            eventually(lambda: settled(made), 60, "the worker to finish")
        for subject, found in made.profiles().items():
            assert found["ids"] == [event.id for event in events if event.subject == subject]
        assert sum(len(found["ids"]) for found in made.profiles().values()) == len(events)
    assert lost["XREADGROUP"]
    assert lost["settle"]


@contextmanager
def deaf_after(word: bytes, server: str) -> Iterator[str]:
    """The address of a way to the server on which, after the client has said ``word``, answer and connection are lost."""
    port = int(server.rpartition(":")[2].partition("/")[0])

    def carry(client: socket.socket) -> None:
        with client, socket.create_connection(("127.0.0.1", port)) as far:
            threading.Thread(target=back, args=(far, client), daemon=True).start()
            while data := client.recv(1 << 16):
                if word in data:
                    cut.append(far)
                far.sendall(data)

    def back(far: socket.socket, client: socket.socket) -> None:
        with suppress(OSError):
            while data := far.recv(1 << 16):
                if far in cut:
                    break
                client.sendall(data)
            client.shutdown(socket.SHUT_RDWR)

    def listen() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=carry, args=(gate.accept()[0],), daemon=True).start()

    cut: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as gate:
        threading.Thread(target=listen, daemon=True).start()
        yield f"redis://127.0.0.1:{gate.getsockname()[1]}/0"
        gate.shutdown(socket.SHUT_RDWR)


def test_a_connection_lost_after_the_command_is_no_sign_that_it_did_not_run(redis_server):
    """redis-py calls a lost connection a watched key that has changed: what had been read stayed in nobody's hand for ever."""
    with redis.Redis.from_url(redis_server.url) as client, deaf_after(b"EXEC", redis_server.url) as way:
        client.set("lease", "me")
        server = RedisServer(way, "t")
        try:
            with pytest.raises(Retry, match="cannot be reached"):
                server.run_if(["lease"], b"me", "INCR", "ran")
            assert client.get("ran") == b"1"
            assert server.run_if(["lease"], b"you", "INCR", "ran") == ([0], None)
        finally:
            server.close()


def _for_an_hour(lease):
    """Renewed often, as one of a third of a second is, but it ends much later."""
    return lambda self, seconds, busy: lease(self, 3600.0, busy)


def test_being_in_hand_often_is_no_crime(tmp_path, redis_server):
    """What is stopped, or loses its shards and gets them again, has killed nobody."""
    with lake(tmp_path / "data", redis_server.url) as made, redis.Redis.from_url(redis_server.url) as client:
        made.append([work(1), work(2)]).result()

        def given() -> set[int]:
            eventually(lambda: made.log.ready(10, lambda _: True))
            return {each.given for each in made.log.ready(10, lambda _: True)}

        for _ in range(4):
            made.log.lease(5)
            assert given() == {1}
            client.delete(*client.keys("{sluice}:lease:*"))
        for _ in range(4):
            made.log.lease(5)
            assert given() == {1}
            made.log.release()


def test_a_parked_delivery_in_hand_often_is_no_suspect(tmp_path, redis_server, monkeypatch):
    monkeypatch.setattr("infra.log.redis.VISIBLE_MS", 1)
    with lake(tmp_path / "data", redis_server.url) as made:
        made.append([work(1)]).result()
        made.log.lease(5)

        def failing(_):
            raise ValueError("once")

        (first, *_) = made.log.ready(10, lambda _: True)
        made.log.settle([Job(first, failing)], lambda *_: Failure("once", 0.001))

        def ready() -> list[InHand]:
            return [each for each in made.log.ready(10, lambda _: True) if each.attempts]

        def parked() -> InHand:
            eventually(ready)
            return ready()[0]

        for _ in range(5):
            again = parked()
            assert again.given == 1
            time.sleep(0.01)
            made.log._hand._lanes.pop(again.lane)  # it was not remembered: it is handed out again
        for _ in range(5):
            again = parked()
            assert again.given == 1
            made.log.release()
            made.log.lease(5)


def test_a_second_worker_gets_its_share_and_a_stopped_one_gives_it_back(tmp_path, redis_server):
    with lake(tmp_path / "data", redis_server.url) as first, lake(tmp_path / "data", redis_server.url) as second:
        first.log.lease(5)
        assert len(first.log._hand.shards) == 64
        second.log.lease(5)
        assert len(second.log._hand.shards) == 0
        first.log.lease(5)  # it learns that it has more than its share, and lets go of it the next time
        first.log.lease(5)
        second.log.lease(5)
        assert (len(first.log._hand.shards), len(second.log._hand.shards)) == (32, 32)
        first.log.release()
        second.log.lease(5)
        assert len(second.log._hand.shards) == 64


def test_a_refused_connection_is_told_at_the_start(tmp_path):
    with (
        pytest.raises(ConfigError, match=r"redis://127\.0\.0\.1:9/0 cannot be used.*sluice\.log\.url") as caught,
        lake(tmp_path, "redis://user:secret@127.0.0.1:9/0"),
    ):
        pass
    assert "secret" not in str(caught.value)


def test_a_server_that_cannot_write_now_is_asked_again_later(tmp_path, redis_server):
    with lake(tmp_path / "data", redis_server.url) as made, redis.Redis.from_url(redis_server.url) as client:
        for name, bad, good in (("maxmemory", 1, 0), ("min-replicas-to-write", 1, 0)):
            client.config_set(name, bad)
            with pytest.raises(Retry, match="takes no events now"):
                made.append([work(1)]).result(30)
            client.config_set(name, good)
        client.replicaof("127.0.0.1", 9)
        with pytest.raises(Retry, match="takes no events now: You can't write against a read only replica"):
            made.append([work(1)]).result(30)
        client.replicaof("NO", "ONE")
        client.script_flush()
        assert made.append([work(1)]).result(30) == 1


def longer(found: list, than: int) -> bool:
    return len(found) > than


@pytest.mark.timeout(240)
def test_what_was_acknowledged_survives_a_killed_server(tmp_path, redis_server):
    acknowledged: list[str] = []
    refused: list[Retry] = []
    broken: list[BaseException] = []
    with lake(tmp_path / "data", redis_server.url) as sender:
        stop = threading.Event()

        def send(name: str) -> None:
            number = 0
            while not stop.is_set():
                event = Event(id=f"{name}-{number:05d}", source="/t", type="test.other", subject=name)
                try:
                    sender.append([event]).result(30)
                    acknowledged.append(event.id)
                    number += 1
                except Retry as error:
                    refused.append(error)
                    time.sleep(0.05)
                except BaseException as error:
                    broken.append(error)
                    return

        threads = [threading.Thread(target=send, args=(f"t{n}",)) for n in range(8)]
        for thread in threads:
            thread.start()
        try:
            for _ in range(2):
                eventually(partial(longer, acknowledged, len(acknowledged) + 200), 60, "200 answers")
                redis_server.stop()
                eventually(partial(longer, refused, len(refused)), 60, "a refusal")
                redis_server.start()
            eventually(partial(longer, acknowledged, len(acknowledged) + 100), 60, "100 answers")
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        assert broken == []
        found = Counter(event.id for _, _, event in sender.log.tail(0, 10**6))
    assert "cannot be reached" in str(refused[0])
    assert set(acknowledged) <= found.keys()
    assert max(found.values()) == 1


@pytest.mark.timeout(120)
def test_a_worker_goes_on_when_its_server_is_back(tmp_path, redis_server):
    with lake(tmp_path / "data", redis_server.url) as made:
        made.worker.start()
        made.append([work(number) for number in range(200)]).result()
        redis_server.stop()
        time.sleep(0.3)
        with pytest.raises(Retry):
            made.append([work(999)]).result(30)
        redis_server.start()
        made.append([work(number) for number in range(200, 220)]).result(30)
        eventually(lambda: settled(made), 60)
        assert sum(len(found["ids"]) for found in made.profiles().values()) == 220


def test_effects_committed_before_the_log_heard_of_them_are_not_repeated(tmp_path, redis_server, catalog, monkeypatch):
    with lake(tmp_path / "data", redis_server.url, catalog) as made:
        made.append([work(1)]).result()
        submit, failures = made.log._settlements._submit, [Retry("gone"), Retry("gone")]

        def cut(stamp, items):
            if failures:
                raise failures.pop()
            return submit(stamp, items)

        monkeypatch.setattr(made.log._settlements, "_submit", cut)
        monkeypatch.setattr("infra.runtime.worker.PAUSE_SECONDS", 0.01)
        made.worker.start()
        eventually(lambda: settled(made))
        with made.database() as database:
            (row,) = database.rows("SELECT bytes AS size FROM data_object")
        assert row["size"] == 1
        assert made.profiles() == {"s1": {"ids": ["000001"]}}
        assert Counter(event.type for _, _, event in made.log.tail(0, 10)) == {
            "test.count": 1, "test.counted": 1, "test.entered": 1,
        }  # fmt: skip


def told(made) -> bool:
    with made.database() as database:
        return outbox.unpublished(database) == []


def test_what_a_lost_log_never_heard_is_published_at_the_next_start(tmp_path, redis_server, monkeypatch):
    with lake(tmp_path / "data", redis_server.url) as made, redis.Redis.from_url(redis_server.url) as client:
        made.append([work(1)]).result()

        def cut(stamp, items):
            raise Retry("gone")

        monkeypatch.setattr(made.log._settlements, "_submit", cut)
        monkeypatch.setattr("infra.runtime.worker.PAUSE_SECONDS", 0.01)
        made.worker.start()
        eventually(lambda: made.status()["catalog"])
        made.worker.stop()
        client.flushall()
    for _ in range(2):
        with lake(tmp_path / "data", redis_server.url) as made:
            made.worker.start()
            eventually(partial(made.log.tail, 0, 10))
            eventually(partial(settled, made))
            assert [event.type for _, _, event in made.log.tail(0, 10)] == ["test.entered"]
            eventually(partial(told, made), what="the outbox to be emptied, once the log has its events")
