"""``sluice lineage``: where an object comes from, and what became of it, as a tree."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import quote

import typer
from rich.text import Text
from rich.tree import Tree

from infra.console import address, text
from infra.console.session import Session, command

#: Branches below which nothing is drawn.
DEEPEST = 12


@command
def lineage(session: Session, object: Annotated[str, typer.Argument(metavar="s3://BUCKET/KEY")]) -> None:
    """Draw which functions made an object, of what, and what was made of it."""
    bucket, key = address.full(object)
    with session.api() as api:
        found = api.get(f"/lineage/{quote(bucket, safe='')}/{quote(key, safe='/')}")
    if session.json:
        session.answer(found)
        return
    tree = Tree(Text(text.printable(found["entity"]), style="bold"))
    for title, part, there, on in (("made by", "origin", "generated", "used"), ("used by", "use", "used", "generated")):
        if found[part]:
            _grow(tree.add(Text(title, style="dim")), found[part], found["entity"], there, on, {found["entity"]}, 0)
    session.out.print(tree, soft_wrap=True)


def _grow(
    branch: Tree, activities: list[dict[str, Any]], entity: str, there: str, on: str, above: set[str], depth: int
) -> None:
    """Below an entity: the activities that have it in ``there``, and below each what is in its ``on``."""
    for each in reversed(activities):
        if all(one["entity"] != entity for one in each[there]):
            continue
        twig = branch.add(Text.assemble((each["function"], "cyan"), f" {each['ended']}"))
        for one in each[on]:
            version = f" {one['version']}" if one.get("version") else ""
            leaf = twig.add(Text.assemble(text.printable(one["entity"]), (version, "dim")))
            if one["entity"] not in above and depth < DEEPEST:
                _grow(leaf, activities, one["entity"], there, on, {*above, one["entity"]}, depth + 1)
