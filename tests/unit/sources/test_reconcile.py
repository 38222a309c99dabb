"""Reconcile: a listing and the catalogue are compared in bounded memory; the events heal, and repeat harmlessly."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from events.errors import Reject
from events.ports import Entry, NotFound, ObjectInfo, Query
from events.types import S3Record
from infra.catalog.database import Database
from infra.catalog.entries import Entries, Known
from infra.config import Config, Reconcile
from infra.delivery.order import successor
from infra.delivery.reconcile import Reconciler, differs, event_of, pairs
from infra.lake import Lake
from infra.objects.providers import Providers
from infra.sources.dialect import DOOR, dialect_of
from infra.sources.sweep import Sweeper
from tests.conftest import eventually

CSV = b"a,b\n1,2\n"
TIME = "2026-01-02T03:04:05Z"


def listed(key: str, **more) -> ObjectInfo:
    return ObjectInfo(**{"bucket": "raw", "key": key, "size": 8, "etag": "e", "modified": TIME, **more})


def known(key: str, **more) -> Known:
    return Known(
        **{"key": key, "state": "ready", "etag": "e", "size": 8, "sequence": "0F", "modified": TIME, "digest": "d", **more}
    )


class Synthetic:
    """A bucket that lists ``count`` keys without holding them."""

    def __init__(self, count: int, gone: frozenset[str] = frozenset()) -> None:
        self.count, self.gone = count, gone
        self.begun: list[str] = []

    def list(self, bucket: str, prefix: str = "", *, after: str = "") -> Iterator[ObjectInfo]:
        self.begun.append(after)
        for number in range(int(after.removeprefix("k") or -1) + 1, self.count):
            if f"k{number:07}" not in self.gone:
                yield listed(f"k{number:07}")

    def head(self, bucket: str, key: str) -> ObjectInfo:
        if key in self.gone:
            raise NotFound(key)
        return listed(key)


@pytest.fixture
def still(tmp_path):
    """A lake whose worker does not run: what it accepted stays where it is."""
    made = Lake(Config(data=str(tmp_path / "still")), Synthetic(0))  # type: ignore[arg-type]
    yield made
    made.close()


def enter(lake: Lake, *entries: Entry) -> None:
    lake.write(lambda connection: [Entries(Database(connection)).upsert(entry) for entry in entries]).result()


def last(sweep):
    *_, tally = sweep
    return tally


@given(st.sets(st.text(max_size=4)), st.sets(st.text(max_size=4)))
def test_the_merge_pairs_every_key_once_in_order(left, right):
    found = list(pairs([listed(key) for key in sorted(left)], [known(key) for key in sorted(right)]))
    keys = [side.key for here, there in found if (side := here or there)]
    assert keys == sorted(left | right)
    assert {here.key for here, _ in found if here} == left
    assert {there.key for _, there in found if there} == right


def test_a_listing_out_of_order_is_refused_not_believed():
    with pytest.raises(Reject, match="out of order"):
        list(pairs([listed("b"), listed("a")], []))


@pytest.mark.parametrize(
    ("here", "there", "wanted"),
    [
        (listed("k"), None, True),
        (None, known("k"), True),
        (None, known("k", state="removed"), False),
        (listed("k"), known("k", state="removed"), True),
        (listed("k"), known("k"), False),
        (listed("k"), known("k", state="failed"), False),
        (listed("k"), known("k", digest=""), True),
        (listed("k"), known("k", state="failed", digest=""), False),
        (listed("k", etag="f"), known("k"), True),
        (listed("k", size=9), known("k"), True),
        (listed("k", modified="2026-01-02T03:04:05.625Z"), known("k", modified="2026-01-02T03:04:05.625493Z"), False),
        (listed("k", modified="2026-01-02T03:04:05.626Z"), known("k", modified="2026-01-02T03:04:05.625493Z"), True),
        (listed("folder/", size=0), None, False),
    ],
)
def test_what_counts_as_a_difference(here, there, wanted):
    assert differs(here, there) is wanted


@given(st.text("0123456789ABCDEF", min_size=1, max_size=32))
def test_the_successor_is_greater_and_no_later_change_is_hidden(sequence):
    following = successor(sequence)
    assert following > sequence
    later = int(sequence, 16) + 1
    if later < 16 ** len(sequence):
        assert following <= f"{later:0{len(sequence)}X}"


def test_ids_are_the_same_for_the_same_difference_and_differ_with_anything_in_it():
    def identity(here, there):
        return event_of(here, there, "raw", "ceph:s3", "00").key

    base = identity(listed("k"), None)
    assert identity(listed("k"), None) == base
    others = [
        identity(listed("k", etag="f"), None),
        identity(listed("k", version="1"), None),
        identity(listed("k", modified="2026-01-02T03:04:06Z"), None),
        identity(listed("l"), None),
        identity(listed("k"), known("k", state="removed")),
        identity(listed("k"), known("k", state="removed", sequence="1F")),
        identity(None, known("k")),
    ]
    assert len({base, *others}) == len(others) + 1


def test_an_event_is_what_the_notification_would_have_been():
    event = event_of(listed("ü b+c%20\n", etag="e1"), None, "raw", "ceph:s3", "0A")
    record = event.read(S3Record)
    assert (event.type, event.source, event.time) == ("com.amazonaws.s3.ObjectCreated:Put", "ceph:s3..raw", TIME)
    assert (record.s3.object.key, record.s3.object.eTag, record.s3.object.size) == ("ü b+c%20\n", "e1", 8)
    assert event.extensions == {"partitionkey": "raw/ü b+c%20%0A", "sequence": "0A"}
    gone = event_of(None, known("k", sequence="000F"), "raw", "ceph:s3")
    assert (gone.type, gone.extensions["sequence"]) == ("com.amazonaws.s3.ObjectRemoved:Delete", "0010")


def test_a_sweep_counts_tells_once_and_remembers_nothing_when_done(still):
    store = Synthetic(3, frozenset({"k0000009"}))
    enter(
        still,
        Entry(bucket="raw", key="k0000000", etag="e", size=8, digest="d", modified=TIME),
        Entry(bucket="raw", key="k0000001", etag="old", size=8, digest="d", modified=TIME),
        Entry(bucket="raw", key="k0000009", etag="e", size=8, digest="d", modified=TIME),
        Entry(bucket="other", key="k0000002", etag="e", size=8, digest="d", modified=TIME),
    )
    reconciler = Reconciler(still, store, "aws:s3", lambda _: "0" * 32)
    tried = last(reconciler.sweep("raw", dry_run=True))
    assert (tried.listed, tried.missed, tried.changed, tried.removed, tried.new, tried.done) == (3, 1, 1, 1, 0, True)
    assert [last(reconciler.sweep("raw", prefix, dry_run=True)).expected for prefix in ("", "k0000001", "l")] == [3, 1, 0]
    assert still.status()["log"]["events"] == 0
    assert last(reconciler.sweep("raw")).new == 3
    again = last(reconciler.sweep("raw"))
    assert (again.missed + again.changed + again.removed, again.new) == (3, 0)  # not worked on yet, and known already
    assert still.status()["log"]["events"] == 3


def test_an_object_that_came_back_while_we_compared_is_not_told_removed(still):
    enter(still, Entry(bucket="raw", key="k0000009", etag="e", size=8, digest="d"))
    tally = last(Reconciler(still, Synthetic(0), "aws:s3", lambda _: "").sweep("raw"))
    assert (tally.removed, tally.new, tally.done) == (0, 0, True)


def test_an_interrupted_sweep_goes_on_where_it_was(still):
    store = Synthetic(2500)
    reconciler = Reconciler(still, store, "aws:s3", lambda _: "0" * 32)
    first = reconciler.sweep("raw")
    assert next(first).position == "k0000999"
    with pytest.raises(Reject, match="being swept already"):
        next(reconciler.sweep("raw"))
    first.close()
    whole = last(Reconciler(still, store, "aws:s3", lambda _: "0" * 32).sweep("raw"))
    assert (whole.listed, whole.missed, whole.new) == (2500, 2500, 2500)
    assert store.begun == ["", "k0000999"]
    last(reconciler.sweep("raw"))
    assert store.begun[-1] == ""


def test_two_hundred_thousand_keys_need_no_more_memory_than_a_few_pages(still):
    fill = """
        WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 199999)
        INSERT INTO data_object (id, acl, created, updated, t, bucket, key, state, etag, bytes, modified)
        SELECT 'data-object/' || i, 1, 0, 0, 0, 'raw', printf('k%07d', i), 'READY', 'e', 8, ? FROM n WHERE i % 100
    """
    still.write(lambda connection: connection.execute(fill, (TIME,))).result()
    reconciler = Reconciler(still, Synthetic(200_000), "aws:s3", lambda _: "0" * 32)
    tracemalloc.start()
    try:
        tally = last(reconciler.sweep("raw", dry_run=True))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (tally.listed, tally.missed, tally.done) == (200_000, 2000, True)
    assert peak < 16 << 20


def test_the_lakes_own_bucket_is_not_swept(still):
    with pytest.raises(Reject, match="own bucket"):
        next(Reconciler(still, Synthetic(0), "aws:s3", lambda _: "").sweep("sluice"))


def test_lost_notifications_are_healed_and_late_ones_change_nothing(lake, door, objects):
    """The door with its notifications off is a store that loses all of them; the late ones are posted by hand."""

    def settled():
        before = lake.status()["log"]  # a notification may move from the outbox to the log between two looks
        return before["waiting"] == 0 and door.backlog() == 0 and lake.status()["log"]["events"] == before["events"]

    def updates():
        return [event.data["change"] for _, _, event in lake.log.tail(0, 10_000, "*catalog.updated*")]

    def bucket():
        return {each.key: each.etag for each in objects.list("raw")}

    def entries():
        with lake.reading() as connection:
            return {each.key: each.etag for each in Entries(Database(connection)).search(Query(bucket="raw", limit=1000))}

    objects.ensure("raw")
    for name in ("same", "overwritten", "deleted"):
        objects.write("raw", f"{name}.csv", CSV)
    eventually(settled)
    objects.client.put_bucket_notification_configuration(Bucket="raw", NotificationConfiguration={})
    objects.write("raw", "overwritten.csv", CSV + b"3,4\n")
    objects.write("raw", "ü +%.csv", CSV)
    objects.delete("raw", "deleted.csv")
    dialect = dialect_of(objects, "raw")
    assert dialect is DOOR
    reconciler = Reconciler(lake, objects, dialect.source, lambda each: dialect.sequence(objects, each))
    tally = last(reconciler.sweep("raw"))
    assert (tally.missed, tally.changed, tally.removed, tally.new) == (1, 1, 1, 3)
    eventually(lambda: settled() and entries() == bucket())
    before = updates()
    assert sorted(before[3:]) == ["removed", "upserted", "upserted"]
    again = last(reconciler.sweep("raw"))
    assert (again.missed, again.changed, again.removed) == (0, 0, 0)
    with lake.reading() as connection:
        entry = Entries(Database(connection)).get("raw", "ü +%.csv")
    assert entry is not None
    late = event_of(listed("ü +%.csv", etag=entry.etag, modified=entry.modified), None, "raw", "sluice:s3", entry.sequence)
    late = msgspec.structs.replace(late, id="late")
    assert lake.append([late]).result() == 1
    eventually(settled)
    assert entries() == bucket()
    assert updates() == before


def test_the_periodic_sweep_heals_without_being_asked(lake, door, objects):
    objects.ensure("raw")
    objects.client.put_bucket_notification_configuration(Bucket="raw", NotificationConfiguration={})
    objects.write("raw", "a.csv", CSV)
    sweeper = Sweeper(lake, Providers(objects), Reconcile(buckets=["s3://raw", "s3://missing"], every_s=0.2))
    sweeper.start()
    try:
        eventually(lambda: lake.status()["catalog"].get("ready", {}).get("objects") == 1)
        objects.delete("raw", "a.csv")
        eventually(lambda: lake.status()["catalog"].get("removed", {}).get("objects") == 1)
    finally:
        sweeper.stop()
