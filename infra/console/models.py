"""``sluice models`` and ``sluice model``: the model repositories."""

from __future__ import annotations

import math
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from events.errors import Reject
from events.models import Repository
from events.ports import NotFound
from functions.repository import sidecar, signature, told
from functions.repository.sidecar import Unverified
from infra.console import text
from infra.console.adopt import adopt
from infra.console.client import Complaint
from infra.console.session import Session, command

REPOSITORY = Annotated[str, typer.Option(help="The repository, if there are several.", show_default=False)]


class Action(StrEnum):
    """What to do."""

    PUSH = "push"
    PROMOTE = "promote"
    ROLLBACK = "rollback"
    VERIFY = "verify"
    ADOPT = "adopt"
    SIGN = "sign"


@command
def models(
    session: Session,
    repository: Annotated[str, typer.Option(help="Of this repository only.")] = "",
    name: Annotated[str, typer.Option(help="Of this model only.")] = "",
) -> None:
    """List the numbered versions in the model repositories, and the aliases that mean them."""
    with session.api() as api:
        found = api.get("/models", repository=repository, name=name)
    if session.json:
        session.answer(found)
        return
    aliases: dict[tuple[str, str, int], list[str]] = {}
    for each in found["aliases"]:
        aliases.setdefault((each["repository"], each["name"], each["version"]), []).append(each["alias"])
    table = Table("model", "version", "aliases", "size", "digest", "object", box=None, pad_edge=False)
    for each in found["models"]:
        table.add_row(
            f"{each['repository']}/{each['name']}",
            str(each["version"]),
            ", ".join(aliases.get((each["repository"], each["name"], each["version"]), [])),
            text.size(each["size"]),
            _digest(each["digest"]),
            f"s3://{each['bucket']}/{each['key']}",
        )
    session.out.print(table)


@command
def model(
    session: Session,
    action: Annotated[Action, typer.Argument(help="What to do.")],
    name: Annotated[str, typer.Argument(metavar="NAME", help="The model. adopt: all of them unless given.")] = "",
    what: Annotated[
        str, typer.Argument(metavar="FILE|VERSION", help="push, sign: the ONNX file. promote, verify: the version.")
    ] = "",
    alias: Annotated[str, typer.Option(help="The alias to move (promote, rollback) or to follow (verify).")] = "champion",
    repository: REPOSITORY = "",
    key: Annotated[
        Path | None, typer.Option(help="A private key (PEM, P-256) that signs (sign, push).", show_default=False)
    ] = None,
    version: Annotated[int, typer.Option(help="As which version to sign; 0 is the next.", show_default=False)] = 0,
    metric: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="How good it is (push); may be repeated.", show_default=False)
    ] = None,
    dataset: Annotated[
        list[str] | None,
        typer.Option(help="What it was trained on (push): s3://BUCKET/KEY or the id of a data set.", show_default=False),
    ] = None,
    aliases: Annotated[
        bool, typer.Option("--aliases", help="Believe the aliases in the bucket too (adopt).", show_default=False)
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only look (adopt).", show_default=False)] = False,
) -> None:
    """Upload a model with its sidecar and signature (push), write that signature to FILE.sig (sign), let an alias mean a
    version (promote) or again the one before (rollback), read a version, or the one an alias means, from its bucket and
    check it as every load does (verify), or take over the versions of a lake that is gone (adopt).
    """
    where = _repository(session, repository)
    if action is Action.ADOPT:
        adopt(session, where, name, aliases=aliases, dry_run=dry_run)
        return
    if not name:
        raise Complaint(f"say which model: sluice model {action} NAME")
    if action is Action.PUSH:
        _push(session, where, name, Path(what), key, version, told.written(_metrics(metric or []), dataset or []))
    elif action is Action.SIGN:
        _sign(session, where, name, Path(what), key, version)
    elif action is Action.VERIFY:
        _verify(session, where, name, what, alias)
    else:
        _promote(session, where, name, _number(what) if action is Action.PROMOTE else 0, alias)


def _metrics(given: list[str]) -> dict[str, float]:
    found = {}
    for each in given:
        name, _, value = each.partition("=")
        try:
            found[name] = float(value)
        except ValueError:
            raise Complaint(f"{each!r} is no metric: --metric NAME=VALUE, such as accuracy=0.97") from None
        if not name or not math.isfinite(found[name]):
            raise Complaint(f"{each!r} is no metric: it needs a name and a finite number")
    return found


