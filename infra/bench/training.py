"""Training: the evacuation agent against the greedy shortest way, and the exported model against PyTorch, in CPU-seconds."""

from __future__ import annotations

import argparse
import resource
import tempfile
import threading
import time
from pathlib import Path

import msgspec

from functions.training.process import Process
from infra.bench.table import report


def main() -> None:
    """``success_pct`` of 2000 evacuations from starts that no training saw, ``greedy_pct`` by the shortest way round the
    fires, ``same_choices_pct`` of the exported model and PyTorch's, and ``cpu_s`` of the whole process, the exam too.
    """
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seeds", type=int, default=1, help="repeat it with so many maps")
    options.add_argument("--agent", default="evacuation")
    options.add_argument("--processes", type=int, default=1)
    wanted = options.parse_args()
    runs = [measured(wanted.agent, {"seed": seed, "processes": wanted.processes}) for seed in range(wanted.seeds)]
    names = list(runs[0])
    report(
        f"training of {wanted.agent}",
        ["seed", *names],
        [[seed, *(f"{run[name]:.1f}" for name in names)] for seed, run in enumerate(runs)],
        {name: (max if name.endswith("_s") else min)(run[name] for run in runs) for name in names},
    )


def measured(agent: str, parameters: dict[str, int]) -> dict[str, float]:
    """One training from nothing to the exported model: percentages and seconds."""
    before, start = _cpu(), time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="sluice-bench-") as temporary:
        folder = Path(temporary)
        request = {"agent": agent, "parameters": parameters, "told": {}, "data": 0}
        (folder / "request.json").write_bytes(msgspec.json.encode(request))
        with Process(folder) as process:
            metrics = [said for said in process.lines(threading.Event()) if "metrics" in said][-1]["metrics"]
    shares = {f"{name}_pct": 100 * value for name, value in metrics.items()}
    return {**shares, "cpu_s": _cpu() - before, "wall_s": time.perf_counter() - start}


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
