"""DP3 and WSClean as programs of their own: neither may share a process with the casacore that this one may have loaded."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from events.errors import Reject

#: What runs DP3 of the package ``dp3`` in the present environment; the package has no other program than this call.
DP3 = (sys.executable, "-c", "import sys, dp3; sys.exit(dp3.entrypoint())")


def dp3(folder: Path, steps: Sequence[str], settings: dict[str, object]) -> None:
    """Run DP3 (https://dp3.readthedocs.io) in ``folder``, with these steps and settings.

    Raises:
        Reject: it is not installed here.
        RuntimeError: it failed; the text is its own.
        MemoryError: it was killed, as the system does to what takes too much memory.

    """
    if importlib.util.find_spec("dp3") is None:
        raise Reject("DP3 is missing where this worker runs: pip install 'sluice[taska]'")
    told = {"steps": f"[{','.join(steps)}]", **settings}
    _run("DP3", [*DP3, *(f"{name}={_text(value)}" for name, value in told.items())], folder)


def wsclean(folder: Path, arguments: Sequence[object]) -> None:
    """Run WSClean (https://wsclean.readthedocs.io) in ``folder``. Raises as ``dp3`` does.

    Version 3.1, which Debian has, crashes when ``-multiscale`` and ``-local-rms`` are given together.
    """
    if shutil.which("wsclean") is None:
        raise Reject("WSClean is missing where this worker runs: apt-get install wsclean (PyPI's wsclean is another program)")
    _run("WSClean", ["wsclean", *map(str, arguments)], folder)


def strategy(name: str) -> str:
    """The file of an AOFlagger strategy that comes with DP3, such as ``generic-default``. Raises ``Reject``."""
    found = importlib.util.find_spec("dp3")
    if found is None or found.origin is None:
        raise Reject("DP3 is missing where this worker runs: pip install 'sluice[taska]'")
    known = Path(found.origin).parents[1] / "DP3.libs" / "aoflagger" / "strategies"
    file = known / f"{name}.lua"
    if not file.is_file():
        there = ", ".join(sorted(each.stem for each in known.glob("*.lua")))
        raise Reject(f"AOFlagger has no strategy {name!r}; it has {there}")
    return str(file)


def bound(command: Sequence[str]) -> list[str]:
    """The same command, killed by the system when this process dies, as a worker that is too slow or too large does.

    By ``setpriv`` of util-linux; where there is none, as outside Linux, the command as it is.
    """
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "KILL", *command] if setpriv else list(command)


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _run(name: str, command: list[str], folder: Path) -> None:
    done = subprocess.run(
        bound(command), cwd=folder, env=_environment(), stdin=subprocess.DEVNULL, capture_output=True, check=False
    )
    if done.returncode == -signal.SIGKILL:
        raise MemoryError(f"{name} was killed, as the system does to what takes too much memory")
    if done.returncode:
        told = (done.stderr.strip() or done.stdout.strip()).decode(errors="replace").splitlines()
        how = f"by signal {-done.returncode}" if done.returncode < 0 else f"with {done.returncode}"
        said = [line for line in told if re.match(r"\S.*\w", line)]  # not the indented ones of a traceback, nor rulers
        raise RuntimeError(f"{name} ended {how}: {' / '.join(said[-2:])[-500:]}")


def _environment() -> dict[str, str]:
    """That of this process, without the lake's keys, with what the programs need."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SLUICE_", "LITHOPS_", "__LITHOPS"))}
    kept["OPENBLAS_NUM_THREADS"] = "1"  # DP3 refuses to run without
    found = importlib.util.find_spec("casacore")
    if found is not None and found.submodule_search_locations:  # its data: observatories, leap seconds, Earth's rotation
        kept["AIPSPATH"] = found.submodule_search_locations[0]
        kept["CASACORE_DATADIR"] = str(Path(kept["AIPSPATH"]) / "data")
    return kept
