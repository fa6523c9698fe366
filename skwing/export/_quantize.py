"""Static quantisation of a graph to integers of eight bits.

Quantised are the convolutions of the trunk and the fully connected layers, with a scale for each
output channel. The results of layers that do not lead to another quantised layer, which include all
coordinates, stay in float32, and so do crops and the first convolution, whose input they are.
"""

from __future__ import annotations

import contextlib
import logging
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from skwing.export._weights import is_large

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from numpy.typing import NDArray

_N_COLORS = 3
# Operations between layers that hardly need more than eight bits.
_BETWEEN = {"Add", "Flatten", "Identity", "MaxPool", "Relu", "Reshape", "Squeeze", "Transpose"}
_PREPARED = "onnx.quant.pre_process"


def quantized(model: Any, batches: list[NDArray[np.uint8]]) -> Any:
    """Quantise a graph.

    Parameters
    ----------
    model : onnx.ModelProto
        In float32.
    batches : list of uint8 array of shape (n, size, size, 3)
        Chips from which the ranges of all values are determined.

    Returns
    -------
    model : onnx.ModelProto
    """
    import onnx
    from onnxruntime import quantization

    class Reader(quantization.CalibrationDataReader):
        def __init__(self) -> None:
            self.waiting = iter(batches)

        def get_next(self) -> Any:
            pixels = next(self.waiting, None)
            return None if pixels is None else {"chips": pixels}

    nodes = _layers(model.graph)
    if not nodes:
        return model
    named = onnx.ModelProto()
    named.CopyFrom(model)
    _separate_biases(named.graph, set(nodes))
    # Shapes are known already, and constants are folded by the runtimes.
    named.metadata_props.add(key=_PREPARED, value="onnxruntime.quant")
    with tempfile.TemporaryDirectory() as folder, _quiet():
        path = Path(folder) / "quantized.onnx"
        quantization.quantize_static(
            named,
            path,
            Reader(),
            quant_format=quantization.QuantFormat.QDQ,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            per_channel=True,
            # Weights of seven bits, because processors without VNNI add pairs of products in 16.
            reduce_range=True,
            op_types_to_quantize=["Conv", "Add", "Gemm", "MatMul", "Relu"],
            nodes_to_quantize=nodes,
            extra_options={"OpTypesToExcludeOutputQuantization": ["Gemm", "MatMul"]},
        )
        result = onnx.load(path)
    del result.metadata_props[:]
    return result


def _separate_biases(graph: Any, layers: set[str]) -> None:
    """Add the biases of fully connected layers in float, where no further layer follows.

    Such biases are coordinates. As integers, in units of the smallest weights, they could overflow.
    """
    import onnx

    users = _users(graph)
    nodes = []
    for node in graph.node:
        nodes.append(node)
        if node.name in layers and node.op_type == "Gemm" and len(node.input) == 3:
            if _leads_to(node, layers, users):
                continue
            result, bias = node.output[0], node.input.pop()
            node.output[0] = f"{result}.unbiased"
            nodes.append(onnx.helper.make_node("Add", [node.output[0], bias], [result]))
    nodes = list(map(_copied, nodes))
    del graph.node[:]
    graph.node.extend(nodes)


def _copied(node: Any) -> Any:
    copy = type(node)()
    copy.CopyFrom(node)
    return copy


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the log messages of the library, which suggest steps that are taken already."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


def _layers(graph: Any) -> list[str]:
    """Names of the nodes to quantise."""
    weights, users = {w.name: w for w in graph.initializer}, _users(graph)
    connected = {node.name for node in graph.node if _is_fully_connected(node, weights)}
    inner = [node for node in graph.node if _reads_features(node, weights)]
    candidates = connected | {node.name for node in inner}
    convolutions = [node for node in inner if _leads_to(node, candidates, users)]
    chosen = connected | {node.name for node in convolutions}
    sums = [
        user
        for node in convolutions
        for user in users[node.output[0]]
        if user.op_type == "Add" and not set(user.input) & set(weights)
    ]
    chosen |= {node.name for node in sums if _leads_to(node, chosen, users)}
    # Where negative numbers are cut off anyway, integers begin at 0, and this operation vanishes.
    chosen |= {
        user.name
        for node in graph.node
        if node.name in chosen
        for user in users.get(node.output[0], [])
        if user.op_type == "Relu" and _leads_to(user, chosen, users)
    }
    return [node.name for node in graph.node if node.name in chosen]


def _users(graph: Any) -> dict[str, list[Any]]:
    """Nodes that take each value."""
    users: dict[str, list[Any]] = {}
    for node in graph.node:
        for name in node.input:
            users.setdefault(name, []).append(node)
    return users


def _is_fully_connected(node: Any, weights: dict[str, Any]) -> bool:
    if node.op_type not in ("Gemm", "MatMul") or node.input[1] not in weights:
        return False
    matrix = weights[node.input[1]]
    # The library has no scale for each output of matrices that are stacked.
    return len(matrix.dims) == 2 and is_large(matrix)


def _reads_features(node: Any, weights: dict[str, Any]) -> bool:
    """Whether a node is a convolution of features, not of a crop."""
    known = node.op_type == "Conv" and node.input[1] in weights
    return known and weights[node.input[1]].dims[1] != _N_COLORS


def _leads_to(node: Any, layers: set[str], users: dict[str, list[Any]]) -> bool:
    """Whether one of some layers uses the result of a node."""
    return any(
        user.name in layers or (user.op_type in _BETWEEN and _leads_to(user, layers, users))
        for user in users.get(node.output[0], [])
    )
