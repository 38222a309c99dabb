"""Expiry, claim check, back-pressure, metrics, tracing, logs and tried replays."""

from __future__ import annotations

import hashlib
import json
import logging
import sys
from datetime import UTC, datetime
from http.server import ThreadingHTTPServer
from pathlib import Path

import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families

import events.bindings
import events.claims
from events import ports
from events.errors import Reject
from events.event import Event
from infra.config import Config
from infra.delivery.back_pressure import BackPressure
from infra.delivery.claim_check import PREFIX, ClaimCheck
from infra.delivery.expiry import is_expired
from infra.delivery.metrics import MOST_TYPES, Metrics, age
from infra.delivery.replay import History, dry_run, try_history
from infra.delivery.tracing import Tracing, traced
from infra.delivery.watched import watched
from infra.lake import Lake
from infra.runtime.logs import JsonFormatter
from tests.conftest import eventually
from tests.plain_http import Silent, answering

AT = datetime(2026, 1, 1, 12, tzinfo=UTC)
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def event(**more) -> Event:
    return Event(**{"id": "1", "source": "/s", "type": "t", **more})


@pytest.mark.parametrize(
    ("value", "expired"),
    [("2026-01-01T11:59:59Z", True), ("2026-01-01T12:00:00Z", True), ("2026-01-01T12:00:01Z", False),
     ("2026-01-01T14:00:00+02:00", True), ("2026-01-01T11:30:00-01:00", False), ("soon", False), (5, False)],
)  # fmt: skip
def test_expiry(value, expired) -> None:
    assert is_expired(event(extensions={"expirytime": value}), AT) is expired


@pytest.fixture
def claims(objects) -> ClaimCheck:
    objects.ensure("sluice")
    return ClaimCheck(objects, "sluice", limit=100)


@pytest.mark.parametrize(
    ("content_type", "data"),
    [("application/json", {"a": "x" * 200}), (None, ["y" * 200]), ("text/plain", "z" * 200), ("image/png", b"\x00" * 200)],
)
def test_a_large_payload_is_in_the_lake_and_comes_back(claims, content_type, data) -> None:
    whole = event(datacontenttype=content_type, data=data, extensions={"n": 1})
    claim = claims.deposit(whole)
    assert claim.data is None
    assert str(claim.extensions["dataref"]).startswith(f"s3://sluice/{PREFIX}")
    assert claim.key == whole.key
    back = claims.redeem(claim)
    assert (back.data, back.extensions) == (data, {"n": 1})
    assert claims.deposit(claim) == claim


def test_a_small_payload_stays(claims) -> None:
    small = event(data={"a": 1})
    assert claims.deposit(small) is small


def test_a_changed_or_lost_payload_reaches_no_function(claims, objects) -> None:
    claim = claims.deposit(event(data=["x" * 200]))
    key = str(claim.extensions["dataref"]).removeprefix("s3://sluice/")
    objects.write("sluice", key, b'["forged"]')
    with pytest.raises(Reject, match="changed"):
        claims.redeem(claim)
    objects.delete("sluice", key)
    with pytest.raises(Reject, match="gone"):
        claims.redeem(claim)
    with pytest.raises(Reject, match="digest"):
        claims.redeem(msgspec.structs.replace(claim, extensions={**claim.extensions, "datadigest": "sha256:00"}))


@pytest.mark.parametrize("reference", ["https://127.0.0.1:1/x", "s3://other/claims/sha256/00", "file:///etc/passwd"])
def test_references_to_elsewhere_are_not_fetched(claims, reference) -> None:
    theirs = event(extensions={"dataref": reference})
    assert claims.redeem(theirs) is theirs


def test_back_pressure_asks_the_further_behind_to_wait_longer() -> None:
    clock, ages = [0.0], [0.0]
    pressure = BackPressure(lambda: ages[0], 10.0, lambda: clock[0])
    assert pressure.retry_after() is None
    ages[0] = 15.0
    assert pressure.retry_after() is None  # measured a moment ago
    clock[0] = 2.0
    assert pressure.retry_after() == 5
    clock[0], ages[0] = 4.0, 500.0
    assert pressure.retry_after() == 60
    assert BackPressure(lambda: 1e9, 0).retry_after() is None


def numbers(metrics: Metrics) -> dict[str, float]:
    families = text_string_to_metric_families(metrics.text().decode())
    return {f"{each.name}{sorted(each.labels.values())}": each.value for family in families for each in family.samples}


def test_metrics_count_and_types_from_outside_are_bounded() -> None:
    metrics = Metrics(lambda: {"waiting": 3, "behind_s": 1.5})
    metrics.accepted([event(), event()], 1)
    metrics.done([("f", event(time="2020-01-01T00:00:00Z"))])
    metrics.expired(event())
    for number in range(MOST_TYPES + 10):
        metrics.accepted([event(type=f"type{number}")])
    found = numbers(metrics)
    assert found["sluice_events_accepted_total['t']"] == 2
    assert found["sluice_events_new_total['t']"] == found["sluice_events_duplicate_total['t']"] == 1
    assert found["sluice_deliveries_total['f', 'ok']"] == found["sluice_effect_latency_seconds_count['f']"] == 1
    assert found["sluice_events_expired_total['t']"] == 1
    assert found["sluice_events_accepted_total['other']"] == 11
    assert found["sluice_log_waiting[]"] == 3
    assert found["sluice_log_behind_seconds[]"] == 1.5


