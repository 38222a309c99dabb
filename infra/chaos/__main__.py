"""The crash test of the whole event flow: ``scripts/chaos [--rounds N] [--seed N] [--only FAULT] [--servers redis,ceph]``.

Real lakes are killed with SIGKILL at every step of an event's way, their servers are killed and restarted, connections refused,
subscribers fail, events come twice and in the wrong order. After each round, what the lake holds is compared with what was
acknowledged. The last line is one JSON object; the exit code is 0 only if nothing was lost and nothing doubled.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import signal
import sys
import tempfile
from collections import Counter
from pathlib import Path

from rich.console import Console
from rich.table import Table

from infra.chaos.faults import FAULTS
from infra.chaos.processes import Stuck, installed
from infra.chaos.rounds import QUEUE, Rounds
from infra.chaos.verdict import Verdict
from infra.console.progress import Progress

#: Most complaints shown of one round.
SHOWN = 10


def main(arguments: list[str] | None = None) -> int:
    """Run the rounds and tell; the exit code."""
    options = _options(arguments)
    console = Console()
    servers = installed() if options.servers is None else [name for name in options.servers.split(",") if name]
    if missing := sorted({*servers} - {*installed()}):
        console.print(f"not installed here: {', '.join(missing)} (scripts/services installs them)")
        return 2
    folder = Path(tempfile.mkdtemp(prefix="sluice-chaos-"))
    console.print(f"seed {options.seed}, servers {', '.join(servers) or 'none'}, in {folder}", soft_wrap=True)
    rounds = Rounds(folder, servers)
    if not rounds.possible(options.only):
        names = ", ".join(fault.full_name for fault in rounds.possible())
        console.print(f"no fault is called {options.only!r}; there are: {names}")
        folder.rmdir()
        return 2
    totals: dict[str, Verdict] = {}
    counts: Counter[str] = Counter()
    try:
        with rounds:
            _run(rounds, options, console, totals, counts)
    except KeyboardInterrupt:
        _clear(folder, totals, console)
        raise
    good = _clear(folder, totals, console)
    _tell(console, totals, counts)
    lost, doubled, wrong = (sum(len(getattr(each, name)) for each in totals.values()) for name in ("lost", "doubled", "wrong"))
    print(json.dumps({"rounds": sum(counts.values()), "lost": lost, "doubled": doubled, "wrong": wrong}))
    return 0 if good else 1


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("scripts/chaos", description=(__doc__ or "").split("\n\n")[1])
    parser.add_argument("--rounds", type=_positive, default=len(FAULTS), help=f"how many ({len(FAULTS)})")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6), help="of the random numbers; told at the start")
    parser.add_argument("--only", default="", help="one fault (WORLD.NAME), those of a name, or those of a world")
    parser.add_argument("--servers", help="which to use of redis,ceph,postgres: those installed unless given")
    return parser.parse_args(arguments)


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of rounds: 1 or more")
    return int(text)


def _run(
    rounds: Rounds, options: argparse.Namespace, console: Console, totals: dict[str, Verdict], counts: Counter[str]
) -> None:
    with Progress("rounds", options.rounds, console, unit="rounds") as progress:
        for fault, seed, verdict in rounds.run(options.rounds, options.seed, options.only):
            totals.setdefault(fault.full_name, Verdict()).add(verdict)
            if fault is not QUEUE:
                counts[fault.full_name] += 1
                progress.advance(1)
            if not verdict.good:
                again = f"scripts/chaos --rounds 1 --seed {seed} --only '{fault.full_name}'"
                console.print(f"{fault.full_name} failed: {again}", soft_wrap=True)
                for text in [*verdict.lost, *verdict.doubled, *verdict.wrong][:SHOWN]:
                    console.print(f"  {text}", markup=False, soft_wrap=True)


def _clear(folder: Path, totals: dict[str, Verdict], console: Console) -> bool:
    """Remove what nobody has to look at; whether all was good."""
    good = all(verdict.good for verdict in totals.values())
    if good:
        shutil.rmtree(folder, ignore_errors=True)
    else:
        console.print(f"databases and logs are kept in {folder}", soft_wrap=True)
    return good


def _tell(console: Console, totals: dict[str, Verdict], counts: Counter[str]) -> None:
    table = Table()
    for column in ("fault", "rounds", "acknowledged", "lost", "doubled", "wrong"):
        table.add_column(column, justify="left" if column == "fault" else "right")
    for name, verdict in totals.items():
        figures = len(verdict.lost), len(verdict.doubled), len(verdict.wrong)
        cells = [f"[red]{figure}[/]" if figure else "0" for figure in figures]
        table.add_row(name, str(counts[name] or ""), str(verdict.acknowledged), *cells)
    console.print(table)


def _ended(*_: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _ended)
    try:
        sys.exit(main())
    except KeyboardInterrupt:  # every process has been ended on the way here
        sys.exit(130)
    except Stuck as error:
        sys.exit(f"scripts/chaos: {error}")
