"""A PostgreSQL that goes away and comes back: the work goes on, and the log has a line of each, not a traceback a second."""

from __future__ import annotations

import logging
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from psycopg.errors import SyntaxError as Misspelt

from events.errors import Retry
from events.event import Event
from infra import postgres
from infra.bench.postgres_process import PostgresProcess
from infra.complaint import Complaint
from infra.config import CatalogStore, Config, EventLog
from infra.delivery import commits
from infra.graph.opened import opened
from infra.lake import Lake
from infra.log.log import Delivery
from infra.runtime.lineage_reader import LineageReader
from infra.runtime.silent_recorder import SilentRecorder
from infra.semantics.service import SemanticService
from infra.series.service import SeriesService
from tests.conftest import eventually
from tests.contract import redis_log_workers as shared

pytestmark = pytest.mark.server
functions = shared.functions
LOOPS = {"sluice.worker", "sluice.series", "sluice.semantics", "sluice.lineage"}


@pytest.fixture
def own() -> Iterator[PostgresProcess]:
    """A PostgreSQL that no other test needs."""
    made = PostgresProcess("fsync=off")
    yield made
    made.close()


def test_a_connection_that_the_server_ends_is_told_as_one_that_cannot_be_opened(postgres_template, request):
    url = request.getfixturevalue("postgres").new(postgres_template)
    end_all = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid != "
    pool, writer = postgres.Pool(url), postgres.PostgresWriter(url)
    told = []
    with pool.reading() as idle:
        idle.execute("SELECT 1")
    writer.submit(lambda connection: connection.execute("SELECT 1")).result()
    other = postgres.connect(url)
    other.execute(end_all + "pg_backend_pid()")
    with pytest.raises(Retry) as lost, pool.reading() as reader:
        reader.execute("SELECT 1")
    told.append(str(lost.value))
    with pytest.raises(Retry) as failed:
        writer.submit(lambda connection: connection.execute("SELECT 1")).result()
    told.append(str(failed.value))
    where = f"{url.partition('@')[2].partition('/')[0]}/{url.rpartition('/')[2]}"
    assert told == [f"the catalogue's PostgreSQL at {where} cannot be reached now"] * 2
    with pool.reading() as reader, pytest.raises(Misspelt):
        reader.execute("SELEC 1")
    assert writer.submit(lambda connection: connection.execute("SELECT 1").fetchall()).result() == [(1,)]
    other.close()
    writer.close()
    pool.close()


@pytest.mark.timeout(120)
def test_a_lake_stops_while_its_database_is_away(tmp_path, redis_server, own, objects, functions, monkeypatch, caplog):
    waits = threading.Event()
    monkeypatch.setattr(commits, "LOOK_SECONDS", 0.1)
    monkeypatch.setattr(Complaint, "tell", lambda self, _: waits.set() if self._logger is commits.logger else None)
    log, place = EventLog(url=redis_server.url), CatalogStore(url=own.start().new())
    lake = Lake(Config(data=str(tmp_path), functions=[shared.MODULE], log=log, catalog=place), objects)
    recorder = SilentRecorder(lake, 3600)
    event = Event(id="1", source="/t", type="dev.sluice.object.ingested.v1", data={"bucket": "b", "key": "k"})
    silent = Delivery(1, "f", 0, event, ("f", ""))
    lake.silent.ran(silent, 0.0)
    lake.silent.settled([silent])
    recorder.start()
    lake.worker.start()
    own.stop(signal.SIGINT)
    assert waits.wait(60), "nobody looks into the outbox"
    recorder.stop()
    ending = threading.Thread(target=lake.close, daemon=True)
    ending.start()
    ending.join(60)
    assert not ending.is_alive(), "it cannot be stopped"
    assert any("are not recorded: the catalogue's PostgreSQL at" in each.getMessage() for each in caplog.records)


@pytest.mark.timeout(240)
def test_each_loop_says_once_that_it_waits_and_once_that_it_goes_on(
    tmp_path, redis_server, own, objects, functions, caplog, monkeypatch
):
    tries: Counter[str] = Counter()
    tell = Complaint.tell

    def counted(self: Complaint, reason: object) -> None:
        tries[self._logger.name] += 1
        tell(self, reason)

    monkeypatch.setattr(Complaint, "tell", counted)
    place = CatalogStore(url=own.start().new())
    log = EventLog(url=redis_server.url)
    lake = Lake(Config(data=str(tmp_path), functions=[shared.MODULE], log=log, catalog=place), objects)
    graph = opened(lake.config.semantics, tmp_path / "graph")
    series, semantics = SeriesService(lake.config.series, tmp_path / "series", objects, lake), SemanticService(lake, graph)
    reader = LineageReader(lake, 0.1)
    with ExitStack() as stack, caplog.at_level(logging.INFO):
        for end in (lake.close, graph.close, series.close, semantics.close, reader.stop):
            stack.callback(end)
        lake.worker.start()
        series.start()
        semantics.start()
        reader.start()
        lake.append([shared.work(0)]).result(20)
        eventually(lambda: shared.settled(lake), 60, "the first event to be worked on")
        own.stop(signal.SIGINT)
        lake.append([shared.work(1)]).result(20)
        eventually(lambda: all(tries[name] >= 3 for name in LOOPS), 60, "each to try thrice in vain")
        own.start()

        def lines(name: str) -> list[logging.LogRecord]:
            return [each for each in caplog.records if each.name == name and each.levelno >= logging.WARNING]

        eventually(lambda: all(lines(name)[-1].getMessage().startswith("over: ") for name in LOOPS), 60, "each to go on")
        eventually(lambda: shared.settled(lake), 60, "the other event to be worked on")
    for name in LOOPS:
        assert not any(each.exc_info for each in lines(name))
        told = [each.getMessage() for each in lines(name) if "the database system is" not in each.getMessage()]
        assert len(told) == 2, told
        assert "trying again until it works: the catalogue's PostgreSQL at 127.0.0.1:" in told[0]
        assert told[0].endswith(" cannot be reached now")
