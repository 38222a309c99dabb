"""``sluice put``: files into the lake."""

from __future__ import annotations

import mimetypes
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from infra.console import address, text
from infra.console.client import Complaint
from infra.console.progress import Progress
from infra.console.session import Session, command

#: From this size on a file is sent in parts of this size, several at once.
PART = 16 << 20


@command
def put(
    session: Session,
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Files, or folders with everything in them.")],
    to: Annotated[str, typer.Argument(metavar="s3://BUCKET/PREFIX", help="A prefix, or one file's whole key.")],
    meta: Annotated[
        list[str], typer.Option(metavar="NAME=VALUE", help="User metadata of every file; may be repeated.", show_default=False)
    ] = [],  # noqa: B006 - typer makes a new one of it
) -> None:
    """Upload files and folders. The bucket is made if it is missing; an object of the same key is replaced.

    One file goes to the key as it is given, unless that is empty or ends with "/"; then its name is appended. What is in a
    folder goes below the prefix.
    """
    from boto3.exceptions import S3UploadFailedError
    from boto3.s3.transfer import TransferConfig

    from infra.objects.providers import split
    from infra.objects.s3 import S3Store

    bucket, prefix = address.parse(to)
    user = _metadata(meta)
    provider, name = split(bucket)
    planned = list(keys(files, prefix))
    store = S3Store(*session.store(provider))
    try:
        store.ensure(name)
        sizes = [file.stat().st_size for file, _ in planned]
        with Progress("uploading", sum(sizes), session.err, quiet=session.json) as progress:
            for file, key in planned:
                kind = mimetypes.guess_type(file.name)[0]
                store.client.upload_file(
                    str(file),
                    name,
                    key,
                    ExtraArgs={"Metadata": user} | ({"ContentType": kind} if kind else {}),
                    Callback=progress.advance,
                    Config=TransferConfig(multipart_threshold=PART, multipart_chunksize=PART, max_concurrency=4),
                )
    except S3UploadFailedError as error:
        raise Complaint(str(error)) from error
    finally:
        store.close()
    done = [
        {"file": str(file), "bucket": bucket, "key": key, "size": size}
        for (file, key), size in zip(planned, sizes, strict=True)
    ]
    if session.json:
        session.answer({"uploaded": done})
        return
    for (file, key), count in zip(planned, sizes, strict=True):
        typer.echo(f"{file} -> s3://{bucket}/{key} ({text.size(count)})")


def _metadata(told: list[str]) -> dict[str, str]:
    pairs = [each.partition("=") for each in told]
    if wrong := next((each for each, (name, equals, _) in zip(told, pairs, strict=True) if not (name and equals)), None):
        raise Complaint(f"--meta {wrong} says nothing: write NAME=VALUE")
    return {name: value for name, _, value in pairs}


def keys(files: list[Path], prefix: str) -> Iterator[tuple[Path, str]]:
    """Each file with its key, in a stable order. Raises ``Complaint`` for what cannot be uploaded."""
    below = prefix if not prefix or prefix.endswith("/") else prefix + "/"
    if len(files) == 1 and files[0].is_file():
        yield files[0], prefix if prefix and prefix != below else below + files[0].name
        return
    taken: dict[str, Path] = {}
    for found, name in _named(files):
        key = below + name
        if key in taken:
            raise Complaint(f"{taken[key]} and {found} would both get the key {key}: upload them to different prefixes")
        taken[key] = found
        yield found, key


def _named(files: list[Path]) -> Iterator[tuple[Path, str]]:
    """Each file with its name below the prefix; folders stand for what is in them."""
    for file in files:
        if file.is_dir():
            inside = sorted(found for found in file.rglob("*") if found.is_file())
            if not inside:
                raise Complaint(f"the folder {file} has no files")
            yield from ((found, found.relative_to(file).as_posix()) for found in inside)
        elif file.is_file():
            yield file, file.name
        else:
            raise Complaint(f"there is no file {file}")