def test_latency_is_from_the_time_that_the_event_tells() -> None:
    assert age(event(time="2026-01-01T11:00:00Z"), AT) == 3600
    assert age(event(time="2026-01-01T11:00:00Z", extensions={"recordedtime": "2026-01-01T11:59:59Z"}), AT) == 3600
    assert age(event(extensions={"recordedtime": "2026-01-01T11:59:59Z"}), AT) == 1
    assert age(event(time="2026-01-01T13:00:00Z"), AT) == 0
    assert age(event(), AT) is None


def test_the_trace_of_a_request_becomes_the_events_unless_it_has_one() -> None:
    headers = {b"traceparent": TRACE.encode(), b"tracestate": b"a=1"}
    assert traced(event(), headers).extensions == {"traceparent": TRACE, "tracestate": "a=1"}
    own = event(extensions={"traceparent": "00-" + "1" * 32 + "-" + "2" * 16 + "-00"})
    assert traced(own, headers) is own
    assert traced(event(), {b"traceparent": b"00-" + b"0" * 32 + b"-" + b"2" * 16 + b"-00"}).extensions == {}


def test_without_an_exporter_tracing_loads_nothing() -> None:
    assert Tracing({}).span(event(), "f") is Tracing({}).span(event(), "g")


def test_spans_are_exported_below_the_events_trace(monkeypatch) -> None:
    pytest.importorskip("opentelemetry.sdk")
    bodies: list[bytes] = []

    class Collector(Silent):
        def do_POST(self) -> None:
            bodies.append(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

    with answering(ThreadingHTTPServer(("127.0.0.1", 0), Collector)) as url:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "none")
        tracing = Tracing()
        with tracing.span(event(extensions={"traceparent": TRACE}), "ingest"):
            pass
        tracing.close()
    (body,) = bodies
    assert bytes.fromhex(TRACE.split("-")[1]) in body
    assert bytes.fromhex(TRACE.split("-")[2]) in body
    assert b"ingest process" in body


def test_json_logs_tell_what_they_are_about() -> None:
    record = logging.LogRecord("sluice.worker", logging.INFO, "f", 1, "%s took %s", ("f", "1"), None)
    record.__dict__.update({"event": "1", "function": "f", "seconds": 0.5, "secret": "never"})
    line = json.loads(JsonFormatter().format(record))
    assert line.pop("time").endswith("Z")
    assert line == {
        "level": "info", "logger": "sluice.worker", "message": "f took 1", "event": "1", "function": "f", "seconds": 0.5
    }  # fmt: skip


FUNCTIONS = """
from datetime import UTC, datetime
from events.errors import Reject
from events.event import Event
from events.ports import Catalog, DataSets, Entry, Facts, NotFound, ObjectStore, Profiles, Stopping
from events.route import on

MENDED = []

@on("write")
def write(event: Event, objects: ObjectStore):
    if not MENDED:
        raise Reject("broken")
    old = objects.read("raw", "old", 0, 99)
    made = objects.write("raw", "new", old + b"!")
    objects.write("raw", "old", b"")
    objects.delete("raw", "gone")
    objects.delete("raw", "never")
    yield event.reply({"etag": made.etag, "size": made.size}, type="written")

@on("work")
def work(event: Event, objects: ObjectStore, stopping: Stopping):
    MENDED.append("worked")
    raise Reject("broken")

@on("mend")
def mend(event: Event, catalog: Catalog, profiles: Profiles):
    if not MENDED:
        raise Reject("broken")
    catalog.upsert(Entry(bucket="b", key="k", size=5, sequence="2"))
    profiles.put("p", {"runs": 1})
    yield event.reply({"done": True}, type="mended")

@on("tell", "told*")
def tell(event: Event, facts: Facts, sets: DataSets):
    facts.describe("urn:t", event.id, [("<urn:a>", "<urn:b>", "<urn:c>")])
    facts.observe(datetime(2026, 1, 2, tzinfo=UTC), [("<urn:a>", "<urn:b>", "<urn:c>")])
    yield event.reply({"placed": len(sets.place_object("b", "k", event.key))}, type="done")

@on("see")
def see(event: Event):
    MENDED.append((event.type, event.data))
"""


@pytest.fixture
def mended(tmp_path: Path, objects, monkeypatch):
    (tmp_path / "trial_functions.py").write_text(FUNCTIONS)
    monkeypatch.syspath_prepend(str(tmp_path))
    objects.ensure("sluice")
    lake = Lake(Config(data=str(tmp_path / "lake"), functions=["trial_functions"]), objects)
    lake.worker.start()
    yield lake
    lake.close()
    sys.modules.pop("trial_functions")


