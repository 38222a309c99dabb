"""``sluice model adopt``: take over the versions in a bucket that a lake which is gone published there."""

from __future__ import annotations

import typer

from events.models import Repository
from infra.console import text
from infra.console.client import Complaint
from infra.console.session import Session

STATES = {
    "adopted": "is this lake's now",
    "known": "is known already",
    "left": "is left out: nothing shows who wrote it; --aliases believes it",
}


def adopt(session: Session, where: Repository, name: str, *, aliases: bool, dry_run: bool) -> None:
    """Tell of each version and alias as it is verified. Raises ``Complaint`` if any was refused, or there is none."""
    found = []
    wanted = {"repository": where.name, "name": name, "aliases": aliases, "dry_run": dry_run}
    done = False
    with session.api() as api:
        for line in api.lines("/models/adopt", wanted):
            if "error" in line:
                raise Complaint(line["error"])
            if "done" in line:
                done = True
                break
            found.append(line)
            if not session.json:
                typer.echo(text.printable(_line(where.name, line, dry_run=dry_run)))
    if session.json:
        session.answer({"found": found, "dry_run": dry_run})
    if not done:
        raise Complaint("the lake was stopped meanwhile; the same command goes on")
    if not found:
        raise Complaint(f"no version of {name or 'any model'} lies in s3://{where.bucket}/{where.prefix}")
    if refused := sum(line["state"] == "refused" for line in found):
        raise Complaint(f"{refused} of {len(found)} were refused")


def _line(repository: str, line: dict[str, str], *, dry_run: bool) -> str:
    what = f"{repository}/{line['name']}" + (f" version {line['version']}" if line.get("version") else "")
    if alias := line.get("alias"):
        what = f"{alias} of {what}"
    if line["state"] == "refused":
        return f"{what} is refused: {line['cause']}"
    state = "would be this lake's" if dry_run and line["state"] == "adopted" else STATES[line["state"]]
    return f"{what} {state}"
