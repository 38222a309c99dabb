"""C++ libraries in processes of their own: a broken file may crash or block them, which then harms no one else.

It also keeps casacore out of processes that load DP3 (the two cannot share one), and its talk off our output. A process starts
with the first call, serves JSON lines, and ends by itself when idle or when its caller is gone. This file is both sides; the
child runs it as a script, so it imports nothing of ours.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib.util
import io
import json
import math
import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

MEMORY = 4 << 30  # bytes of address space: a header that claims more is broken
IDLE = 60.0  # seconds without a call after which the process ends
CHUNK = 1 << 20  # rows read at once


class Failed(Exception):
    """The library could not do what was asked; the text is its own, or says that it crashed or did not answer."""


class Isolated:
    """The caller's side of one library's process. One call at a time: casacore is not thread-safe."""

    def __init__(self, library: str) -> None:
        self._library = library
        self._lock = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None
        self._owner, self._ready = 0, False
        atexit.register(self.close)

    def warm(self) -> None:
        """Start the process, without waiting for it to be ready."""
        with self._lock:
            self._running()

    def call(self, do: str, timeout: float = 120.0, source: Any = None, **arguments: Any) -> dict[str, Any]:
        """Let the library ``do`` something (a function of ``_DO`` below) within ``timeout`` seconds.

        ``source`` is the ``functions.formats.source.Source`` of the object that it reads, range by range (see ``_Ranges``).

        Raises:
            Changed: the object is no longer this version.
            Failed: it cannot, it crashed, or it took too long.
            Retry: its process cannot be started.

        """
        line = json.dumps({"do": do, **arguments}).encode() + b"\n"
        with self._lock:
            answer = self._ask(line, timeout, source) or self._ask(line, timeout, source)
        if not answer:
            raise Failed(f"{self._library} ended without an answer")
        if "error" in answer:
            raise Failed(answer["error"])
        result: dict[str, Any] = answer["result"]
        return result

    def _ask(self, line: bytes, timeout: float, source: Any) -> dict[str, Any]:
        """One question; no answer at all where the process had just ended because it was idle."""
        child = self._running()
        if not self._ready:
            self._greeting(child)
        assert child.stdin is not None  # noqa: S101 - for the type checker
        try:
            child.stdin.write(line)
            child.stdin.flush()
            answer: dict[str, Any] = json.loads(self._line(child, timeout))
            while "read" in answer:
                data = self._read(source, *answer["read"])
                child.stdin.write(len(data).to_bytes(8, "big") + data)
                child.stdin.flush()
                answer = json.loads(self._line(child, timeout))
        except (OSError, ValueError) as error:
            self._end(kill=isinstance(error, TimeoutError))
            if child.returncode == 0:
                return {}
            raise Failed(f"{self._library} crashed on it ({error})") from error
        return answer

    def _read(self, source: Any, start: int, end: int) -> bytes:
        try:
            return bytes(source.read(start, end))
        except Exception:  # the child waits for bytes that will never come
            self._end(kill=True)
            raise

    def _greeting(self, child: subprocess.Popen[bytes]) -> None:
        """Wait until it has loaded its library. That it cannot is no object's fault."""
        from events.errors import Retry

        try:
            self._line(child, 60)
        except OSError as error:
            self._end(kill=True)
            raise Retry(f"the process of {self._library} cannot be started ({error}): is it installed?") from error
        self._ready = True

    def close(self) -> None:
        """End the process, if this one started it."""
        with self._lock:
            self._end(kill=False)

    def _running(self) -> subprocess.Popen[bytes]:
        if self._owner != os.getpid():  # a fork inherits the pipes of its parent's child: leave those alone
            self._forget()
        if self._child is None or self._child.poll() is not None:
            self._end(kill=False)
            self._ready = False
            self._child = subprocess.Popen(
                [sys.executable, "-P", __file__, self._library],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
            )
            self._owner = os.getpid()
        return self._child

    def _line(self, child: subprocess.Popen[bytes], timeout: float) -> bytes:
        assert child.stdout is not None  # noqa: S101 - for the type checker
        end = time.monotonic() + timeout
        data = bytearray()
        while not data.endswith(b"\n"):
            ready, _, _ = select.select([child.stdout], [], [], max(0.0, end - time.monotonic()))
            if not ready:
                raise TimeoutError(f"no answer within {timeout:g} s")
            part = os.read(child.stdout.fileno(), 1 << 20)
            if not part:
                raise OSError("the process ended")
            data += part
        return bytes(data)

    def _end(self, *, kill: bool) -> None:
        child = self._child
        if child is None or self._owner != os.getpid():
            return
        self._child = None
        if kill:
            child.kill()
        for pipe in (child.stdin, child.stdout):
            with contextlib.suppress(OSError):
                pipe.close()  # type: ignore[union-attr]
        try:
            child.wait(1)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()

    def _forget(self) -> None:
        if self._child is not None:
            for pipe in (self._child.stdin, self._child.stdout):
                with contextlib.suppress(OSError):
                    pipe.close()  # type: ignore[union-attr]
            self._child.returncode = 0  # it is the parent's to wait for
            self._child = None


