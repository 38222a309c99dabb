"""``sluice serve``: answer with the models of a repository."""

from __future__ import annotations

import threading
from typing import Annotated

import typer

from infra.console.client import NotRunning
from infra.console.session import Session, command


@command
def serve(
    session: Session,
    port: Annotated[int | None, typer.Option(help="If not the configured one; 0 takes a free one.", show_default=False)] = None,
) -> None:
    """Serve the models of a repository over the Open Inference Protocol (v2), until Ctrl-C. New versions are swapped in."""
    from infra.serving import start

    start.quick()
    from infra.console.beside import BesideClient, BesideStore
    from infra.objects.s3 import S3Store
    from infra.runtime.listen import listen, url_of
    from infra.runtime.logs import configure as configure_logs
    from infra.serving import server

    config = session.config
    configure_logs(config.runtime.log_format)
    try:
        api = session.api() if session.url else BesideClient(config)
    except NotRunning:
        if not config.objects.endpoint:
            raise
        api = None  # a container has no lake beside it: the bucket alone is enough
    place, stopping = config.objects, threading.Event()
    objects: S3Store | BesideStore
    if place.endpoint:
        objects = S3Store(place.endpoint, place.access_key, place.secret_key, place.region)
    else:
        objects = S3Store(*session.store()) if session.url else BesideStore(config)
    try:
        app = server.application(config, objects)
        with listen(config.serving.host, config.serving.port if port is None else port) as bound:
            work, given = (server.follow, (app, api, stopping)) if api else (server.look, (app, stopping))
            threading.Thread(target=work, args=given, daemon=True).start()
            url = url_of(bound)
            session.line({"url": url}) if session.json else typer.echo(f"serving {app.repository.name} on {url}/v2")
            server.serve(app, config, [bound])
    finally:
        stopping.set()
        if api:
            api.close()
        objects.close()
