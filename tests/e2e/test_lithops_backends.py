"""Maps on Lithops' other back ends and storages: its own classes, over loopback APIs that run what they are asked to."""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from infra.config import Config, Objects, Planner
from infra.objects.s3 import S3Store
from infra.runtime import planned_map
from infra.runtime.lanes import Options
from infra.runtime.lithops import SluiceExecutor
from infra.runtime.planner_client import Ports
from infra.runtime.probe import ENVIRONMENT
from tests.conftest import RedisProcess, serving
from tests.e2e.loopback_clouds import Cloud, Kubernetes, Lambda
from tests.e2e.test_lithops_failures import dies_once
from tests.e2e.test_lithops_map import ACCESS, SECRET, WHOLE, MemoryProfiles, catalog, objects, total

__all__ = ["catalog", "objects"]
pytestmark = [
    pytest.mark.filterwarnings("ignore:Exception ignored in"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
LIMITS = Planner(max_workers=2, memory_mb=[512, 1024])


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What Lithops remembers of runtimes that it deployed is of this test alone."""
    monkeypatch.setattr("lithops.storage.storage.CACHE_DIR", str(tmp_path / "cache"))


@contextmanager
def executing(objects: S3Store, catalog: Any, folder: Path, lithops: dict[str, Any]) -> Iterator[SluiceExecutor]:
    """An executor with Lithops' own configuration."""
    where = Objects(endpoint=objects.endpoint, access_key=ACCESS, secret_key=SECRET)
    config = Config(data=str(folder), objects=where, planner=LIMITS)
    ports = Ports(catalog, MemoryProfiles(), objects, config.settings)
    with SluiceExecutor(sluice=config, config=lithops, ports=ports, progress=False) as executor:
        yield executor


def stored(objects: S3Store, backend: str) -> dict[str, Any]:
    """Lithops' own data in the S3 door, by its class for MinIO."""
    keys = {"endpoint": objects.endpoint, "access_key_id": ACCESS, "secret_access_key": SECRET}
    bucket = f"lithops-{uuid.uuid4()}"  # with no runtimes that another test deployed
    objects.ensure(bucket)
    return {
        "lithops": {"backend": backend, "storage": "minio", "monitoring_interval": 0.2},
        "minio": {**keys, "storage_bucket": bucket},
    }


@pytest.fixture
def image(objects: S3Store) -> dict[str, str]:
    """What an image's environment tells of the lake."""
    told = {"endpoint": objects.endpoint, "access_key": ACCESS, "secret_key": SECRET, "region": "us-east-1"}
    return {ENVIRONMENT[name]: value for name, value in told.items()}


@pytest.mark.parametrize("storage", ["redis", "minio"])
def test_lithops_data_in_another_storage(
    objects: S3Store, catalog: Any, tmp_path: Path, redis_server: RedisProcess, storage: str
) -> None:
    lithops = stored(objects, "localhost")
    lithops["lithops"]["storage"] = storage
    lithops["redis"] = {"host": "127.0.0.1", "port": redis_server.port}
    lithops["localhost"] = {"version": 1, "worker_processes": 2}
    with executing(objects, catalog, tmp_path, lithops) as executor:
        planned = executor.map(
            dies_once, "s3://data/one.csv", slices=6, workers=2, extra_args=[str(tmp_path), "worker"]
        )  # fmt: skip
        assert sum(planned.result()) == WHOLE
        assert (tmp_path / "died").exists()
        left = executor.storage.list_keys(executor.storage.bucket, executor.lanes.place(planned.run)[1])
        assert left == []
        key = executor.executor_id
        storage_client, bucket = executor.storage, executor.storage.bucket
    assert not [each for each in storage_client.list_keys(bucket, "lithops.jobs") if key in each]


def test_a_process_for_each_call(objects: S3Store, catalog: Any, tmp_path: Path) -> None:
    lithops = {"lithops": {"backend": "localhost", "storage": "localhost"}, "localhost": {"version": 2, "worker_processes": 2}}
    with executing(objects, catalog, tmp_path, lithops) as executor:
        assert sum(executor.map(total, "s3://data/one.csv", slices=4, workers=2).result()) == WHOLE


@contextmanager
def running(cloud: Cloud) -> Iterator[str]:
    """Its API's URL."""
    try:
        with serving(cloud.app) as url:  # type: ignore[attr-defined]
            yield url
    finally:
        cloud.close()


def kubernetes(objects: S3Store, cloud: Kubernetes, folder: Path, url: str, backend: str) -> dict[str, Any]:
    own = {
        "kubecfg_path": cloud.configured(folder / "kubeconfig", url), "runtime": "registry.test/sluice/worker:1",
        "max_workers": 4, "runtime_cpu": 0.5, "runtime_timeout": 77,
    }  # fmt: skip
    return {**stored(objects, backend), backend: own | ({"ingress_endpoint": url} if backend == "knative" else {})}


def payload(job: dict[str, Any]) -> dict[str, Any]:
    """What Lithops tells a job's pods."""
    (container,) = job["spec"]["template"]["spec"]["containers"]
    told: dict[str, Any] = json.loads(base64.b64decode(container["env"][1]["value"]))
    return told


def test_a_map_on_kubernetes(objects: S3Store, catalog: Any, tmp_path: Path, image: dict[str, str]) -> None:
    cloud = Kubernetes(tmp_path / "pods", image)
    with running(cloud) as url:
        cloud.master()
        with executing(objects, catalog, tmp_path, kubernetes(objects, cloud, tmp_path, url, "k8s")) as executor:
            own: dict[str, Any] = {"memory": 1024, "timeout": 30, "extra_args": [str(tmp_path), "worker"]}
            planned = executor.map(dies_once, "s3://data/one.csv", slices=4, workers=2, **own)
            assert planned.plan.vcpus == 0.5
            assert sum(planned.result()) == WHOLE
    assert (tmp_path / "died").exists(), "a pod's process was killed on the way"
    meta, *jobs = cloud.jobs
    assert meta["spec"]["template"]["spec"]["containers"][0]["env"][0]["value"] == "get_metadata"
    for job in jobs:
        resources = job["spec"]["template"]["spec"]["containers"][0]["resources"]
        assert resources["limits"] == resources["requests"] == {"memory": "1024Mi", "cpu": "0.5"}
        assert job["spec"]["activeDeadlineSeconds"] == 77
        assert job["spec"]["parallelism"] == payload(job)["total_calls"] <= 2
        assert payload(job)["execution_timeout"] == 30


def test_pods_that_never_start_are_asked_for_again(
    objects: S3Store, catalog: Any, tmp_path: Path, image: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud = Kubernetes(tmp_path / "pods", image)
    with running(cloud) as url:
        cloud.master()
        cloud.held = 1
        with executing(objects, catalog, tmp_path, kubernetes(objects, cloud, tmp_path, url, "k8s")) as executor:
            monkeypatch.setattr(planned_map, "START_S", 3.0)
            cloud.started = lambda: monkeypatch.setattr(planned_map, "START_S", 30.0)
            planned = executor.map(total, "s3://data/one.csv", slices=2, workers=2)
            assert sum(planned.result()) == WHOLE
            assert planned.statistics is not None
            assert [ran.lost for ran in planned.statistics.ran] == [True, True, False, False]


def test_a_large_map_on_kubernetes_is_several_jobs_that_fit_into_an_environment(
    objects: S3Store, catalog: Any, tmp_path: Path, image: dict[str, str]
) -> None:
    cloud = Kubernetes(tmp_path / "pods", image)
    with running(cloud) as url:
        cloud.master()
        cloud.held = 1000
        with executing(objects, catalog, tmp_path, kubernetes(objects, cloud, tmp_path, url, "k8s")) as executor:
            work = executor.map(total, "s3://data/one.csv", slices=4, workers=2).work
            before = len(cloud.jobs)
            calls = [(number, b"x" * 40_000, 1.0) for number in range(7000)]
            assert len(executor.lanes.submit(work, calls, Options(), 512)) == 7000
    jobs = cloud.jobs[before:]
    assert sum(payload(job)["total_calls"] for job in jobs) == 7000
    for job in jobs:
        told = job["spec"]["template"]["spec"]["containers"][0]["env"][1]["value"]
        assert len(f"DATA={told}") < 128 * 1024 - 8192, "Linux takes no longer ones; some room for the map's own settings"


def test_a_map_on_knative(
    objects: S3Store, catalog: Any, tmp_path: Path, image: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from lithops.serverless.backends.knative import knative

    monkeypatch.setattr(knative, "CACHE_DIR", str(tmp_path / "cache"))
    cloud = Kubernetes(tmp_path / "pods", image)
    with running(cloud) as url:
        lithops = kubernetes(objects, cloud, tmp_path, url, "knative")
        monkeypatch.setenv("KUBECONFIG", lithops["knative"]["kubecfg_path"])
        with executing(objects, catalog, tmp_path, lithops) as executor:
            planned = executor.map(total, "s3://data/one.csv", slices=4, workers=2, memory=1024)
            assert planned.plan.vcpus == 0.5
            assert sum(planned.result()) == WHOLE
            assert sum(executor.map(total, "s3://data/one.csv", slices=2, workers=2, memory=1024).result()) == WHOLE
    (service,) = cloud.services.values()
    template = service["spec"]["template"]
    assert template["metadata"]["annotations"]["autoscaling.knative.dev/maxScale"] == "4"
    assert (template["spec"]["timeoutSeconds"], template["spec"]["containerConcurrency"]) == (77, 1)
    resources = template["spec"]["containers"][0]["resources"]
    assert resources["limits"] == resources["requests"] == {"memory": "1024Mi", "cpu": "0.5"}


def test_a_map_on_aws_lambda(
    objects: S3Store, catalog: Any, tmp_path: Path, image: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud = Lambda(tmp_path / "functions", image)
    with running(cloud) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL_LAMBDA", url)
        monkeypatch.chdir(tmp_path)  # Lithops zips its handler here
        own = {
            "execution_role": "arn:aws:iam::123456789012:role/worker", "region": "eu-west-1", "access_key_id": "a",
            "secret_access_key": "b", "account_id": "123456789012", "user_id": "AIDAUSER", "runtime_timeout": 77,
            "max_workers": 3,
        }  # fmt: skip
        with executing(objects, catalog, tmp_path, {**stored(objects, "aws_lambda"), "aws_lambda": own}) as executor:
            executor.compute_handler.backend.session = cloud.session(url)
            planned = executor.map(total, "s3://data/one.csv", slices=4, workers=2, memory=1024, timeout=30)
            assert planned.plan.vcpus == pytest.approx(1024 / 1769)
            assert sum(planned.result()) == WHOLE
            again = executor.map(total, "s3://data/one.csv", slices=2, memory=512)
            assert sum(again.result()) == WHOLE
    assert [(each["MemorySize"], each["Timeout"]) for each in cloud.functions.values()] == [(1024, 77), (512, 77)]
    assert {event["execution_timeout"] for _, event in cloud.events} == {30, 72}
    assert {event["runtime_memory"] for _, event in cloud.events} == {1024, 512}