CASACORE = Isolated("casacore.tables")
ARROW = Isolated("pyarrow.parquet")
H5PY = Isolated("h5py")
ONNXRUNTIME = Isolated("onnxruntime")
ONNXRUNTIME_SLOW = Isolated("onnxruntime")  # for models that take long, so that no other waits for them


# The child's side ----------------------------------------------------------------------------------------------------------


def _describe(path: str, main: bool) -> dict[str, Any]:
    """What the catalogue wants of the MeasurementSet at ``path``; of its subtables only unless ``main``."""
    found: dict[str, Any] = {}
    for name, read in _SUBTABLES.items():
        if os.path.exists(os.path.join(path, name, "table.dat")):  # noqa: PTH110, PTH118 - the child loads as little as it can
            with _table(os.path.join(path, name)) as table:  # noqa: PTH118
                found.update(read(table))
    if main:
        with _table(path) as table:
            found.update(_main(table))
    return found


def _table(path: str) -> Any:
    from casacore import tables

    return tables.table(path, ack=False, lockoptions="usernoread")


def _main(table: Any) -> dict[str, Any]:
    import numpy as np

    managers = {column: entry["TYPE"] for entry in table.getdminfo().values() for column in entry["COLUMNS"]}
    rows, columns = table.nrows(), table.colnames()
    found: dict[str, Any] = {"rows": rows, "columns": {name: managers.get(name, "") for name in columns}}
    here = os.path.realpath(table.name()) + os.sep
    links = {word: str(value)[7:] for word, value in table.getkeywords().items() if str(value).startswith("Table: ")}
    found["outside"] = [word for word, link in links.items() if not os.path.realpath(link).startswith(here)]
    if "TIME" not in columns or managers.get("TIME", "").startswith("Tiled"):
        return found
    starts, times, before = [], [], -math.inf
    found["ordered"] = True
    for first in range(0, rows, CHUNK):
        column = np.asarray(table.getcol("TIME", first, min(CHUNK, rows - first)), dtype="f8")
        step, before = np.diff(column, prepend=before), column[-1]
        found["ordered"] &= bool((step >= 0).all())  # also false for values that are no numbers
        new = np.flatnonzero(step > 0)
        starts += (new + first).tolist()
        times += column[new].tolist()
    return found | {"starts": starts, "times": [_number(value) for value in times]}


def _number(value: Any) -> float | None:
    return float(value) if math.isfinite(value) else None


def _windows(table: Any) -> dict[str, Any]:
    windows = []
    for row in range(min(table.nrows(), 1000)):
        frequencies, widths = table.getcell("CHAN_FREQ", row), table.getcell("CHAN_WIDTH", row)
        ends = (frequencies.min(), frequencies.max(), abs(widths).max()) if frequencies.size else (math.nan,) * 3
        low, high, width = map(_number, ends)
        windows.append({"channels": int(frequencies.size), "min_hz": low, "max_hz": high, "width_hz": width})
    return {"windows": windows}


_STOKES = {1: "I", 2: "Q", 3: "U", 4: "V", 5: "RR", 6: "RL", 7: "LR", 8: "LL", 9: "XX", 10: "XY", 11: "YX", 12: "YY"}
_SUBTABLES: dict[str, Callable[[Any], dict[str, Any]]] = {
    "ANTENNA": lambda table: {"antennas": list(table.getcol("NAME"))},
    "FIELD": lambda table: {"fields": list(table.getcol("NAME"))},
    "OBSERVATION": lambda table: {
        key: table.getcell(column, 0) if table.nrows() else ""
        for key, column in (("telescope", "TELESCOPE_NAME"), ("observer", "OBSERVER"), ("project", "PROJECT"))
    },
    "POLARIZATION": lambda table: {
        "correlations": [_STOKES.get(int(code), str(code)) for code in table.getcell("CORR_TYPE", 0)] if table.nrows() else []
    },
    "SPECTRAL_WINDOW": _windows,
}


def _select(path: str, first: int, end: int, to: str) -> dict[str, Any]:
    """Write at ``to`` the reference table that shows rows ``first`` to ``end`` (exclusive) of the table at ``path``."""
    from casacore import tables

    with _table(path) as table:
        chosen = tables.taql(f"select from $1 limit {end - first} offset {first}", tables=[table])
        chosen.copy(to, deep=False).close()
        chosen.close()
    return {}


