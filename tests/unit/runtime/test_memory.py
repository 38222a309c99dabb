"""The memory of a worker: with the programs that its task runs, while they run and after they have ended."""

from __future__ import annotations

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from infra.runtime.memory import Watch, descendants, memory_mb

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the system tells it on Linux")
TAKES = "import time; taken = bytearray({mb} * 1000000); time.sleep({seconds})"


def program(mb: int, seconds: float = 0.0) -> list[str]:
    return [sys.executable, "-S", "-c", TAKES.format(mb=mb, seconds=seconds)]


def test_a_large_child_counts_however_short_it_lived() -> None:
    with Watch() as memory:
        before, own = memory.peak_mb(), memory_mb("VmHWM")
        subprocess.run(program(int(own) + 300), check=True)
        assert memory.peak_mb() >= max(before, own + own + 300)


def test_children_at_the_same_time_add_up_and_small_ones_count_for_what_they_take() -> None:
    with Watch() as memory:
        own = memory_mb("VmHWM")
        with ThreadPoolExecutor(3) as pool:
            list(pool.map(lambda _: subprocess.run(program(30, 0.6), check=True), range(3)))
        largest = memory.peak_mb() - own
    assert largest >= 90 or largest >= own  # where an earlier test of this process had a larger child


def test_a_child_that_still_runs_counts_and_so_does_its_own_child() -> None:
    script = f"import subprocess, sys; subprocess.run({program(40, 30)!r})"
    with Watch() as memory, subprocess.Popen([sys.executable, "-S", "-c", script]) as child:
        try:
            until = time.monotonic() + 20
            while len(found := descendants(child.pid)) < 1 and time.monotonic() < until:
                time.sleep(0.02)
            while memory_mb("VmHWM", found[0]) < 40 and time.monotonic() < until:
                time.sleep(0.02)
            assert memory.peak_mb() >= memory_mb("VmHWM") + 40
        finally:
            for process in found:
                subprocess.run(["kill", str(process)], check=True)
            child.wait(20)


def test_a_worker_without_children_is_as_large_as_its_process() -> None:
    script = "from infra.runtime.memory import *\nwith Watch() as memory: print(memory.peak_mb(), memory_mb('VmHWM'))"
    told = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout.split()
    assert float(told[0]) == pytest.approx(float(told[1]), rel=0.02)
    small = (
        "import subprocess, time\nfrom infra.runtime.memory import *\nwith Watch() as memory:\n"
        " subprocess.run(['true'])\n print(memory.peak_mb(), memory_mb('VmHWM'))"
    )
    told = subprocess.run([sys.executable, "-c", small], check=True, capture_output=True, text=True).stdout.split()
    assert float(told[0]) < 1.6 * float(told[1])


def test_a_process_that_is_gone_has_none() -> None:
    assert memory_mb("VmHWM", 2**22 + 1) == 0.0
    assert descendants(2**22 + 1) == []
