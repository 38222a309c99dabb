"""A small client of a lake's HTTP API.

Complaint               what the person at the command line must know: one line, no traceback
├── NotRunning          nothing answers where the lake should be
└── Unanswered          the lake was asked, and may have done it or not
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec

from events.codec import to_json
from events.event import Event
from infra.config import Config, ConfigError
from infra.runtime.endpoints import FILE, Endpoints

#: A plan may read its objects first; everything else answers at once.
TIMEOUT = httpx.Timeout(60.0, connect=3.0)


class Complaint(Exception):
    """An error for the person at the command line: what was wrong and what to do, in one line.

    Below it may follow the line of a filter that is wrong, with a caret.
    """


class NotRunning(Complaint):
    """No lake answers."""


class Unanswered(Complaint):
    """The answer was lost: what was asked for may be done or not."""


def locate(config: Config) -> Endpoints:
    """Where the lake of ``config`` runs, as it wrote it down itself. Raises ``NotRunning``."""
    file = config.folder / FILE
    try:
        return msgspec.json.decode(file.read_bytes(), type=Endpoints)
    except FileNotFoundError:
        raise NotRunning(_not_running(config.folder)) from None
    except (OSError, msgspec.MsgspecError) as error:
        raise ConfigError(f"cannot read {file}: {error}") from error


def _not_running(folder: Path) -> str:
    return f"no lake is running on {folder}: start one with `sluice up`"


class Client:
    """One lake's API. ``folder`` is only for the message when it does not run. Close it, or use it as a context."""

    def __init__(self, url: str, token: str = "", folder: Path | None = None) -> None:
        self.url, self._folder = url.rstrip("/"), folder
        headers = {"authorization": f"Bearer {token}"} if token else {}
        self._http = httpx.Client(base_url=self.url, headers=headers, timeout=TIMEOUT, trust_env=False)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def move(self, url: str) -> None:
        """Ask there from now on."""
        if url.rstrip("/") != self.url:
            self.url = url.rstrip("/")
            self._http.base_url = self.url

    def close(self) -> None:
        """Free the connections."""
        self._http.close()

    def get(self, path: str, **parameters: Any) -> Any:
        """The JSON answer to a GET; parameters that are ``None`` or empty are left out. Raises ``Complaint``."""
        return self._ask("GET", path, params={name: value for name, value in parameters.items() if value not in (None, "", [])})

    def post(self, path: str, document: Any) -> Any:
        """The JSON answer to a JSON document. Raises ``Complaint``."""
        return self._ask("POST", path, content=msgspec.json.encode(document), headers={"content-type": "application/json"})

    def query(self, path: str, fields: dict[str, Any], accept: str) -> Any:
        """The answer to a form: JSON as what it means, anything else as text. Raises ``Complaint``."""
        try:
            answer = self._http.post(path, data=fields, headers={"accept": accept})
        except httpx.ConnectError as error:
            raise self._missing() from error
        except httpx.HTTPError as error:
            raise Complaint(f"the lake at {self.url} did not answer POST {path}: {error or type(error).__name__}") from error
        if answer.is_error:
            raise Complaint(_reason(answer))
        return answer.json() if "json" in answer.headers.get("content-type", "") else answer.text

    def send(self, event: Event) -> None:
        """Have the lake accept an event. Raises ``Complaint``."""
        self._ask("POST", "/", content=to_json(event), headers={"content-type": "application/cloudevents+json"})

    def put(self, path: str, document: Any) -> Any:
        """As ``post``, to replace what is there or make it."""
        return self._ask("PUT", path, content=msgspec.json.encode(document), headers={"content-type": "application/json"})

    def patch(self, path: str, document: Any) -> Any:
        """As ``post``, to change what is there by a JSON Merge Patch."""
        return self._ask("PATCH", path, content=msgspec.json.encode(document), headers={"content-type": "application/json"})

    def delete(self, path: str) -> None:
        """Raises ``Complaint``, also where there was nothing to delete."""
        self._ask("DELETE", path)

    def pages(self, **query: Any) -> Iterator[dict[str, Any]]:
        """Every catalogue entry that matches, page by page; ``limit`` is the most of all pages, 0 for no limit."""
        left, after = query.pop("limit", 0) or 2**62, query.pop("after", None)
        while left > 0:
            page = self.get("/catalog", **query, after=after, limit=min(left, 1000))
            yield from page["entries"]
            left, after = left - len(page["entries"]), page["next"]
            if after is None:
                return

    def follow(self, after: int = 0, pattern: str = "*") -> Iterator[dict[str, Any]]:
        """Accepted events behind ``after`` as they come: ``{"seq", "recorded", "event"}``. Ends when the lake stops."""
        return self.stream("/events", follow="1", after=after, type=pattern)

    def stream(self, path: str, **parameters: Any) -> Iterator[dict[str, Any]]:
        """The lines of JSON that answer a GET, as they come. Ends when the lake stops. Raises ``Complaint``."""
        try:
            with self._http.stream("GET", path, params=parameters, timeout=httpx.Timeout(3.0, read=None)) as answer:
                if not answer.is_success:
                    answer.read()
                    raise Complaint(_reason(answer))
                for line in answer.iter_lines():
                    if line:
                        yield json.loads(line)
        except httpx.ConnectError as error:
            raise self._missing() from error
        except httpx.RemoteProtocolError:
            return  # the lake was stopped in the middle of a line

    def download(self, path: str) -> Iterator[bytes]:
        """The parts of the answer to a GET, as they come. Raises ``Complaint``, also when it is cut short."""
        try:
            with self._http.stream("GET", path) as answer:
                if not answer.is_success:
                    answer.read()
                    raise Complaint(_reason(answer))
                yield from answer.iter_bytes()
        except httpx.ConnectError as error:
            raise self._missing() from error
        except httpx.HTTPError as error:
            raise Complaint(f"the lake at {self.url} did not finish its answer to GET {path}: {error}") from error

    def lines(self, path: str, document: Any) -> Iterator[dict[str, Any]]:
        """The lines of JSON that answer a POST, as they come. Ends early when the lake stops. Raises ``Complaint``."""
        return self.upload(path, msgspec.json.encode(document), "application/json")

    def upload(self, path: str, content: bytes, kind: str = "application/x-ndjson") -> Iterator[dict[str, Any]]:
        """As ``lines``, with a body of any kind."""
        headers = {"content-type": kind}
        timeout = httpx.Timeout(3.0, read=None)
        try:
            with self._http.stream("POST", path, content=content, headers=headers, timeout=timeout) as answer:
                if not answer.is_success:
                    answer.read()
                    raise Complaint(_reason(answer))
                yield from (json.loads(line) for line in answer.iter_lines() if line)
        except httpx.ConnectError as error:
            raise self._missing() from error
        except httpx.RemoteProtocolError:
            return

    def _ask(self, method: str, path: str, **more: Any) -> Any:
        try:
            answer = self._http.request(method, path, **more)
        except httpx.ConnectError as error:
            raise self._missing() from error
        except httpx.HTTPError as error:
            raise Unanswered(
                f"the lake at {self.url} did not answer {method} {path}: {error or type(error).__name__}"
            ) from error
        if answer.is_error:
            raise Complaint(_reason(answer))
        try:
            return answer.json() if answer.content else None
        except ValueError:
            raise Complaint(f"{self.url} is no lake: it answers {method} {path} with something that is no JSON") from None

    def _missing(self) -> NotRunning:
        return NotRunning(_not_running(self._folder) if self._folder else f"no lake answers at {self.url}")


def _reason(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["error"])
    except (ValueError, KeyError, TypeError):
        return f"{answer.url} answered {answer.status_code} {answer.reason_phrase}"