def _parquet(path: str) -> dict[str, Any]:
    """What the footer of a Parquet file tells, from a file that holds just the footer; where its row groups begin and end."""
    from pyarrow import parquet

    footer = parquet.read_metadata(path)
    groups, rows, codecs = [], [], set()
    for number in range(footer.num_row_groups):
        group = footer.row_group(number)
        chunks = []
        for column in map(group.column, range(group.num_columns)):
            codecs.add(column.compression)
            dictionary = column.dictionary_page_offset if column.has_dictionary_page else None
            if pages := [page for page in (column.data_page_offset, dictionary) if page]:  # of no rows there may be none
                chunks.append((min(pages), min(pages) + column.total_compressed_size))
        groups.append([min((start for start, _ in chunks), default=4), max((end for _, end in chunks), default=4)])
        rows.append(group.num_rows)
    return {
        "columns": {field.name: str(field.type) for field in footer.schema.to_arrow_schema()},
        "rows": footer.num_rows,
        "row_groups": footer.num_row_groups,
        "compression": sorted(codecs),
        "created_by": footer.created_by or "",
        "groups": groups,
        "group_rows": rows,
    }


def _infer(path: str) -> dict[str, Any]:
    """Load the ONNX model at ``path`` and run it once on zeros, with 1 for every free axis."""
    import numpy as np
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    with open(path, "rb") as file:  # noqa: PTH123 - as above
        session = ort.InferenceSession(file.read(), options, providers=["CPUExecutionProvider"])
    if strange := [port for port in (*session.get_inputs(), *session.get_outputs()) if port.type not in _NUMPY]:
        return {"ran": False, "strange": {port.name: port.type for port in strange}}
    zeros = {}
    for wanted in session.get_inputs():
        shape = [axis if isinstance(axis, int) and axis > 0 else 1 for axis in wanted.shape]
        kind = _NUMPY[wanted.type]
        zeros[wanted.name] = np.full(shape, "", dtype=object) if kind == "object" else np.zeros(shape, kind)
    session.run(None, zeros)
    return {"ran": True}


_NUMPY = {
    "tensor(float)": "f4", "tensor(double)": "f8", "tensor(float16)": "f2", "tensor(bool)": "?", "tensor(string)": "object",
    **{f"tensor({sign}int{bits})": f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)},
}  # fmt: skip


class _Ranges(io.RawIOBase):
    """The object that the caller has the source of, as a file: every read is asked of the caller."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self._size, self._position = size, 0

    def readable(self) -> bool:
        return True

    seekable = readable

    def seek(self, offset: int, whence: int = 0) -> int:
        self._position = offset + (0, self._position, self._size)[whence]
        return self._position

    def readinto(self, buffer: Any) -> int:
        end = min(self._position + len(buffer), self._size)
        if end <= self._position:
            return 0
        _ANSWERS[0].write(json.dumps({"read": [self._position, end]}) + "\n")
        _ANSWERS[0].flush()
        size = int.from_bytes(sys.stdin.buffer.read(8), "big")
        buffer[:size] = sys.stdin.buffer.read(size)
        self._position += size
        return size


def _hdf5(size: int, wanted: str) -> dict[str, Any]:
    """What ``functions.formats.hdf5_layout`` tells of an object of this size."""
    found = importlib.util.spec_from_file_location("hdf5_layout", os.path.join(os.path.dirname(__file__), "hdf5_layout.py"))  # noqa: PTH118, PTH120
    assert found is not None  # noqa: S101 - for the type checker
    assert found.loader is not None  # noqa: S101 - as above
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    told: dict[str, Any] = module.layout(io.BufferedReader(_Ranges(size), 1 << 18), wanted)
    return told


_ANSWERS: list[Any] = []  # the child's way to its caller
_DO: dict[str, Callable[..., dict[str, Any]]] = {
    "describe": _describe,
    "hdf5": _hdf5,
    "select": _select,
    "parquet": _parquet,
    "infer": _infer,
}


def _end_with_caller() -> None:
    """What the library does may never end, and a caller that was killed cannot end it."""
    (gone := select.poll()).register(0, 0)  # reports nothing but that the other end is closed
    gone.poll()
    os._exit(0)  # nothing went wrong here


def _serve(library: str) -> None:
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY if hard == resource.RLIM_INFINITY else min(MEMORY, hard), hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    answers = os.fdopen(os.dup(1), "w")
    _ANSWERS.append(answers)
    os.dup2(2, 1)  # casacore prints to the standard output, which here means answers
    importlib.import_module(library)
    threading.Thread(target=_end_with_caller, daemon=True).start()

    answers.write('{"ready": true}\n')
    answers.flush()
    while select.select([0], [], [], IDLE)[0]:
        line = sys.stdin.buffer.readline()
        if not line:
            return
        request = json.loads(line)
        try:
            answer: dict[str, Any] = {"result": _DO[request.pop("do")](**request)}
        except Exception as error:  # whatever the library says goes to the caller
            answer = {"error": " ".join(f"{error or type(error).__name__}".split())[:500]}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    _serve(sys.argv[1])
