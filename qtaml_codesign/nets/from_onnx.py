"""ONNX files as workloads, checked against ONNX Runtime; onnx and onnxruntime are imported here alone."""

from __future__ import annotations

import glob
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from qtaml_codesign.errors import WorkloadError
from qtaml_codesign.nets.data_file import Data
from qtaml_codesign.nets.inputs import Inputs, call, describe, leaves
from qtaml_codesign.nets.onnx_network import Node, OnnxNetwork, quantised_weights
from qtaml_codesign.nets.onnx_operators import TYPES, UnsupportedError
from qtaml_codesign.nets.outputs import measured_output
from qtaml_codesign.nets.usercode import user_code
from qtaml_codesign.nets.workload import Workload

CLOSE = 1e-3
"""Largest distance from ONNX Runtime on the calibration inputs, as a part of the largest output."""
_USUAL_BATCH = 512


def onnx_workload(path: Path, data: Data) -> Workload:
    """The network of an ONNX file, run by torch; 8-bit weights behind a DequantizeLinear are stored as they are.

    Args:
        path: of the file.
        data: its calibration and evaluation data.

    Raises:
        WorkloadError: a package is missing, the graph holds what is not known here, or torch and ONNX Runtime do not
            agree on the calibration inputs.
    """
    try:
        import onnx
        import onnxruntime
    except ModuleNotFoundError as failure:
        raise WorkloadError(
            "a package is not installed", where=str(path), rule="onnx reads the file, onnxruntime checks it",
            value=str(failure), next_step="pip install 'qtaml-codesign[onnx]'",
        ) from failure
    with user_code("the ONNX file cannot be read", str(path), "a model that onnx.load reads", "export it again",
                   path.name):
        model = onnx.load(path)
        plain = onnxruntime.SessionOptions()  # what the file says, without products fused into coarser ones
        plain.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        session = onnxruntime.InferenceSession(path, plain, providers=["CPUExecutionProvider"])
    network, quantised = _network(onnx, model, path)
    _check(network, session, data.calibration, path)
    return Workload(network, data.calibration, (data.inputs, data.targets), name=path.stem, metric=data.metric,
                    batch_size=_batch_size(session), quantised=quantised)


def _network(onnx: Any, model: Any, path: Path) -> tuple[OnnxNetwork, dict[str, int]]:
    graph = model.graph
    foreign = sorted({f"{node.domain}.{node.op_type}" for node in graph.node if node.domain not in ("", "ai.onnx")})
    try:
        constants = {tensor.name: _tensor(onnx, tensor) for tensor in graph.initializer}
        nodes = [Node(one.op_type, tuple(one.input), tuple(one.output), _attributes(onnx, one)) for one in graph.node]
        if foreign:
            raise UnsupportedError(f"operators of other domains: {', '.join(foreign)}")
        inputs = [one.name for one in graph.input if one.name not in constants]
        network = OnnxNetwork(nodes, constants, inputs, [one.name for one in graph.output])
    except UnsupportedError as failure:
        raise WorkloadError(
            "the ONNX file holds what is not run here", where=str(path), rule="the operators of nets/onnx_operators.py",
            value=str(failure), next_step="export the network without them, or bring it as a torch module",
        ) from failure
    return network, {glob.escape(name): bits for name, bits in quantised_weights(nodes, constants).items()}


def _tensor(onnx: Any, tensor: Any) -> Tensor:
    if tensor.data_type not in TYPES:
        raise UnsupportedError(f"numbers of ONNX's type {tensor.data_type}")
    array = np.array(onnx.numpy_helper.to_array(tensor))
    wide = torch.from_numpy(array.astype(np.float32) if array.dtype.name == "bfloat16" else array)
    return wide.to(TYPES[tensor.data_type])


def _attributes(onnx: Any, node: Any) -> dict[str, Any]:
    found = {}
    for attribute in node.attribute:
        value = onnx.helper.get_attribute_value(attribute)
        if isinstance(value, onnx.TensorProto):
            value = _tensor(onnx, value)
        found[attribute.name] = value.decode() if isinstance(value, bytes) else value
        if attribute.name == "activations":
            found.pop("activations")
            usual = {"LSTM": [b"Sigmoid", b"Tanh", b"Tanh"], "GRU": [b"Sigmoid", b"Tanh"]}.get(node.op_type, [])
            if list(value) != usual * (len(value) // max(len(usual), 1)):
                found["activations"] = [str(one) for one in value]
    return {name: list(value) if isinstance(value, tuple | list) else value for name, value in found.items()}


def _check(network: OnnxNetwork, session: Any, calibration: Inputs, path: Path) -> None:
    """Refuse a network that torch computes otherwise than ONNX Runtime does."""
    names = network.inputs
    parts = calibration if isinstance(calibration, dict) else dict(zip(names, leaves(calibration), strict=False))
    count = min(leaves(calibration)[0].shape[0], _batch_size(session))
    with user_code("the network fails on the calibration inputs", str(path), f"inputs {', '.join(names)}",
                   "name the tensors of the data file after the inputs of the graph", describe(calibration)):
        first = {name: part[:count] for name, part in parts.items()}
        expected = session.run(None, {name: part.numpy() for name, part in first.items()})[0]
        with torch.no_grad():
            found = measured_output(call(network, first)).double().numpy()
    distance, largest = float(np.abs(found - expected).max()), float(np.abs(expected).max())
    if not distance <= CLOSE * largest:
        raise WorkloadError(
            "torch and ONNX Runtime do not agree on the calibration inputs", where=str(path),
            rule=f"outputs within {CLOSE:g} of the largest, {largest:g}", value=f"they differ by up to {distance:g}",
            next_step="bring the network as a torch module, or export it in float32",
        )


def _batch_size(session: Any) -> int:
    """Samples per run: what the file fixes, where it does."""
    fixed = [one.shape[0] for one in session.get_inputs() if one.shape and isinstance(one.shape[0], int)]
    return min(fixed, default=_USUAL_BATCH)
