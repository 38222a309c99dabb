"""``sluice worker``: a process that only works on events, beside the one that accepts them."""

from __future__ import annotations

from typing import Annotated

import typer

from infra.console.session import Session, command


@command
def worker(
    session: Session,
    log_format: Annotated[
        str | None, typer.Option(metavar="FORMAT", help="The log on standard error: text or json.", show_default=False)
    ] = None,
) -> None:
    """Work on the lake's events in a process of its own, without any door. It runs until Ctrl-C; start as many as you like."""
    from infra.lake import Lake
    from infra.objects.providers import Providers
    from infra.objects.s3 import S3Store
    from infra.runtime.ending import Ending
    from infra.runtime.garbage import settle_in
    from infra.runtime.logs import FORMATS
    from infra.runtime.logs import configure as configure_logs
    from infra.runtime.silent_recorder import SilentRecorder

    if log_format and log_format not in FORMATS:
        raise typer.BadParameter(f"{log_format!r} is neither of {', '.join(FORMATS)}", param_hint="--log-format")
    config, settings = session.config, session.config.objects
    configure_logs(log_format or config.runtime.log_format)
    session.share_file()
    configured = settings.endpoint, settings.access_key, settings.secret_key, settings.region
    store = S3Store(*(configured if settings.endpoint else session.store()))
    objects = Providers(store, config.providers)
    ending = Ending()
    lake = Lake(config, objects)
    try:
        settle_in()
        lake.worker.start()
        recorder = SilentRecorder(lake)
        recorder.start()
        session.line({"worker": True, "data": str(config.folder)}) if session.json else typer.echo(
            f"working on {config.folder}"
        )
        ending.wait()
        recorder.stop()
    finally:
        lake.close()
        objects.close()
