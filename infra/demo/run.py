"""The demonstration: real objects go through the whole suite on this machine, and everything it promises is checked.

``python -m infra.demo.run`` starts a lake of its own in a temporary folder and leaves nothing behind but its report.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from infra.demo.acts import Show
from infra.demo.report import write
from infra.demo.stage import Missing, Stage


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it. Returns 0 if every check held, 1 otherwise."""
    options = _options(arguments)
    console = Console(highlight=False, quiet=options.quiet, width=None if sys.stdout.isatty() else 140)
    began = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="sluice-demo-"))
    show = Show(folder, console)
    try:
        _perform(show, folder)
    except Missing as error:
        show.checks.hold("everything arrives in time", False, error)
    except Exception as error:
        console.print_exception()
        show.checks.hold("the demonstration runs to its end", False, f"{type(error).__name__}: {error}")
    finally:
        if options.keep:
            console.print(f"the data stay in {folder}", soft_wrap=True)
        else:
            shutil.rmtree(folder, ignore_errors=True)
    seconds = time.monotonic() - began
    write(options.report, show, seconds)
    console.quiet = False
    console.print(show.checks.table())
    held = sum(check.held for check in show.checks.all)
    console.print(f"{held} of {len(show.checks.all)} checks held, in {seconds:.0f} s. Report: {options.report}", soft_wrap=True)
    return 0 if show.checks.passed else 1


def _perform(show: Show, folder: Path) -> None:
    stage = Stage(folder / "lake")
    try:
        show.play(stage)
    finally:
        code = stage.stop()
    show.checks.hold("the lake stops cleanly", code == 0, f"exit code {code}")


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/demo", description="Show the whole suite at work, and check it.")
    parser.add_argument("--report", type=Path, default=Path("report.html"), metavar="PATH", help="where the report goes")
    parser.add_argument("--keep", action="store_true", help="keep the lake's folder and say where it is")
    parser.add_argument("--quiet", action="store_true", help="show the summary only")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
