"""What each of Lithops' back ends can run at once, and which of them heed the memory of a map."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from events.types import WorkerSize
from infra.config import Planner, cores

#: Back ends whose workers have the memory that a map asks for. On those but Kubernetes a new value means a deployment, so only
#: the sizes of ``sluice.planner.memory_mb`` are asked for. Elsewhere memory is as the back end's section says.
PER_MAP = {"k8s", "knative", "aws_lambda", "code_engine", "gcp_functions", "gcp_cloudrun", "ibm_cf", "openwhisk", "oracle_f"}
#: A vCPU on AWS Lambda comes with so much memory.
LAMBDA_MB = 1769
#: Most calls of one job on Kubernetes: they travel with Lithops' configuration in one environment variable, which Linux limits
#: to 128 KiB. That is 3500 calls at best, and less than 3100 when their slices are a hundred megabytes of text.
MOST_CALLS = {"k8s": 2000}


def heeds_memory(backend: str) -> bool:
    """Whether workers get the memory that a map asks for."""
    return backend in PER_MAP


def sizes(backend: str, mode: str, own: Mapping[str, Any], planner: Planner) -> list[WorkerSize]:
    """The worker configurations that a plan may choose, as far as the back end has room.

    Args:
        backend: its name.
        mode: Lithops' kind of it: ``localhost``, ``serverless`` or ``standalone``.
        own: the back end's section of Lithops' configuration, with its defaults.
        planner: what the configuration allows; its ``max_workers`` of 0 means as many as there is room for.

    """
    at_once = _number(own.get("worker_processes")) or 1
    room = at_once if mode == "localhost" else (_number(own.get("max_workers")) or 1) * at_once
    most = min(room, planner.max_workers or room)
    found = []
    for size in planner.sizes:
        vcpus = size.vcpus
        if backend == "aws_lambda" and not planner.mb_per_vcpu:
            vcpus = size.memory_mb / LAMBDA_MB
        elif own.get("runtime_cpu"):
            vcpus = float(own["runtime_cpu"])
        found.append(msgspec.structs.replace(size, vcpus=vcpus, max_workers=most))
    if mode == "localhost" or heeds_memory(backend):
        return found
    memory = _number(own.get("runtime_memory"))  # all workers are alike
    return [msgspec.structs.replace(found[-1], memory_mb=memory or found[-1].memory_mb)]


def cluster_cores(mode: str, planner: Planner) -> float:
    """All workers' vCPUs together; 0 is no limit but that of the workers."""
    return float(cores()) if mode == "localhost" else planner.cores


def _number(value: Any) -> int:
    """A count; 0 for what Lithops only knows later (``AUTO``)."""
    try:
        return max(int(value), 0)
    except (TypeError, ValueError):
        return 0
