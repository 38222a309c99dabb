"""Loading a model in one pass beside the way it is usually done: download to a file, read it to check it, read it to load it.

``CPU`` seconds of fetching 256 MB from a door over loopback until the bytes are in memory and checked by the default digest:
the product's own ``Loader`` over its ``S3Store``, beside boto3's ``download_file``. Making a session of the bytes is the same
work for both, and left out; so is what the door itself needs.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
from onnx import TensorProto, helper

from events.models import Repository
from functions.repository import layout, sidecar
from infra.bench.door import ACCESS, BUCKET, SECRET, door
from infra.models.loader import Loader, Record
from infra.objects.s3 import S3Store

SIZE, CHUNK, ROUNDS = 256 << 20, 1 << 20, 3
REPOSITORY, NAME = Repository(name="bench", bucket=BUCKET), "large"
KEY = layout.file_key(REPOSITORY.prefix, NAME, 1)


def measure(folder: Path) -> dict[str, float]:
    """``load_one_pass_s``, ``load_by_file_s`` (CPU), and how often the one goes into the other, in CPU and in time."""
    with door(folder / "load") as client:
        store = S3Store(client.meta.endpoint_url, ACCESS, SECRET)
        loader, copy = Loader(store, REPOSITORY), folder / "copy"
        digest = _fill(store)

        def one_pass() -> tuple[str, bytes]:
            """As every load of a model is."""
            found = loader.load(NAME, 1)
            return found.record.digest, found.content

        def by_file() -> tuple[str, bytes]:
            """Download, read again and hash, read again and load."""
            client.download_file(BUCKET, KEY, str(copy))
            hashed = hashlib.sha256()
            with copy.open("rb") as stored:
                while chunk := stored.read(CHUNK):
                    hashed.update(chunk)
            return f"sha256:{hashed.hexdigest()}", copy.read_bytes()

        best = dict.fromkeys((one_pass, by_file), (1e9, 1e9))
        for _ in range(ROUNDS):
            for way, (cpu, wall) in best.items():
                found = _timed(way, digest)
                best[way] = min(cpu, found[0]), min(wall, found[1])
        store.close()
    quick, slow = best[one_pass], best[by_file]
    return {
        "load_one_pass_s": quick[0],
        "load_by_file_s": slow[0],
        "load_vs_file": slow[0] / quick[0],
        "load_vs_file_wall": slow[1] / quick[1],
    }


def _fill(store: S3Store) -> str:
    """Store a version as ``model_store`` does; its digest."""
    content = _model()
    digest = hashlib.sha256(content).hexdigest()
    record = msgspec.json.encode(Record(name=NAME, version=1, key=KEY, digest=f"sha256:{digest}", size=len(content)))
    store.ensure(BUCKET)
    for key, body in ((KEY, content), (layout.record_key(REPOSITORY.prefix, NAME, 1), record)):
        beside = sidecar.text(hashlib.sha256(body).hexdigest(), key.rsplit("/", 1)[-1])
        store.write(BUCKET, sidecar.key(key, "sha256"), beside)
        store.write(BUCKET, key, body)
    return f"sha256:{digest}"


def _model() -> bytes:
    """A model with one large weight."""
    shape, weight = [SIZE // 4], bytes(range(256)) * (SIZE // 256)
    value = helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)
    initializer = helper.make_tensor("w", TensorProto.FLOAT, shape, weight, raw=True)
    graph = helper.make_graph([helper.make_node("Identity", ["w"], ["y"])], NAME, [], [value], [initializer])
    content: bytes = helper.make_model(graph).SerializeToString()
    return content


def _timed(way: Callable[[], tuple[str, bytes]], digest: str) -> tuple[float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    found, content = way()
    spent = time.process_time() - cpu, time.perf_counter() - wall
    if found != digest or len(content) < SIZE:
        raise RuntimeError(f"{way.__name__} read something else")
    return spent
