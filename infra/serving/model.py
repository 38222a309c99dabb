"""One version of an ONNX model, ready to answer. Its interface is what the file itself says; nothing is written by hand."""

from __future__ import annotations

import logging
import math
import os
import threading
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import onnxruntime as ort

from events.errors import SluiceError
from infra.models.loader import Verified
from infra.serving.rowwise import Rows, tried
from infra.serving.tensors import DTYPES, NUMPY, Array, BadTensor, name_of

logger = logging.getLogger("sluice.serving")

_TYPES = {
    "float": "FP32", "double": "FP64", "float16": "FP16", "bool": "BOOL", "string": "BYTES",
    **{f"{sign}int{bits}": f"{sign.upper()}INT{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)},
}  # fmt: skip
PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
WATCH_SECONDS = 0.05
#: Operators whose time follows from the shape of their inputs, never from the values.
STEADY = frozenset(
    ("Add", "ArgMax", "AveragePool", "BatchNormalization", "Cast", "Clip", "Concat", "Constant", "Conv", "Div", "Dropout",
     "Elu", "Erf", "Exp", "Flatten", "Gelu", "Gemm", "GlobalAveragePool", "HardSigmoid", "Identity", "LayerNormalization",
     "LeakyRelu", "Log", "LogSoftmax", "MatMul", "MaxPool", "Mul", "Neg", "Relu", "Selu", "Sigmoid", "Softmax", "Softplus",
     "Sqrt", "Squeeze", "Sub", "Tanh", "Transpose", "Unsqueeze")
)  # fmt: skip
#: Rows of the run on zeros that tells how long a row takes.
TRIED = 16


class Unable(SluiceError):
    """The model could not answer: it failed on this input, or took too long. HTTP status 500."""


class Port(NamedTuple):
    """An input or output: free axes are -1. ``free`` says that the first axis is one, so that requests can be joined."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    axes: tuple[str | int | None, ...]

    @property
    def free(self) -> bool:
        return bool(self.shape) and self.shape[0] == -1


class OnnxModel:
    """Loads the very bytes that were checked. ``run`` may be called from several threads; it takes at most ``seconds``."""

    def __init__(self, model: Verified, *, devices: Sequence[str] = ("cpu",), threads: int = 1, seconds: float = 30.0) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.log_severity_level = 4  # what fails is raised
        providers = [PROVIDERS[device] for device in devices]
        self.name, self.version, self.record = model.record.name, model.record.version, model.record
        options.enable_cpu_mem_arena = self._steady()  # which keeps what one request once needed: of any size, for other models
        self._session = ort.InferenceSession(model.content, options, providers=providers)
        if missing := set(providers).difference(self._session.get_providers()):
            raise Unable(f"{', '.join(sorted(missing))} could not be started: the model {self.name} would run elsewhere")
        self._seconds = seconds
        self.inputs = {port.name: port for port in map(_port, self._session.get_inputs())}
        self.outputs = {port.name: port for port in map(_port, self._session.get_outputs())}
        self._all = list(self.outputs)
        #: What is known of the rows along the first axis, where all inputs and outputs have the same free one.
        self.rows = Rows.MIXED
        #: Seconds that a row takes, for a model whose time follows from the number of rows alone; infinite for every other.
        self.row_seconds = math.inf
        #: The one input of a model that has only one, in rows: the name, shape of a row and type of what is surely right.
        self._only = self._single()
        ports = (*self.inputs.values(), *self.outputs.values())
        shared = bool(self.inputs) and all(port.free for port in ports) and len({port.axes[0] for port in ports}) == 1
        self._warm(steady=shared and threads == 1 and not self.wide and self._steady())
        if shared:
            self.rows = tried(self.run, self.inputs, self.record.metadata.get("operators") or {})
        #: Whether requests may be joined along the first axis and their answers cut apart again: none changes by one bit.
        self.joins = self.rows is Rows.EXACT

    @property
    def wide(self) -> bool:
        """Whether rows may differ in shape, so that not every two requests can be joined."""
        return any(-1 in port.shape[1:] for port in self.inputs.values())

    def _single(self) -> tuple[str, tuple[int, ...], Any] | None:
        if len(self.inputs) != 1:
            return None
        ((name, port),) = self.inputs.items()
        dtype = DTYPES.get(port.datatype)
        return (name, port.shape[1:], dtype) if port.free and dtype is not None else None

    def _steady(self) -> bool:
        operators = self.record.metadata.get("operators") or {}
        return bool(operators) and STEADY.issuperset(operators)

    def _warm(self, steady: bool) -> None:
        """Some runs on zeros, where such can be made: the first request shall not pay for what is made lazily."""
        if any(port.datatype not in NUMPY or port.datatype == "BYTES" for port in self.inputs.values()):
            return
        zeros = {
            port.name: np.zeros([TRIED if axis < 0 else axis for axis in port.shape] if steady else
                                [1 if axis < 0 else axis for axis in port.shape], NUMPY[port.datatype])
            for port in self.inputs.values()
        }  # fmt: skip
        try:
            self.run(zeros)
            if steady:
                self.row_seconds = min(self._timed(zeros) for _ in range(3)) / TRIED
        except Unable as error:  # a model may dislike zeros
            logger.info("the model %s could not be warmed: %s", self.name, error)

    def _timed(self, inputs: dict[str, Array]) -> float:
        start = time.perf_counter()
        self.run(inputs)
        return time.perf_counter() - start

    def metadata(self, versions: Sequence[int] = ()) -> dict[str, Any]:
        """As ``GET /v2/models/NAME`` answers."""
        return {
            "name": self.name,
            "versions": [str(version) for version in versions or (self.version,)],
            "platform": "onnxruntime_onnx",
            "inputs": [_told(port) for port in self.inputs.values()],
            "outputs": [_told(port) for port in self.outputs.values()],
            "parameters": {"digest": self.record.digest},
        }

    def check(self, inputs: dict[str, Array], outputs: Sequence[str] | None) -> None:
        """Raises ``BadTensor`` unless these inputs are what the model takes, and the outputs what it gives."""
        if outputs is None and len(inputs) == 1 and self._only is not None:
            ((name, array),) = inputs.items()
            if array.ndim and (name, array.shape[1:], array.dtype) == self._only:
                return
        if inputs.keys() != self.inputs.keys():
            wanted = ", ".join(self.inputs)
            raise BadTensor(f"the model {self.name} takes the inputs {wanted}; {', '.join(inputs) or 'none'} came")
        axes: dict[str, int] = {}
        for name, array in inputs.items():
            port = self.inputs[name]
            if name_of(array) != port.datatype:
                raise BadTensor(f"the input {name!r} must be {port.datatype}, not {name_of(array)}")
            fits = len(array.shape) == len(port.shape) and all(
                axis in (-1, there) for axis, there in zip(port.shape, array.shape, strict=True)
            )
            if not fits:
                raise BadTensor(f"the input {name!r} must have the shape {list(port.shape)}, not {list(array.shape)} (-1: any)")
            for axis, there in zip(port.axes, array.shape, strict=True):
                if isinstance(axis, str) and axes.setdefault(axis, there) != there:
                    raise BadTensor(f"the inputs disagree about the axis {axis!r}: {axes[axis]} and {there}")
        for wanted in outputs or ():
            if wanted not in self.outputs:
                raise BadTensor(f"the model {self.name} has no output {wanted!r}; it has {', '.join(self.outputs)}")

    def run(self, inputs: dict[str, Array], outputs: Sequence[str] | None = None) -> dict[str, Array]:
        """Infer. Raises ``Unable``."""
        names = self._all if outputs is None else list(outputs)
        options = ort.RunOptions()
        watched = _WATCH.begin(options, self._seconds)
        try:
            found: list[Array] = self._session.run(names, inputs, options)
        except Exception as error:
            if options.terminate:
                raise Unable(f"the model {self.name} was stopped after {self._seconds:g} s") from error
            raise Unable(f"the model {self.name} failed: {' '.join(str(error).split())[:300]}") from error
        finally:
            _WATCH.end(watched)
        return dict(zip(names, found, strict=True))


def unavailable(devices: Sequence[str]) -> str:
    """Why models cannot run on these devices here, or nothing. ONNX Runtime itself would run them on another without a word."""
    there = ort.get_available_providers()
    missing = [device for device in devices if PROVIDERS[device] not in there]
    if not missing:
        return "" if devices else "no device is named"
    has = ", ".join(device for device, provider in PROVIDERS.items() if provider in there)
    return f"the ONNX Runtime that is installed cannot use {', '.join(missing)}, only {has}: install onnxruntime-gpu"


class _Watch:
    """Ends runs that take too long: one thread looks after all of them."""

    def __init__(self) -> None:
        self._runs: dict[int, tuple[float, Any]] = {}
        self._lock, self._owner = threading.Lock(), 0

    def begin(self, options: Any, seconds: float) -> int:
        number = id(options)
        self._runs[number] = (time.monotonic() + seconds, options)
        if self._owner != os.getpid():
            with self._lock:
                if self._owner != os.getpid():
                    self._owner = os.getpid()
                    threading.Thread(target=self._look, name="inference-watch", daemon=True).start()
        return number

    def end(self, number: int) -> None:
        self._runs.pop(number, None)

    def _look(self) -> None:
        while True:
            time.sleep(WATCH_SECONDS)
            now = time.monotonic()
            for end, options in list(self._runs.values()):
                if end < now:
                    options.terminate = True


_WATCH = _Watch()


def _port(found: Any) -> Port:
    kind = found.type.removeprefix("tensor(").removesuffix(")")
    if kind not in _TYPES:
        advice = ": export the model with zipmap=False" if "map(" in kind else ""
        raise Unable(f"{found.name!r} is a {found.type}, which the inference protocol has no type for{advice}")
    axes = tuple(
        axis if isinstance(axis, int) and axis > 0 else (axis if isinstance(axis, str) else None) for axis in found.shape
    )
    return Port(found.name, _TYPES[kind], tuple(axis if isinstance(axis, int) else -1 for axis in axes), axes)


def _told(port: Port) -> dict[str, Any]:
    return {"name": port.name, "datatype": port.datatype, "shape": list(port.shape)}
