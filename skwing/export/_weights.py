"""Smaller storage of the weights of a graph, which are converted when the file is loaded."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from typing import Any

NETWORKS = "networks"  # the names of weights begin with it; other constants are coordinates
_LARGE = 1000  # smaller constants of a graph are not worth a conversion


def is_large(weights: Any) -> bool:
    """Whether an initializer of a graph is a float32 matrix of many weights of a network."""
    import onnx

    is_matrix = weights.data_type == onnx.TensorProto.FLOAT and len(weights.dims) > 1
    return (
        is_matrix and math.prod(weights.dims) >= _LARGE and weights.name.startswith(NETWORKS + ".")
    )


def halve(graph: Any) -> None:
    """Store large matrices of float32 as float16, followed by a conversion to float32."""
    import onnx

    casts = []
    for weights in filter(is_large, graph.initializer):
        name, stored = weights.name, f"{weights.name}.float16"
        array = onnx.numpy_helper.to_array(weights).astype(np.float16)
        weights.CopyFrom(onnx.numpy_helper.from_array(array, stored))
        casts.append(onnx.helper.make_node("Cast", [stored], [name], to=onnx.TensorProto.FLOAT))
    _prepend(graph, casts)


def quarter(graph: Any) -> None:
    """Store stacks of large matrices in eight bits, with a scale for each column."""
    import onnx

    nodes, scales = [], []
    for weights in filter(is_large, graph.initializer):
        array = onnx.numpy_helper.to_array(weights)
        if array.ndim != 3 or array[0].size < _LARGE:
            continue
        name, stored = weights.name, f"{weights.name}.int8"
        scale = np.maximum(np.abs(array).max(1, keepdims=True), np.float32(1e-30)) / 127
        whole = np.rint(array / scale).astype(np.int8)
        weights.CopyFrom(onnx.numpy_helper.from_array(whole, stored))
        scales.append(onnx.numpy_helper.from_array(scale.astype(np.float32), f"{name}.scale"))
        float32 = onnx.TensorProto.FLOAT
        nodes.append(onnx.helper.make_node("Cast", [stored], [f"{name}.whole"], to=float32))
        nodes.append(onnx.helper.make_node("Mul", [f"{name}.whole", f"{name}.scale"], [name]))
    graph.initializer.extend(scales)
    _prepend(graph, nodes)


def _prepend(graph: Any, nodes: list[Any]) -> None:
    nodes = [*nodes, *graph.node]  # a node must follow those it depends on
    del graph.node[:]
    graph.node.extend(nodes)
