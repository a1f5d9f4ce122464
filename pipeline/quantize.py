"""A float32 ONNX graph -> the same graph with int8 weights and float32 arithmetic. Standard operators only.

Every matrix that meets a MatMul, a Gemm or a Gather becomes int8 with one scale per output column (per row of an
embedding table): w is close to scale * q with q in -127..127, at most half a scale away. Activations stay float32, so
nothing depends on the batch and no integer product can saturate on an old CPU. Why not dynamic int8:
docs/QUANTIZATION.md.
"""

from __future__ import annotations

import numpy as np
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

LEVELS = 127


def quantize_weights(model: ModelProto) -> ModelProto:
    """Return a copy of ``model`` (opset 13 or later) with its two-dimensional weights stored as int8."""
    result = ModelProto()
    result.CopyFrom(model)
    graph = result.graph
    weights = {t.name: t for t in graph.initializer if len(t.dims) == 2 and t.data_type == TensorProto.FLOAT}
    nodes: list[NodeProto] = []
    packed: dict[str, list[TensorProto]] = {}
    for node in graph.node:
        if node.op_type == "Gather" and node.input[0] in weights:
            table = weights[node.input[0]]
            packed[f"{table.name}_rows"] = _pack(table, f"{table.name}_rows", reduced_axis=1)
            nodes += _unpack_rows(node, f"{table.name}_rows")
        elif node.op_type in ("MatMul", "Gemm") and node.input[1] in weights:
            matrix, axis = weights[node.input[1]], _output_axis(node)
            if matrix.name not in packed:
                packed[matrix.name] = _pack(matrix, matrix.name, reduced_axis=1 - axis)
                nodes.append(_unpack_matrix(matrix.name, axis))
            node.input[1] = f"{matrix.name}_float"
            nodes.append(node)
        else:
            nodes.append(node)
    _replace_parts(graph, nodes, [tensor for tensors in packed.values() for tensor in tensors])
    return result


def _output_axis(node: NodeProto) -> int:
    """Return the axis of the weight along which the layer's outputs lie."""
    is_transposed = any(attribute.name == "transB" and attribute.i for attribute in node.attribute)
    return 0 if is_transposed else 1


def _pack(tensor: TensorProto, name: str, reduced_axis: int) -> list[TensorProto]:
    """Return int8 values and float32 scales; the largest magnitude along ``reduced_axis`` becomes 127.

    The scales of a table are (rows, 1), so that a fetched scale multiplies its row; DequantizeLinear wants them flat.
    """
    weights = numpy_helper.to_array(tensor)
    largest = np.abs(weights).max(axis=reduced_axis, keepdims=True)
    scales = np.where(largest > 0, largest / LEVELS, 1).astype(np.float32)
    values = np.clip(np.rint(weights / scales), -LEVELS, LEVELS).astype(np.int8)
    shaped = scales if name.endswith("_rows") else scales.ravel()
    return [numpy_helper.from_array(values, f"{name}_int8"), numpy_helper.from_array(shaped, f"{name}_scale")]


def _unpack_matrix(name: str, axis: int) -> NodeProto:
    return helper.make_node(
        "DequantizeLinear", [f"{name}_int8", f"{name}_scale"], [f"{name}_float"], f"{name}_unpack", axis=axis
    )


def _unpack_rows(node: NodeProto, name: str) -> list[NodeProto]:
    """Return nodes that fetch int8 rows and unpack those alone; unpacking the whole table costs its full size."""
    index, output = node.input[1], node.output[0]
    rows, scales, floats = (f"{output}_{part}" for part in ("int8", "scale", "float"))
    return [
        helper.make_node("Gather", [f"{name}_int8", index], [rows], f"{node.name}_int8"),
        helper.make_node("Gather", [f"{name}_scale", index], [scales], f"{node.name}_scale"),
        helper.make_node("Cast", [rows], [floats], f"{node.name}_cast", to=TensorProto.FLOAT),
        helper.make_node("Mul", [floats, scales], [output], f"{node.name}_unpack"),
    ]


def _replace_parts(graph: GraphProto, nodes: list[NodeProto], packed: list[TensorProto]) -> None:
    """Put ``nodes`` in place of the graph's own, and ``packed`` in place of the weights no node reads any more."""
    used = {name for node in nodes for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.node[:], graph.initializer[:], graph.value_info[:]
    graph.node.extend(nodes)
    graph.initializer.extend(kept + packed)
