"""What a task made and writes itself: an object that names what it was made of; made twice, it is there once."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from urllib.parse import quote

from events.errors import Reject
from events.marks import ETAG, SOURCE
from events.ports import NotFound, ObjectInfo, ObjectStore
from events.types import ObjectDerived, ObjectVersion
from functions.formats.format import Slice
from infra.objects.s3 import S3Store
from infra.runtime.probe import ENVIRONMENT

#: User metadata of a result: which slice of the original, how many bytes that is, and a digest of what the task was told.
PART, PART_BYTES, TOLD = "sluice-part", "sluice-part-bytes", "sluice-told"


@contextmanager
def lake() -> Iterator[S3Store]:
    """The lake's objects, as a worker knows them from its environment."""
    store = S3Store(**{name: os.environ.get(variable, "") for name, variable in ENVIRONMENT.items()})
    try:
        yield store
    finally:
        store.close()


def address(to: str) -> tuple[str, str]:
    """Bucket and prefix of ``s3://BUCKET/PREFIX/``. Raises ``Reject``."""
    bucket, _, prefix = to.removeprefix("s3://").partition("/")
    if not to.startswith("s3://") or not bucket:
        raise Reject(f"{to!r} is no place for results: write s3://BUCKET/PREFIX/")
    return bucket, prefix if not prefix or prefix.endswith("/") else prefix + "/"


def name(part: Slice) -> str:
    """What a result of this slice is called: the same name again for the same slice, and no other's.

    It is the original's own, with the slice's number if that is cut, and a digest of where the original is; sorted by name,
    the results of one original are in its order.
    """
    stem = re.sub(r"-[0-9a-f]{8}$", "", PurePosixPath(part.key).name.partition(".")[0])
    number = f"-{part.number:05}-of-{part.of:05}" if part.of > 1 else ""
    return f"{stem}{number}-{_digest(f'{part.bucket}/{part.key}')}"


def keep(
    store: ObjectStore, file: Path, to: str, part: Slice, task: str, told: object, kind: str, **user: object
) -> ObjectDerived:
    """Upload what ``task`` made of a slice; a result of the same original, slice and ``told`` that is there stays.

    So a slice that was run twice, by a worker that was slow or thought dead, changes nothing under those who read already.

    Args:
        store: where to.
        file: the result.
        to: ``s3://BUCKET/PREFIX/``.
        part: what it was made of.
        task: the function's name.
        told: what the function was told, all that the result depends on besides the slice.
        kind: the result's media type.
        user: further user metadata.

    """
    bucket, prefix = address(to)
    key = prefix + name(part) + "".join(file.suffixes)
    source = f"s3://{quote(part.bucket)}/{quote(part.key)}"
    mine = {SOURCE: source, ETAG: part.etag, PART: f"{part.number}/{part.of}", TOLD: _digest(f"{task} {told!r}")}
    mine[PART_BYTES] = str(part.bytes)
    made = _there(store, bucket, key)
    if made is None or not mine.items() <= made.user.items():
        more = {name: str(value) for name, value in user.items()}
        made = store.upload(bucket, key, file, content_type=kind, user=mine | more)
    return ObjectDerived(of=version(part), result=version(made), function=task)


def version(of: Slice | ObjectInfo) -> ObjectVersion:
    """Which version of an object this is."""
    return ObjectVersion(bucket=of.bucket, key=of.key, etag=of.etag, size=of.size)


def _there(store: ObjectStore, bucket: str, key: str) -> ObjectInfo | None:
    try:
        return store.head(bucket, key)
    except NotFound:
        return None


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=4).hexdigest()
