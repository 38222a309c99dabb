"""An ingress: a process that only accepts events for a lake whose log others work on."""

from __future__ import annotations

import uvicorn

from infra.config import load
from infra.lake import Lake
from infra.objects.s3 import S3Store
from infra.runtime.api import Api
from infra.runtime.asgi import Endpoint
from infra.runtime.listen import listen, url_of
from infra.sources.push import Push
from infra.sources.sns import Topics
from infra.sources.token import push_token


def serve(port: int) -> None:
    """Accept events on a loopback port until SIGTERM."""
    config = load()
    wanted = config.objects
    lake = Lake(config, S3Store(wanted.endpoint, wanted.access_key, wanted.secret_key))
    with listen("127.0.0.1", port) as bound:
        endpoint = Endpoint(lake, Api(lake, lambda: True, url_of(bound)).application())
        app = Push(endpoint, lake, push_token(config), Topics(config.sources))
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False, lifespan="off", ws="none"))
        server.run(sockets=[bound])
    lake.close()
