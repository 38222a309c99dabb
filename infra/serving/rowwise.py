"""Whether rows inferred together are answered as each would be alone. Requests are joined only after that was tried.

A shape does not tell: a softmax, a mean or a running sum along the first axis keeps it. So every new version answers random
rows alone, together, in another order and many times over, and beside a row of infinities or of what is no number, which
whatever mixes rows carries on into the others, were it behind a threshold that no usual value reaches. What depends on its
values in ways that no trial of a few can find (branches, loops, chance) is not tried at all.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from enum import IntEnum
from typing import Protocol

import numpy as np

from infra.serving.tensors import DTYPES, Array

#: Rows of a trial, and how often they are repeated to be many.
ROWS, TIMES = 5, 7
#: Sizes for further free axes: the first that the model takes.
SIZES = (3, 32)
#: A model whose trials take longer gains little by joining.
SECONDS = 5.0
#: Largest values of the rows of a trial: small and large ones side by side.
SCALES = (3.0, 3e-3, 90.0, 3.0, 3e3)
#: Of two answers that differ by less than this part of the largest, the difference is rounding: by bytes of the type.
ROUNDING = {2: 1e-2, 4: 1e-4, 8: 1e-9}
#: Operators that a trial can tell all about.
TRIABLE = frozenset(
    ("Abs", "Acos", "Acosh", "Add", "And", "ArgMax", "ArgMin", "Asin", "Asinh", "Atan", "Atanh", "AveragePool",
     "BatchNormalization", "Cast", "CastLike", "Ceil", "Celu", "Clip", "Concat", "Constant", "ConstantOfShape", "Conv",
     "ConvInteger", "ConvTranspose", "Cos", "Cosh", "CumSum", "DepthToSpace", "DequantizeLinear", "Div", "Dropout", "Einsum",
     "Elu", "Equal", "Erf", "Exp", "Expand", "Flatten", "Floor", "GRU", "Gather", "GatherElements", "GatherND", "Gelu", "Gemm",
     "GlobalAveragePool", "GlobalLpPool", "GlobalMaxPool", "Greater", "GreaterOrEqual", "GroupNormalization", "HardSigmoid",
     "HardSwish", "Identity", "InstanceNormalization", "IsInf", "IsNaN", "LRN", "LSTM", "LayerNormalization", "LeakyRelu",
     "Less", "LessOrEqual", "Log", "LogSoftmax", "LpNormalization", "LpPool", "MatMul", "MatMulInteger", "Max", "MaxPool",
     "Mean", "MeanVarianceNormalization", "Min", "Mish", "Mod", "Mul", "Neg", "Not", "OneHot", "Or", "PRelu", "Pad", "Pow",
     "QLinearConv", "QLinearMatMul", "QuantizeLinear", "RNN", "Range", "Reciprocal", "ReduceL1", "ReduceL2",
     "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSum", "ReduceSumSquare",
     "Relu", "Reshape", "Resize", "Round", "Selu", "Shape", "Sigmoid", "Sign", "Sin", "Sinh", "Size", "Slice", "Softmax",
     "Softplus", "Softsign", "SpaceToDepth", "Split", "Sqrt", "Squeeze", "Sub", "Sum", "Tan", "Tanh", "ThresholdedRelu", "Tile",
     "TopK", "Transpose", "Trilu", "Unsqueeze", "Upsample", "Where", "Xor",
     *(f"ai.onnx.ml.{name}" for name in
       ("ArrayFeatureExtractor", "Binarizer", "Imputer", "LinearClassifier", "LinearRegressor", "Normalizer", "SVMClassifier",
        "SVMRegressor", "Scaler", "TreeEnsemble", "TreeEnsembleClassifier", "TreeEnsembleRegressor")))
)  # fmt: skip

Run = Callable[[dict[str, Array]], dict[str, Array]]


class Rows(IntEnum):
    """What is known of a model's rows: nothing, or that they are independent up to rounding, or to the last bit."""

    MIXED, ROUNDED, EXACT = 0, 1, 2


class Input(Protocol):
    """What must be known of an input: its type, and its shape with -1 for free axes, of which the first is one."""

    @property
    def datatype(self) -> str: ...

    @property
    def shape(self) -> tuple[int, ...]: ...


class _Different(Exception):
    """Rows do not have the answers that they have alone."""


