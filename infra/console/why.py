"""``sluice why``: of what something follows, as a tree."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.text import Text
from rich.tree import Tree

from functions.semantics.terms import short
from infra.console import text
from infra.console.session import Session, command


@command
def why(
    session: Session,
    subject: Annotated[str, typer.Argument(metavar="SUBJECT", help="An IRI, in full or with a known prefix.")],
    kind: Annotated[str, typer.Argument(metavar="[CLASS]", help="Only why it belongs to this class.", show_default=False)] = "",
) -> None:
    """Tell why something is what it is: from what was told, and by which rules of the ontology."""
    with session.api() as api:
        found = api.get("/facts/why", subject=subject, **({"class": kind} if kind else {}))
    if session.json:
        session.answer(found)
        return
    terminal = session.out.is_terminal
    for proof in found["proofs"]:
        if terminal:
            tree = Tree(_line(proof))
            _grow(tree, proof)
            session.out.print(tree, soft_wrap=True)
        else:
            _plain(session, proof, 0)


def _grow(branch: Tree, proof: dict[str, Any]) -> None:
    for premise in proof.get("premises", ()):
        _grow(branch.add(_line(premise)), premise)


def _plain(session: Session, proof: dict[str, Any], depth: int) -> None:
    session.out.print(Text("  " * depth) + _line(proof), soft_wrap=True)
    for premise in proof.get("premises", ()):
        _plain(session, premise, depth + 1)


def _line(proof: dict[str, Any]) -> Text:
    """One fact, and how it is known."""
    line = Text(text.printable(proof["fact"]), style="bold" if proof.get("premises") else "")
    if proof.get("again"):
        return line.append("  (see above)", style="dim")
    for told in proof.get("told", ()):
        source = f", {short(told['from'][0])}" if told["from"] else ""
        line.append(f"  told, {text.moment(told['since'])}{text.printable(source)}", style="green not bold")
    if "told" not in proof:
        axioms = "; ".join(proof["axioms"])
        line.append(f"  {proof['rule']}{': ' + axioms if axioms else ''}", style="dim not bold")
    return line