def test_a_tried_replay_shows_what_would_change_and_changes_nothing(mended: Lake) -> None:
    mended.append([event(type="mend")]).result()
    eventually(lambda: mended.log.counts()["dead"] == 1)
    (letter,) = mended.log.dead_letters()
    assert dry_run(mended, [letter.id])[0].error == "broken"
    sys.modules["trial_functions"].MENDED.append(1)
    (trial,) = dry_run(mended, [letter.id])
    assert [each["type"] for each in trial.events] == ["mended"]
    assert [(each.store, each.key, each.before) for each in trial.changes] == [
        ("catalog", "s3://b/k", None), ("profiles", "p", None)
    ]  # fmt: skip
    assert trial.changes[0].after["size"] == 5
    assert mended.log.counts()["dead"] == 1
    assert mended.profiles() == {}
    with mended.reading() as connection:
        assert connection.execute("SELECT count(*) FROM data_object").fetchone()[0] == 0
    with pytest.raises(Reject, match="no dead letter 99"):
        dry_run(mended, [99])


def test_a_tried_replay_writes_no_object_and_does_not_begin_what_takes_minutes(mended: Lake, objects) -> None:
    objects.ensure("raw")
    for key in ("old", "gone"):
        objects.write("raw", key, b"content")
    mended.append([event(type="write")]).result()
    eventually(lambda: mended.log.counts()["dead"] == 1)
    seen = sys.modules["trial_functions"].MENDED
    seen.append("mended")
    (letter,) = mended.log.dead_letters()
    (trial,) = dry_run(mended, [letter.id])
    etag = hashlib.md5(b"content!").hexdigest()
    assert (trial.error, [each["data"] for each in trial.events]) == ("", [{"etag": etag, "size": 8}])
    told = [(each.key, (each.before or {}).get("size"), (each.after or {}).get("size")) for each in trial.changes]
    assert told == [("s3://raw/new", None, 8), ("s3://raw/old", 7, 0), ("s3://raw/gone", 7, None)]
    assert {info.key: info.size for info in objects.list("raw")} == {"gone": 7, "old": 7}
    mended.append([event(id="long", type="work")]).result()
    eventually(lambda: mended.log.counts()["dead"] == 2)
    newest = max(each.id for each in mended.log.dead_letters())
    before = list(seen)
    (trial,) = dry_run(mended, [newest])
    assert (trial.error, "is not tried" in trial.note) == ("", True)
    assert seen == before == ["mended", "worked"]


def test_history_is_tried_with_a_function_and_every_port_tells_what_it_would_write(mended: Lake) -> None:
    mended.append(
        [event(id=str(number), type=kind) for number, kind in enumerate(("see", "told.a", "told.b", "told.a"))]
    ).result()
    eventually(lambda: mended.log.counts()["waiting"] == 0)
    found, last = try_history(mended, History(function="tell", type="told.a"))
    assert [(each.function, each.error) for each in found] == [("tell", "")] * 2
    assert found[-1].id == last
    assert [each["type"] for trial in found for each in trial.events] == ["done", "done"]
    assert {(each.store, each.key.partition(" ")[0]) for each in found[1].changes} >= {("facts", "observed")}
    (only,), end = try_history(mended, History(function="mend", type="told.*", after=found[0].id, limit=1))
    assert (only.events[0]["type"], only.id, end) == ("mended", found[0].id + 1, found[0].id + 1)
    assert try_history(mended, History(function="mend", after=10**9)) == ([], 10**9)
    assert mended.log.end() - last < 4, "only the events that the worker made came behind"
    with pytest.raises(Reject, match="no function is called 'nobody'"):
        try_history(mended, History(function="nobody"))


def test_no_port_that_can_write_is_left_out_of_a_trial() -> None:
    """Whatever is not watched only reads: a new method of a port belongs here or into its watcher."""
    reading = {
        "numbered", "claimed",
        "head", "read", "stream", "list", "get", "search", "repositories", "versions", "alias", "aliases", "keys", "check",
        "query", "graphs", "is_class", "is_property", "requested", "current", "is_set",
    }  # fmt: skip
    for port in (each for module in (ports, events.bindings, events.claims) for each in vars(module).values()):
        if isinstance(port, type) and getattr(port, "_is_protocol", False):
            watcher = type(watched(port, None, []))
            unseen = {name for name in vars(port) if not name.startswith("_") and name not in vars(watcher)}
            assert unseen <= reading, port


def test_the_worker_skips_what_expired_and_redeems_claims(mended: Lake) -> None:
    seen = sys.modules["trial_functions"].MENDED
    mended.append([event(id="old", type="see", extensions={"expirytime": "2020-01-01T00:00:00Z"})]).result()
    large = event(id="large", type="see", data=["x" * 100_000])
    claim = mended.claims.deposit(large)
    assert claim.data is None
    mended.append([claim]).result()
    eventually(lambda: mended.log.counts()["waiting"] == 0)
    eventually(lambda: numbers(mended.metrics).get("sluice_events_expired_total['see']") == 1)
    assert seen == [("see", ["x" * 100_000])]
