"""Killed in the middle of uploads: every acknowledged object is catalogued, exactly once."""

from __future__ import annotations

import hashlib
import random
import signal
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import boto3
import pytest
from botocore.config import Config as BotoConfig
from botocore.exceptions import BotoCoreError, ClientError

from infra.config import Config
from infra.objects.door_keys import door_keys
from tests.conftest import Sluice, eventually

UPLOADS, KILLS, THREADS = 1000, 2, 8


class Uploader:
    """Uploads each object once, and again only if it was not acknowledged."""

    def __init__(self, sluice: Sluice) -> None:
        self.sluice = sluice
        self.acknowledged: dict[str, str] = {}
        self.doubtful: set[str] = set()
        self.pause = threading.Event()
        self.pause.set()
        self.local = threading.local()

    def client(self):
        url = self.sluice.endpoints["s3"]
        if getattr(self.local, "url", None) != url:
            access, secret = door_keys(Config(data=str(self.sluice.folder)))
            config = BotoConfig(retries={"total_max_attempts": 1}, connect_timeout=5, read_timeout=10)
            self.local.client = boto3.client(
                "s3", endpoint_url=url, aws_access_key_id=access, aws_secret_access_key=secret,
                region_name="us-east-1", config=config,
            )  # fmt: skip
            self.local.url = url
        return self.local.client

    def has(self, count: int) -> bool:
        return len(self.acknowledged) >= count

    def upload(self, number: int) -> None:
        key = f"run {number % 10}/ü{number}.csv"
        body = f"a,b\n{number},{random.Random(number).random()}\n".encode()
        while True:
            assert self.pause.wait(60)
            try:
                self.client().put_object(Bucket="raw", Key=key, Body=body)
            except (BotoCoreError, ClientError, OSError):
                self.doubtful.add(key)
                self.pause.wait(0.05)
                continue
            self.acknowledged[key] = hashlib.md5(body).hexdigest()
            return


@pytest.mark.timeout(300)
def test_every_acknowledged_object_is_catalogued_exactly_once(tmp_path):
    sluice = Sluice(tmp_path / "data").start()
    try:
        uploader = Uploader(sluice)
        uploader.client().create_bucket(Bucket="raw")
        with ThreadPoolExecutor(THREADS) as pool:
            work = [pool.submit(uploader.upload, number) for number in range(UPLOADS)]
            for kill in range(1, KILLS + 1):
                goal = UPLOADS * kill // (KILLS + 1)
                eventually(partial(uploader.has, goal), 120, f"{goal} uploads")
                uploader.pause.clear()
                sluice.stop(signal.SIGKILL)
                sluice.start()
                uploader.pause.set()
            for each in work:
                each.result(120)
        eventually(sluice.settled, 120, "the lake to settle")
        check(sluice, uploader)
    finally:
        sluice.close()


def check(sluice: Sluice, uploader: Uploader) -> None:
    entries = {entry["key"]: entry for entry in sluice.get("/catalog", bucket="raw", limit=10_000)["entries"]}
    assert len(uploader.acknowledged) == UPLOADS
    assert entries.keys() == uploader.acknowledged.keys()
    wrong = [
        key for key, etag in uploader.acknowledged.items() if (entries[key]["state"], entries[key]["etag"]) != ("ready", etag)
    ]
    assert wrong == []
    events = sluice.get("/events", type="dev.sluice.catalog.updated.v1", limit=10_000)["events"]
    times = Counter(item["event"]["data"]["key"] for item in events)
    doubled = {key: count for key, count in times.items() if count != 1 and key not in uploader.doubtful}
    assert doubled == {}
    assert sluice.get("/status")["log"]["dead"] == 0
