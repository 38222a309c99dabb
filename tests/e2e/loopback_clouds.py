"""Kubernetes, Knative and AWS Lambda on the loopback interface: as much of their HTTP APIs as Lithops' own back ends use.

What they are asked to run, they run: Lithops' own entry points, as processes. They remember the orders they were given.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import requests
from botocore.httpsession import URLLib3Session
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from infra.taska.programs import bound
from tests.conftest import free_port

ROOT = Path(__file__).parents[2]


class Cloud:
    """Runs processes. ``environment`` is that of its image: the object store's endpoint and keys."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        folder.mkdir()
        place = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH", ""))))
        self._environment = {**os.environ, **environment, "PYTHONPATH": place, "TMPDIR": str(folder)}
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self, *arguments: str, **more: str) -> subprocess.Popen[bytes]:
        command = bound([sys.executable, *arguments])
        quiet = subprocess.DEVNULL
        process = subprocess.Popen(
            command, env={**self._environment, **more}, stdout=quiet, stderr=quiet, start_new_session=True
        )
        self.processes.append(process)
        return process

    def close(self) -> None:
        for process in self.processes:
            _kill(process)


def _kill(process: subprocess.Popen[bytes]) -> None:
    """It and its children: they are a group of their own."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


class Kubernetes(Cloud):
    """Jobs, pods and Knative services. ``jobs`` and ``services`` are what was asked for, in order; ``held`` are jobs whose
    pods never start; ``started`` is called when those of another do."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        super().__init__(folder, environment)
        self.jobs: list[dict[str, Any]] = []
        self.services: dict[str, dict[str, Any]] = {}
        self.held = 0
        self.started: Callable[[], None] = lambda: None
        self._pods: dict[str, list[subprocess.Popen[bytes]]] = {}
        self._doors: dict[str, int] = {}
        jobs, services = "/apis/batch/v1/namespaces/lithops/jobs", "/apis/serving.knative.dev/v1/namespaces/lithops/services"
        self.app = Starlette(
            routes=[
                Route(jobs, self._create_job, methods=["POST"]),
                Route(jobs, self._watch_job, methods=["GET"]),
                Route(jobs + "/{name}", self._delete_job, methods=["DELETE"]),
                Route("/api/v1/namespaces/lithops/pods", self._list_pods),
                Route(services, self._create_service, methods=["POST"]),
                Route(services, self._watch_service, methods=["GET"]),
                Route(services + "/{name}", self._delete_job, methods=["DELETE"]),
                Route("/{path:path}", self._ingress, methods=["POST"]),
            ]
        )

    def master(self) -> None:
        """Start Lithops' master pod, which deals out a job's calls: always at port 8080, so at an address of its own."""
        self.address = f"127.{random.randint(1, 250)}.{random.randint(1, 250)}.{random.randint(2, 250)}"
        code = f"from lithops.serverless.backends.k8s.entry_point import proxy; proxy.run(host={self.address!r}, port=8080)"
        self.start("-c", code)

    def configured(self, file: Path, url: str) -> str:
        """A kubeconfig for the API at ``url``."""
        names = {"cluster": "loopback", "user": "tester", "namespace": "lithops"}
        file.write_text(json.dumps({
            "apiVersion": "v1", "kind": "Config", "current-context": "here",
            "clusters": [{"name": "loopback", "cluster": {"server": url}}], "users": [{"name": "tester", "user": {}}],
            "contexts": [{"name": "here", "context": names}],
        }))  # fmt: skip
        return str(file)

    async def _create_job(self, request: Request) -> Response:
        job = await request.json()
        action, data, master = (each.get("value", "") for each in job["spec"]["template"]["spec"]["containers"][0]["env"][:3])
        self.jobs.append(job)
        name = job["metadata"]["name"]
        if action != "get_metadata" and self.held:
            self.held -= 1
        else:
            if action != "get_metadata":
                self.started()
            told = {"ACTION": action, "DATA": data, "MASTER_POD_IP": master}
            entry = ("-m", "lithops.serverless.backends.k8s.entry_point", action, data)
            self._pods[name] = [self.start(*entry, **told) for _ in range(job["spec"]["parallelism"])]
        return JSONResponse(job, 201)

    async def _watch_job(self, request: Request) -> Response:
        """One event: that the pods of the job have ended."""
        name = request.query_params["fieldSelector"].partition("=")[2]
        ended = [await run_in_threadpool(pod.wait) for pod in self._pods[name]]
        status = {"failed": 1} if any(ended) else {"succeeded": 1}
        return Response(
            json.dumps({"type": "MODIFIED", "object": {"kind": "Job", "metadata": {"resourceVersion": "1"}, "status": status}})
            + "\n"
        )

    async def _delete_job(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name not in self._pods:
            return JSONResponse({"code": 404}, 404)
        for pod in self._pods.pop(name):
            await run_in_threadpool(_kill, pod)
        return JSONResponse({"kind": "Status", "status": "Success"})

    async def _list_pods(self, request: Request) -> Response:
        pod = {"metadata": {"name": "master"}, "status": {"podIP": self.address, "phase": "Running"}}
        return JSONResponse({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": [pod]})

    async def _create_service(self, request: Request) -> Response:
        service = await request.json()
        name = service["metadata"]["name"]
        self.services[name], self._doors[name] = service, free_port()
        code = "from lithops.serverless.backends.knative.entry_point import proxy; proxy.run(host='127.0.0.1', port={})"
        self.start("-c", code.format(self._doors[name]))
        return JSONResponse(service, 201)

    async def _watch_service(self, request: Request) -> Response:
        """One event: that the service is ready."""
        name = request.query_params["fieldSelector"].partition("=")[2]
        status = {"url": f"http://{name}.lithops.example", "conditions": [{"status": "True"}] * 3}
        return Response(
            json.dumps({"type": "MODIFIED", "object": {"metadata": {"resourceVersion": "1"}, "status": status}}) + "\n"
        )

    async def _ingress(self, request: Request) -> Response:
        """What comes for a service goes to its pod, as soon as that listens."""
        name, body = request.headers["host"].partition(".")[0], await request.body()
        url = f"http://127.0.0.1:{self._doors[name]}/{request.path_params['path']}"

        def forward() -> requests.Response:
            for _ in range(600):
                try:
                    return requests.post(url, data=body, timeout=60)
                except requests.ConnectionError:
                    time.sleep(0.05)
            raise TimeoutError(url)

        answer = await run_in_threadpool(forward)
        return Response(answer.content, answer.status_code)


class Lambda(Cloud):
    """AWS Lambda. ``functions`` are what was deployed, ``events`` what they were called with."""

    HANDLER = """
import json, sys, types
from lithops.serverless.backends.aws_lambda.entry_point import lambda_handler
out, sys.stdout = sys.stdout, sys.stderr
json.dump(lambda_handler(json.load(sys.stdin), types.SimpleNamespace(aws_request_id="r")), out)
"""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        super().__init__(folder, environment)
        self.functions: dict[str, dict[str, Any]] = {}
        self.events: list[tuple[str, dict[str, Any]]] = []
        functions = "/2015-03-31/functions"
        self.app = Starlette(
            routes=[
                Route("/2018-10-31/layers", self._layers),
                Route(functions, self._create, methods=["POST"]),
                Route(functions + "/{name}", self._get),
                Route(functions + "/{name}/invocations", self._invoke, methods=["POST"]),
            ]
        )

    def session(self, url: str) -> Any:
        """A session for Lithops that goes to ``url``: the one that it makes knows only AWS's own address."""

        class Session(URLLib3Session):
            def send(self, request: Any) -> Any:
                request.url = url + request.url.partition(".amazonaws.com")[2]
                return super().send(request)

        return Session()

    async def _layers(self, request: Request) -> Response:
        version = f"{sys.version_info.major}{sys.version_info.minor}"
        from lithops.version import __version__

        name = f"lithops_v{__version__.replace('.', '')}_user_default-runtime-v{version}_layer"
        return JSONResponse({"Layers": [{"LayerName": name, "LatestMatchingVersion": {"LayerVersionArn": "arn:layer:1"}}]})

    async def _create(self, request: Request) -> Response:
        function = await request.json()
        self.functions[function["FunctionName"]] = function
        return JSONResponse({"FunctionName": function["FunctionName"]}, 201)

    async def _get(self, request: Request) -> Response:
        return JSONResponse({"Configuration": {"State": "Active"}})

    async def _invoke(self, request: Request) -> Response:
        body = await request.body()
        name = request.path_params["name"]
        if request.headers.get("x-amz-invocation-type") == "Event":
            self.events.append((name, json.loads(body)))
            self._child(body)
            return Response(status_code=202, headers={"x-amzn-RequestId": "r"})
        child = self._child(body)
        assert child.stdout is not None
        answer = await run_in_threadpool(child.stdout.read)
        return Response(answer)

    def _child(self, body: bytes) -> subprocess.Popen[bytes]:
        child = subprocess.Popen(
            [sys.executable, "-c", self.HANDLER], env=self._environment, start_new_session=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        self.processes.append(child)
        assert child.stdin is not None
        child.stdin.write(body)
        child.stdin.close()
        return child
