"""A PyTorch network as ONNX: one file with its weights, nothing of the machine it was made on, checked against PyTorch."""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from events.errors import SluiceError
from functions.training.learner import Exam

OPSET = 20
WITHIN = 1e-4


class Differs(SluiceError):
    """The exported model does not compute what the network does."""


def export(exam: Exam, told: Mapping[str, str]) -> bytes:
    """The model that an exam ends with; ``told`` goes into its metadata.

    Raises ``Differs`` unless ONNX Runtime and PyTorch agree about the example, within ``WITHIN`` of the largest output.
    """
    network, made, (given, found) = exam.network.eval(), io.BytesIO(), exam.names
    with warnings.catch_warnings():
        # The newer exporter writes weights into a second file and source paths into the nodes, and wants one more library.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            (exam.example[:2],),
            made,  # type: ignore[arg-type]  # the legacy exporter takes files, which its signature does not say
            dynamo=False,
            input_names=[given],
            output_names=list(found),
            dynamic_axes={name: dict(exam.axes) for name in (given, *found)},
            opset_version=OPSET,
        )
    model = onnx.load_from_string(made.getvalue())
    for node in model.graph.node:
        node.ClearField("doc_string")
        node.ClearField("metadata_props")
    model.doc_string = ""
    onnx.helper.set_model_props(model, dict(sorted(told.items())))
    onnx.checker.check_model(model, full_check=True)
    content: bytes = model.SerializeToString(deterministic=True)
    if (worst := difference(network, content, exam.example)) > WITHIN:
        raise Differs(f"the exported model differs from the network by {worst:.2g} of its largest output: it is not published")
    return content


@torch.no_grad()
def difference(network: nn.Module, content: bytes, example: Tensor) -> float:
    """How far the first outputs of ONNX Runtime and of PyTorch are apart at most, over the largest value."""
    wanted = network(example)
    wanted = (wanted if isinstance(wanted, Tensor) else wanted[0]).numpy()
    found = answers(content, example.numpy())
    return float(np.abs(found.astype("f8") - wanted.astype("f8")).max() / max(float(np.abs(wanted).max()), 1e-12))


def answers(content: bytes, given: NDArray[Any]) -> NDArray[Any]:
    """What the exported model's first output is, on one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    found: NDArray[Any] = session.run(None, {session.get_inputs()[0].name: given})[0]
    return found