def tried(run: Run, inputs: Mapping[str, Input], operators: Collection[str]) -> Rows:
    """What trials tell of the rows of a model with these inputs and operators (none: not known)."""
    if not operators or not TRIABLE.issuperset(operators):
        return Rows.MIXED
    if any(port.datatype not in DTYPES or port.datatype == "BYTES" for port in inputs.values()):
        return Rows.MIXED
    end = time.monotonic() + SECONDS

    def timed(given: dict[str, Array]) -> dict[str, Array]:
        if time.monotonic() > end:
            raise _Different
        return run(given)

    for size in SIZES if any(-1 in port.shape[1:] for port in inputs.values()) else SIZES[:1]:
        some = {name: _random(port, size) for name, port in inputs.items()}
        try:
            run(some)
        except Exception:  # noqa: S112 - it takes no rows of this size, and perhaps of the next
            continue
        try:
            return _compared(timed, some)
        except Exception:  # it cannot answer what it must, or answers otherwise
            return Rows.MIXED
    return Rows.MIXED


def _random(port: Input, size: int) -> Array:
    """Rows of values as the type has them: numbers as indexes may be, so that few models refuse them."""
    dtype, shape = DTYPES[port.datatype], (ROWS, *(size if axis < 0 else axis for axis in port.shape[1:]))
    # numpy's own chance takes longer to import than all trials of a small model
    drawn = np.frombuffer(random.Random(7).randbytes(4 * math.prod(shape)), "<u4").reshape(shape)
    if dtype.kind != "f":
        return (drawn & 1).astype(dtype)
    scales = np.array(SCALES).reshape(ROWS, *(1 for _ in shape[1:]))
    found: Array = ((drawn / 2**31 - 1) * scales).astype(dtype)
    return found


def _compared(run: Run, some: dict[str, Array]) -> Rows:
    alone = _joined([_answer(run, some, [row]) for row in range(ROWS)])
    found = Rows.EXACT
    for order in ([*range(ROWS)], [3, 0, 4, 2, 1], [1, 4], [2, 0, 3], [*range(ROWS)] * TIMES):
        found = min(found, _same(_answer(run, some, order), alone, order))
    middle = ROWS // 2
    others = [row for row in range(ROWS) if row != middle]
    for strange in _strange(some, middle):
        try:
            beside = _answer(run, strange, [*range(ROWS)])
        except _Different:
            raise
        except Exception:  # noqa: S112 - the strange row is refused, and the others with it: they are asked again alone
            continue
        found = min(found, _same({name: array[others] for name, array in beside.items()}, alone, others))
    return found


def _strange(some: dict[str, Array], row: int) -> Iterator[dict[str, Array]]:
    """The same rows but one, which has the most extreme values of all inputs' types, or what is no number."""
    for which in range(3):
        made = {name: array.copy() for name, array in some.items()}
        for array in made.values():
            if array.dtype.kind == "f":
                array[row] = (np.inf, -np.inf, np.nan)[which]
            elif array.dtype.kind == "b":
                array[row] = which == 0
            else:
                bounds = np.iinfo(array.dtype)
                array[row] = (bounds.max, bounds.min, 0)[which]
        yield made


def _answer(run: Run, some: dict[str, Array], order: Sequence[int]) -> dict[str, Array]:
    found = run({name: array[list(order)] for name, array in some.items()})
    if any(array.ndim == 0 or len(array) != len(order) for array in found.values()):
        raise _Different
    return found


def _joined(parts: Sequence[dict[str, Array]]) -> dict[str, Array]:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _same(found: dict[str, Array], alone: dict[str, Array], order: Sequence[int]) -> Rows:
    """How well answers in this order agree with those of the rows alone. Raises ``_Different``."""
    told = Rows.EXACT
    for name, array in found.items():
        wanted = alone[name][list(order)]
        if array.dtype != wanted.dtype or array.shape != wanted.shape:
            raise _Different
        if array.dtype.hasobject or array.dtype.kind != "f":
            if not np.array_equal(array, wanted):
                raise _Different
        elif array.tobytes() != wanted.tobytes():
            told = Rows.ROUNDED
            size = tuple(range(1, array.ndim))
            with np.errstate(invalid="ignore", over="ignore"):
                largest = np.abs(np.where(np.isfinite(wanted), wanted, 0)).max(axis=size, keepdims=True, initial=0)
                close = np.abs(array - wanted) <= ROUNDING[array.dtype.itemsize] * largest
            if not (close | (array == wanted) | (np.isnan(array) & np.isnan(wanted))).all():
                raise _Different
    return told
