"""Threads that decode a type for the first time at the same time: msgspec up to 0.22 ended the process by that."""

from __future__ import annotations

import subprocess
import sys

#: Types nobody has decoded yet, and four threads that begin with each at once.
PROGRAM = """
import sys, threading, types
import msgspec

TYPES, THREADS = 300, 4
made = types.ModuleType("made")
sys.modules["made"] = made
lines = ["from __future__ import annotations", "import msgspec"]
for n in range(TYPES):
    lines += [f"class Inner{n}(msgspec.Struct):", "    a: int", "    b: list[str] = []"]
    lines += [f"class Outer{n}(msgspec.Struct):", f"    one: Inner{n} | None = None", f"    many: list[Inner{n}] = []"]
exec(compile(chr(10).join(lines), "made", "exec"), made.__dict__)
sys.setswitchinterval(1e-6)
together = threading.Barrier(THREADS)

def work(at):
    for n in range(TYPES):
        kind = getattr(made, f"Outer{n}")
        together.wait()
        if at % 2:
            found = msgspec.convert({"one": {"a": 1}, "many": [{"a": 2}]}, kind)
        else:
            found = msgspec.json.decode(b'{"one": {"a": 1}, "many": [{"a": 2}]}', type=kind)
        assert (found.one.a, found.many[0].a) == (1, 2)

threads = [threading.Thread(target=work, args=(at,)) for at in range(THREADS)]
for each in threads:
    each.start()
for each in threads:
    each.join()
print("fine")
"""


def test_types_are_decoded_by_many_threads_from_the_first_time_on() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (0, "fine\n"), done.stderr
