"""Loading a model in one pass beside the way it is usually done: download to a file, read it to check it, read it to load it.

``CPU`` seconds of fetching 256 MB over loopback HTTP with the default digest until the bytes are in memory and checked; making
a session of them is the same work for both, and left out.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from urllib.request import urlopen

import httpx

from infra.bench.load import free_port

SIZE, CHUNK, ROUNDS = 256 << 20, 1 << 20, 3


def one_pass(url: str, _: Path) -> tuple[str, bytes]:
    """As ``infra/models/loader.py`` does: what is hashed is what is kept."""
    hashed, content = hashlib.sha256(), BytesIO()
    with urlopen(url) as answer:
        while chunk := answer.read(CHUNK):
            hashed.update(chunk)
            content.write(chunk)
    return hashed.hexdigest(), content.getvalue()


def by_file(url: str, file: Path) -> tuple[str, bytes]:
    """Download, read again and hash, read again and load."""
    with urlopen(url) as answer, file.open("wb") as out:
        while chunk := answer.read(CHUNK):
            out.write(chunk)
    hashed = hashlib.sha256()
    with file.open("rb") as stored:
        while chunk := stored.read(CHUNK):
            hashed.update(chunk)
    return hashed.hexdigest(), file.read_bytes()


def measure(folder: Path) -> dict[str, float]:
    """``load_one_pass_s``, ``load_by_file_s`` (CPU), and how often the one goes into the other, in CPU and in time."""
    content = bytes(range(256)) * (SIZE // 256)
    (folder / "large").write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    found: dict[str, tuple[float, float]] = {}
    with _serving(folder) as url:
        for _ in range(ROUNDS):
            for way in (one_pass, by_file):
                cpu, wall = _timed(way, url, folder / "copy", digest)
                before = found.get(way.__name__, (1e9, 1e9))
                found[way.__name__] = (min(before[0], cpu), min(before[1], wall))
    quick, slow = found["one_pass"], found["by_file"]
    return {
        "load_one_pass_s": quick[0],
        "load_by_file_s": slow[0],
        "load_vs_file": slow[0] / quick[0],
        "load_vs_file_wall": slow[1] / quick[1],
    }


def _timed(way: Callable[[str, Path], tuple[str, bytes]], url: str, file: Path, digest: str) -> tuple[float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    found, content = way(url, file)
    spent = time.process_time() - cpu, time.perf_counter() - wall
    if found != digest or len(content) != SIZE:
        raise RuntimeError(f"{way.__name__} read something else")
    return spent


@contextmanager
def _serving(folder: Path) -> Iterator[str]:
    port = free_port()
    command = [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1"]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            url = f"http://127.0.0.1:{port}/large"
            for _ in range(200):
                try:
                    httpx.head(url, trust_env=False)
                    break
                except httpx.TransportError:
                    time.sleep(0.05)
            yield url
        finally:
            server.terminate()
