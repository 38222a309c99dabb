import sqlite3
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.objects.door import listing, notify, store
from infra.objects.door.files import Files
from infra.objects.door.store import About, Object, Store

CAUSE = notify.Cause("r", "h", "p", "", "region")
text = st.text(alphabet=["a", "b", "/", "!", "ü", "日", "\U0001f600", "\x00", "\uffff"], max_size=6)


@pytest.fixture(scope="module")
def database():
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        made = Store(path / "door.sqlite", Files(path / "content"), [])
        yield made
        made.close()


def fill(database, keys):
    def work(transaction):
        transaction.execute("DELETE FROM objects")
        transaction.execute(
            "INSERT OR IGNORE INTO buckets VALUES ('b', 0, '{}', '[]'), ('a', 0, '{}', '[]'), ('c', 0, '{}', '[]')"
        )
        for bucket in ("a", "b", "c"):
            for key in keys if bucket == "b" else ["a", "b", "z"]:
                found = Object(bucket=bucket, key=key, size=1, etag="e", modified=0, about=About(), segments=[])
                transaction.put(found, "ObjectCreated:Put", CAUSE)

    database.commit(work).result()


def model(keys, prefix, delimiter, after):
    """What S3 says a listing is, in the plainest way: every key, rolled up, sorted."""
    found = set()
    for key in keys:
        if key.startswith(prefix) and key.encode() > after.encode():
            at = key.find(delimiter, len(prefix)) if delimiter else -1
            if at < 0:
                found.add((key.encode(), "key"))
            elif key[: at + len(delimiter)].encode() > after.encode():
                found.add((key[: at + len(delimiter)].encode(), "prefix"))
    return sorted(found)


def listed(database, prefix, delimiter, after, limit):
    found, pages = [], 0
    while True:
        page = listing.page(database.reader, "b", prefix, delimiter, after, limit)
        rows = [(bytes(row["key"]), "key") for row in page.rows] + [(one.encode(), "prefix") for one in page.prefixes]
        assert len(rows) <= limit
        found += sorted(rows)
        pages += 1
        if not page.truncated:
            return found
        assert len(rows) == limit
        after = page.last


@settings(max_examples=250, deadline=None)
@given(
    keys=st.sets(text.filter(bool), max_size=25),
    prefix=text.map(lambda value: value[:2]),
    delimiter=st.sampled_from(["", "/", "/", "a", "//", "日"]),
    after=text,
    limit=st.integers(1, 7),
)
def test_pages_are_what_the_model_says(database, keys, prefix, delimiter, after, limit):
    fill(database, keys)
    assert listed(database, prefix, delimiter, after, limit) == model(keys, prefix, delimiter, after)


def test_common_prefixes_are_skipped_by_seeking(database):
    fill(database, [f"{directory}/{number:04}" for directory in "abc" for number in range(2000)])
    steps = 0

    def count():
        nonlocal steps
        steps += 1
        return 0

    reader: sqlite3.Connection = database.reader
    reader.set_progress_handler(count, 1000)
    page = listing.page(reader, "b", "", "/", "", 1000)
    reader.set_progress_handler(None, 0)
    assert page.prefixes == ["a/", "b/", "c/"]
    assert steps <= 1, "6000 keys were looked at to find three prefixes"


@pytest.fixture
def filled(s3, bucket):
    keys = ["a/1", "a/2", "b", "ü/日本", "x y", "x+y", "x&<y>", "z\x01"]
    for key in keys:
        s3.put_object(Bucket=bucket, Key=key, Body=key.encode())
    return sorted(keys, key=str.encode)


def test_both_versions_of_the_operation(s3, bucket, filled):
    for name in ("list_objects", "list_objects_v2", "list_object_versions"):
        entries = "Versions" if name == "list_object_versions" else "Contents"
        pages = list(s3.get_paginator(name).paginate(Bucket=bucket, PaginationConfig={"PageSize": 3}))
        assert [entry["Key"] for page in pages for entry in page.get(entries, [])] == filled
        assert len(pages) == 3
        pages = list(s3.get_paginator(name).paginate(Bucket=bucket, Delimiter="/", PaginationConfig={"PageSize": 1}))
        assert [one["Prefix"] for page in pages for one in page.get("CommonPrefixes", [])] == ["a/", "ü/"]
        assert [entry["Key"] for page in pages for entry in page.get(entries, [])] == [key for key in filled if "/" not in key]


def test_details(s3, bucket, filled, refused):
    page = s3.list_objects_v2(Bucket=bucket, Prefix="a/", FetchOwner=True, StartAfter="a/1")
    assert [entry["Key"] for entry in page["Contents"]] == ["a/2"]
    entry = page["Contents"][0]
    assert (entry["Size"], entry["StorageClass"], entry["Owner"]["ID"]) == (3, "STANDARD", "sluice")
    assert entry["ETag"] == s3.head_object(Bucket=bucket, Key="a/2")["ETag"]
    nothing = s3.list_objects_v2(Bucket=bucket, MaxKeys=0)
    assert (nothing["KeyCount"], nothing["IsTruncated"]) == (0, False)
    assert s3.list_objects_v2(Bucket=bucket, MaxKeys=5000)["MaxKeys"] == 1000
    assert refused(s3.list_objects_v2, Bucket=bucket, ContinuationToken="nonsense!") == "InvalidArgument"
    assert refused(s3.list_objects_v2, Bucket=bucket, MaxKeys=-1) == "InvalidArgument"
    assert refused(s3.list_objects_v2, Bucket="not-there") == "NoSuchBucket"


def test_time_of_a_row_is_exact():
    assert store.iso(1_700_000_000_123_456, "microseconds") == "2023-11-14T22:13:20.123456Z"