def _push(
    session: Session, where: Repository, name: str, file: Path, signs: Path | None, version: int, user: dict[str, str]
) -> None:
    from infra.objects.s3 import S3Store

    content = _content(file)
    beside_it = file.with_name(file.name + signature.SUFFIX)
    signed = _signature(session, where, name, content, signs, version) if signs else b""
    if not signs and beside_it.is_file():
        signed = beside_it.read_bytes()
    made = sidecar.hasher(where.digest)
    made.update(content)
    key = f"{where.prefix}{name}/model.onnx"
    store = S3Store(*session.store())
    try:
        beside = sidecar.text(made.hexdigest(), "model.onnx")
        store.write(where.bucket, sidecar.key(key, where.digest), beside, content_type="text/plain")
        if signed:
            store.write(where.bucket, key + signature.SUFFIX, signed, content_type="application/json")
        store.upload(where.bucket, key, file, content_type="application/onnx", user=user)
    finally:
        store.close()
    if session.json:
        session.answer(
            {"bucket": where.bucket, "key": key, "size": len(content), "digest": f"{where.digest}:{made.hexdigest()}"}
        )
        return
    typer.echo(f"{file} -> s3://{where.bucket}/{key} ({text.size(len(content))}); once checked, `sluice models` lists it")


def _sign(session: Session, where: Repository, name: str, file: Path, key: Path | None, version: int) -> None:
    if key is None:
        raise Complaint("say which private key signs: --key KEY.pem")
    beside = file.with_name(file.name + signature.SUFFIX)
    beside.write_bytes(_signature(session, where, name, _content(file), key, version))
    session.answer({"signature": str(beside)}) if session.json else typer.echo(f"{file} is signed: {beside}")


def _signature(session: Session, where: Repository, name: str, content: bytes, key: Path, version: int) -> bytes:
    """The signature of what will be this version, or the next."""
    if not key.is_file():
        raise Complaint(f"there is no file {key}: --key takes a private key as PEM")
    if not version:
        with session.api() as api:
            known = api.get("/models", repository=where.name, name=name)["models"]
        version = max((each["version"] for each in known), default=0) + 1
    try:
        return signature.sign(key.read_bytes(), name, version, content)
    except Reject as error:
        raise Complaint(f"{key}: {error}") from error


def _content(file: Path) -> bytes:
    if not file.is_file():
        raise Complaint(f"there is no file {file}: sluice model push NAME FILE.onnx")
    return file.read_bytes()


def _verify(session: Session, where: Repository, name: str, what: str, alias: str) -> None:
    from infra.models.loader import Loader
    from infra.objects.s3 import S3Store

    store = S3Store(*session.store())
    try:
        loader = Loader(store, where, session.config.models)
        version = _number(what) if what else loader.resolve(name, alias)
        found = loader.load(name, version)
    except (Unverified, NotFound) as error:
        raise Complaint(str(error)) from error
    finally:
        store.close()
    if session.json:
        session.answer({"name": name, "version": version, "digest": found.record.digest, "size": found.record.size})
        return
    typer.echo(f"{where.name}/{name} version {version} is what was published: {found.record.digest}")


def _promote(session: Session, where: Repository, name: str, version: int, alias: str) -> None:
    with session.api() as api:
        done = api.put(f"/models/{where.name}/{name}/aliases/{alias}", {"version": version})["promoted"]
    if session.json:
        session.answer({"promoted": done})
    elif done is None:
        typer.echo(f"{alias} of {where.name}/{name} means version {version} already")
    else:
        typer.echo(
            f"{alias} of {where.name}/{name} means version {done['version']} now; before: {done.get('previous', 0) or 'none'}"
        )


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 10**9):
        raise Complaint(f"{text!r} is no version: give its number, as `sluice models` lists it")
    return int(text)


def _repository(session: Session, name: str) -> Repository:
    known = session.config.models
    found = [each for each in known if not name or each.name == name]
    if len(found) == 1:
        return found[0]
    names = ", ".join(each.name for each in known) or "none; set sluice.models"
    raise Complaint(f"say which model repository with --repository: {names}")


def _digest(digest: str) -> str:
    algorithm, _, value = digest.partition(":")
    return f"{algorithm}:{value[:12]}"
