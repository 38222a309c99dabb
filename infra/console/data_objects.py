"""``sluice object``: upload and download through presigned URLs, without the keys of the object store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer
from rich.table import Table
from rich.text import Text

from infra.console import address, text
from infra.console.client import Client, Complaint
from infra.console.resources import Id, group, path
from infra.console.session import Session, command

NOUN = "data-objects"
#: Larger files are sent in parts of at least so many bytes.
PART = 64 << 20
MOST_PARTS = 10_000
CHUNK = 1 << 20

app = group(NOUN, "Objects: their catalogue entries, uploads and downloads.", make=False)


@command
def upload(
    session: Session,
    file: Annotated[Path, typer.Argument(help="What to upload.")],
    place: Annotated[str, typer.Argument(metavar="s3://BUCKET/KEY", help="Where to.")],
    name: Annotated[str, typer.Option(help="What it is called in the catalogue.", show_default=False)] = "",
    content_type: Annotated[str, typer.Option(help="Its media type.", show_default=False)] = "",
    ttl: Annotated[int, typer.Option(help="Seconds that the upload may take.")] = 3600,
) -> None:
    """Upload a file by a presigned URL; it is yours, and only you see it until you say otherwise."""
    bucket, key = address.full(place)
    if not file.is_file():
        raise Complaint(f"there is no file {file}")
    with session.api() as api:
        made = api.post(f"/{NOUN}", {"bucket": bucket, "key": key, "name": name, "content-type": content_type})
        _send(api, made["id"], file, ttl)
    session.answer(made) if session.json else typer.echo(made["id"])


def _send(api: Client, id: str, file: Path, ttl: int) -> None:
    size = file.stat().st_size
    count = min(-(-size // PART), MOST_PARTS)
    with httpx.Client(timeout=httpx.Timeout(60.0, read=600.0), trust_env=False) as http:
        if count <= 1:
            asked = api.post(f"{path(NOUN, id)}/upload", {"ttl": ttl})
            _put(http, asked["uri"], file, 0, size, asked["headers"])
            api.post(f"{path(NOUN, id)}/ready", {})
            return
        length = -(-size // count)
        uris = api.post(f"{path(NOUN, id)}/upload", {"ttl": ttl, "parts": count})["uris"]
        tags = [
            _put(http, uri, file, number * length, min(length, size - number * length), {}) for number, uri in enumerate(uris)
        ]
        api.post(f"{path(NOUN, id)}/complete", {"parts": [{"number": n, "etag": tag} for n, tag in enumerate(tags, 1)]})


def _put(http: httpx.Client, uri: str, file: Path, start: int, length: int, headers: dict[str, str]) -> str:
    """Send a part of a file; its ETag."""
    answer = http.put(uri, content=_bytes(file, start, length), headers={**headers, "content-length": str(length)})
    if not answer.is_success:
        raise Complaint(f"the store refused {file} with {answer.status_code}: {answer.text[:300]}")
    return str(answer.headers.get("etag", ""))


def _bytes(file: Path, start: int, length: int) -> Iterator[bytes]:
    with file.open("rb") as source:
        source.seek(start)
        while length > 0 and (chunk := source.read(min(CHUNK, length))):
            length -= len(chunk)
            yield chunk


@command
def download(
    session: Session,
    id: Id,
    file: Annotated[Path, typer.Argument(help="Where to.")],
    version: Annotated[str, typer.Option(help="The version to fetch; the present one unless given.", show_default=False)] = "",
) -> None:
    """Download an object by a presigned URL."""
    with session.api() as api:
        uri = api.post(f"{path(NOUN, id)}/download", {"ttl": 3600, "version": version})["uri"]
    with httpx.stream("GET", uri, timeout=60.0, trust_env=False) as answer:
        if not answer.is_success:
            raise Complaint(f"the store refused with {answer.status_code}: {answer.read()[:300]!r}")
        with file.open("wb") as out:
            for chunk in answer.iter_bytes(CHUNK):
                out.write(chunk)
    session.answer({"file": str(file)}) if session.json else typer.echo(str(file))


@command
def versions(session: Session, id: Id) -> None:
    """List the versions of an object that its store has kept."""
    with session.api() as api:
        found, after = list[dict[str, Any]](), ""
        while True:
            page = api.get(f"{path(NOUN, id)}/versions", after=after)
            found += page["versions"]
            if not (after := page["next"]):
                break
    if session.json:
        session.answer({"versions": found})
        return
    table = Table("version", "bytes", "modified", "etag", box=None, pad_edge=False)
    for each in found:
        told = (each["version"] + " (current)" * each["current"], str(each["bytes"]), each["modified"], each["etag"])
        table.add_row(*(Text(text.printable(one)) for one in told))
    session.out.print(table)


@command
def delete(
    session: Session,
    id: Id,
    keep_object: Annotated[bool, typer.Option("--keep-object", help="Only the catalogue forgets it.")] = False,
) -> None:
    """Delete an object, in its store too."""
    with session.api() as api:
        api.delete(path(NOUN, id) + ("?keep-object=true" if keep_object else ""))
    session.answer({"deleted": id}) if session.json else typer.echo(f"{id} deleted")


for command_name, function in {"upload": upload, "download": download, "versions": versions, "delete": delete}.items():
    app.command(command_name)(function)
