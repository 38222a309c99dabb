"""A lake's process that may be killed at a step: ``python -m infra.chaos.victim FOLDER up|worker|ingress ...``.

``FOLDER`` is where steps are armed. ``up`` and ``worker`` are the commands of ``sluice``; ``ingress PORT`` is ``ingress.py``.
It ends with its parent, whose end of standard input closes then.
"""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

from infra.chaos.steps import Trap


def main() -> None:
    """Wrap the steps, then be what was asked for."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    folder = sys.argv.pop(1)
    Trap(Path(folder)).set_up()
    if sys.argv[1] == "ingress":
        from infra.chaos.ingress import serve

        serve(int(sys.argv[2]))
    else:
        from infra.cli import main as command

        command()


def _end_with_parent() -> None:
    while os.read(0, 1):
        pass
    os._exit(1)


if __name__ == "__main__":
    main()
