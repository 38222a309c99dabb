"""The processes of a training as tasks of Ray, on this machine or on the cluster that ``RAY_ADDRESS`` names.

Ray listens on all interfaces, whatever it is told: use it where the network lets nobody else in.
"""

from __future__ import annotations

import importlib
import socket
from collections.abc import Iterator
from typing import Any

from events.errors import Reject
from functions.training.settings import settings_of


def learn(agent: str, parameters: dict[str, Any], data: list[bytes], checkpoint: bytes) -> Iterator[dict[str, Any]]:
    """As ``run.learn``, with this process as the first one. Raises ``Reject`` where Ray is not installed."""
    try:
        ray: Any = importlib.import_module("ray")
    except ImportError:
        raise Reject("way is ray, but Ray is not installed: pip install 'sluice[ray]', or leave way at processes") from None
    from functions.training.parallel import Company
    from functions.training.run import learn as learn_here

    settings = settings_of(agent, parameters)
    ray.init(include_dashboard=False, log_to_driver=False)
    try:
        meeting = f"tcp://{ray.util.get_node_ip_address()}:{_free_port()}"
        task = ray.remote(num_cpus=1)(helper)
        others = [task.remote(agent, parameters, data, checkpoint, number, meeting) for number in range(1, settings.processes)]
        company = Company(settings.processes, 0, meeting)
        yield from learn_here(settings, data, checkpoint, company)
        company.close()
        ray.get(others)
    finally:
        ray.shutdown()


def helper(agent: str, parameters: dict[str, Any], data: list[bytes], checkpoint: bytes, rank: int, meeting: str) -> None:
    """One of the other processes."""
    from functions.training.parallel import Company, single
    from functions.training.run import learn as learn_here

    single()
    settings = settings_of(agent, parameters)
    company = Company(settings.processes, rank, meeting)
    for _ in learn_here(settings, data, checkpoint, company):
        pass
    company.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("", 0))
        port: int = probe.getsockname()[1]
    return port
