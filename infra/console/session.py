"""What all commands have in common: the options that say which lake, ``--json``, and how an error is told.

A command is a function of a ``Session`` and of its own parameters; ``@command`` adds the common options to it.
"""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TextIO

import msgspec
import typer
from rich.console import Console

from infra import config as configuration
from infra.config import Config, ConfigError
from infra.console.client import Client, Complaint, locate
from infra.delivery.retry import cause
from infra.objects.door_keys import door_keys
from infra.runtime.endpoints import Endpoints

#: Columns of an output that is no terminal: more than any table needs.
WIDE = 10_000

DataOption = Annotated[
    str | None, typer.Option("--data", metavar="FOLDER", help="The lake's folder (SLUICE_DATA).", show_default=False)
]
ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="The configuration, else ./lithops_config.yaml.", show_default=False),
]
UrlOption = Annotated[
    str | None,
    typer.Option("--url", metavar="URL", help="The lake's HTTP endpoint, if not this machine's.", show_default=False),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Answer in JSON and nothing else.", show_default=False)]


@dataclass(frozen=True)
class Session:
    """One call of the command line. Output goes to ``out``, everything else (progress, errors) to ``err``."""

    config: Config
    url: str | None = None
    json: bool = False
    config_file: Path | None = None

    def share_file(self) -> None:
        """Let whatever runs in this process later, and asks Lithops for its settings, find the same configuration."""
        if self.config_file is not None:
            os.environ["LITHOPS_CONFIG_FILE"] = str(self.config_file.resolve())

    @property
    def out(self) -> Console:
        """Standard output."""
        return _console(sys.stdout)

    @property
    def err(self) -> Console:
        """Standard error."""
        return _console(sys.stderr)

    @property
    def endpoints(self) -> Endpoints:
        """Where the lake is. Raises ``Complaint`` when none runs."""
        if self.url:
            return Endpoints(self.url, self.config.objects.endpoint, 0)
        return locate(self.config)

    def api(self) -> Client:
        """The lake's API."""
        return Client(self.endpoints.http, self.config.http.token, None if self.url else self.config.folder)

    def store(self, provider: str = "") -> tuple[str, str, str, str]:
        """Endpoint, access key, secret key and region of the lake's object store, or of another one. Raises ``Complaint``."""
        if provider:
            found = next((each for each in self.config.providers if each.name == provider), None)
            if found is None:
                return self._added(provider)
            return found.endpoint, found.access_key, found.secret_key, found.region
        settings, endpoint = self.config.objects, self.endpoints.s3
        if settings.endpoint:
            return settings.endpoint, settings.access_key, settings.secret_key, settings.region
        if not endpoint:
            raise Complaint("with --url, the object store must be configured too: set sluice.objects in lithops_config.yaml")
        return endpoint, *door_keys(self.config), self.config.door.region

    def _added(self, provider: str) -> tuple[str, str, str, str]:
        """A store that was added while the lake runs, by the keys that are here."""
        with self.api() as api:
            found = api.get("/providers", filter=f"provider = '{provider}'")["resources"] if provider.isascii() else []
        keys = {each.name: each for each in self.config.credentials}
        if not found or (known := keys.get(found[0]["credential"])) is None:
            raise Complaint(f"there are no keys of the provider {provider} here; sluice object upload needs none")
        return found[0]["endpoint"], known.access_key, known.secret_key, found[0]["region"]

    def answer(self, document: Any) -> None:
        """Write one JSON document to standard output."""
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(document), indent=2).decode() + "\n")

    def line(self, document: Any) -> None:
        """Write one line of JSON, at once: somebody may be following."""
        sys.stdout.write(msgspec.json.encode(document).decode() + "\n")
        sys.stdout.flush()


def _console(file: TextIO) -> Console:
    """Nothing is wrapped or cut where it goes to a file or pipe."""
    return Console(file=file, highlight=False, width=None if file.isatty() else WIDE)


def command(function: Callable[..., None]) -> Callable[..., None]:
    """Make a command of a function whose first parameter is the ``Session``.

    Errors made for people end it with one line on standard error and exit code 1, Ctrl-C with 130 and no word.
    """
    own = list(inspect.signature(function, eval_str=True).parameters.values())[1:]
    common = {"data": DataOption, "config": ConfigOption, "url": UrlOption, "json": JsonOption}

    def run(**given: Any) -> None:
        data, file, url, as_json = (given.pop(name) for name in common)
        with telling():
            function(Session(configured(file, data), url, as_json, file), **given)

    added = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=kind, default=False if name == "json" else None)
        for name, kind in common.items()
    ]
    run.__signature__ = inspect.Signature([*own, *added])  # type: ignore[attr-defined]
    run.__annotations__ = {each.name: each.annotation for each in (*own, *added)}
    run.__name__, run.__doc__ = function.__name__, function.__doc__
    return run


@contextmanager
def telling() -> Iterator[None]:
    """Turn the errors made for people into a line on standard error (and a place with its caret below), and an exit code."""
    try:
        yield
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    except _told() as error:
        sys.stderr.write(f"sluice: {_lines(str(error))}\n")
        raise typer.Exit(1) from None


@contextmanager
def mapping(what: str) -> Iterator[None]:
    """Turn an error of a map into a ``Complaint``: what failed, in which slice, and how. It is of the user's code or data."""
    try:
        yield
    except Exception as error:
        from infra.runtime.failure import slice_of

        where = slice_of(error)
        if not where and isinstance(error, _told()):
            raise
        raise Complaint(f"{' '.join(filter(None, (what, 'failed', where)))}: {cause(error)}") from error


def _lines(text: str) -> str:
    """An error on one line, unless it shows a place with a caret under it."""
    first, *shown = text.rstrip().split("\n")
    if len(shown) == 2 and shown[1].strip() == "^":
        return "\n".join((" ".join(first.split()), *shown))
    return " ".join(text.split())


def _told() -> tuple[type[BaseException], ...]:
    """The errors whose text is for people. Botocore is only asked for its own when it has been loaded."""
    from events.errors import SluiceError
    from events.ports import Changed, NotFound
    from infra.runtime.wiring import WiringError

    exceptions = sys.modules.get("botocore.exceptions")
    boto = (exceptions.ClientError, exceptions.BotoCoreError) if exceptions else ()
    return (Complaint, ConfigError, WiringError, SluiceError, NotFound, Changed, *boto)


def configured(file: Path | None, data: str | None) -> Config:
    """The configuration with the folder given on the command line. Raises ``ConfigError``."""
    found = configuration.load(file)
    return msgspec.structs.replace(found, data=data) if data else found
