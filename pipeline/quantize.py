"""A float32 ONNX graph -> the same graph in eight bits, in which no score hangs on the rest of its batch.

The encoder layers of BERT multiply in int8 (quantize_products.py). Everything else, and every graph of another
architecture, stores int8 weights and computes in float32, with standard operators only: a matrix that meets a MatMul, a
Gemm or a Gather becomes int8 with one scale per 64 weights of an output column (of an embedding row): w is close to
scale * q with q in -127..127, at most about half a scale away. Why not dynamic int8: docs/QUANTIZATION.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from .quantize_layers import ForeignGraphError
from .quantize_products import quantize_products
from .score import Tokens

LEVELS = 127
BLOCK = 64
"""Weights that share a scale. Halving it adds 0.7 MB to the 22.7 M weights of MiniLM-L6."""
FAST = (
    "int8 products in the encoder, weights rounded in pairs that no CPU saturates, activations scaled by tensor "
    "(fixed) or by token; the rest int8 weights, a float16 scale per 64 of them, float32 arithmetic"
)
MOVED = "int8 products moved too many labels"
PLAIN = "int8 weights, a float16 scale per 64 of them; float32 arithmetic"


def quantize_model(model: ModelProto, texts: Sequence[Tokens]) -> Iterator[tuple[ModelProto, str]]:
    """Yield copies of ``model`` (opset 18) in eight bits, the faster first, and in words how each computes.

    The caller takes the first that is close enough; the words, made for provenance.json, say why it is not the faster
    one. ``texts`` are token ids and segment ids that show what activations look like; their number sets the time taken.
    """
    reason = MOVED
    try:
        yield quantize_weights(quantize_products(model, texts)), FAST
    except ForeignGraphError as found:
        reason = f"the graph has {found}"
    yield quantize_weights(model), f"{PLAIN}, for {reason}"


def quantize_weights(model: ModelProto, block: int = BLOCK) -> ModelProto:
    """Return a copy of ``model`` (opset 13 or later) with its two-dimensional weights stored as int8.

    A row or column whose length is no multiple of ``block`` gets a single scale.
    """
    result = ModelProto()
    result.CopyFrom(model)
    graph = result.graph
    weights = {t.name: t for t in graph.initializer if len(t.dims) == 2 and t.data_type == TensorProto.FLOAT}
    nodes: list[NodeProto] = []
    packed: dict[str, list[TensorProto]] = {}
    for node in graph.node:
        if node.op_type == "Gather" and node.input[0] in weights:
            table = weights[node.input[0]]
            packed[f"{table.name}_rows"] = _pack(table, f"{table.name}_rows", 1, block)
            nodes += _unpack_rows(node, f"{table.name}_rows")
        elif node.op_type in ("MatMul", "Gemm") and node.input[1] in weights:
            matrix = weights[node.input[1]]
            if matrix.name not in packed:
                packed[matrix.name] = _pack(matrix, matrix.name, 1 - _output_axis(node), block)
                nodes += _unpack(f"{matrix.name}_int8", f"{matrix.name}_scale", f"{matrix.name}_float", matrix.name)
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


def _pack(tensor: TensorProto, name: str, reduced_axis: int, block: int) -> list[TensorProto]:
    """Return int8 values and float16 scales, both with ``reduced_axis`` cut into blocks, and the shape to restore.

    The shape of a table is that of its rows as they are fetched: the first two axes, batch and token, stay.
    """
    weights = numpy_helper.to_array(tensor)
    length = weights.shape[reduced_axis]
    block = block if length % block == 0 else length
    shape = list(weights.shape)
    blocks = weights.reshape(*shape[:reduced_axis], length // block, block, *shape[reduced_axis + 1 :])
    scales = (np.abs(blocks).max(axis=reduced_axis + 1, keepdims=True) / LEVELS).astype(np.float16)
    scales[scales == 0] = 1
    values = np.clip(np.rint(blocks / scales.astype(np.float32)), -LEVELS, LEVELS).astype(np.int8)
    restored = [0, 0, length] if name.endswith("_rows") else shape
    return [
        numpy_helper.from_array(values, f"{name}_int8"),
        numpy_helper.from_array(scales, f"{name}_scale"),
        numpy_helper.from_array(np.array(restored, np.int64), f"{name}_shape"),
    ]


def _unpack(values: str, scales: str, output: str, name: str) -> list[NodeProto]:
    """Return nodes that multiply int8 values by their scales; on constants, onnxruntime runs them once, at load."""
    return [
        helper.make_node("Cast", [values], [f"{output}_values"], f"{output}_values", to=TensorProto.FLOAT),
        helper.make_node("Cast", [scales], [f"{output}_scales"], f"{output}_scales", to=TensorProto.FLOAT),
        helper.make_node("Mul", [f"{output}_values", f"{output}_scales"], [f"{output}_blocks"], f"{output}_blocks"),
        helper.make_node("Reshape", [f"{output}_blocks", f"{name}_shape"], [output], f"{output}_unpack"),
    ]


def _unpack_rows(node: NodeProto, name: str) -> list[NodeProto]:
    """Return nodes that fetch int8 rows and unpack those alone: the whole table would take four times the memory."""
    index, output = node.input[1], node.output[0]
    return [
        helper.make_node("Gather", [f"{name}_int8", index], [f"{output}_int8"], f"{node.name}_int8"),
        helper.make_node("Gather", [f"{name}_scale", index], [f"{output}_scale"], f"{node.name}_scale"),
        *_unpack(f"{output}_int8", f"{output}_scale", output, name),
    ]


def _replace_parts(graph: GraphProto, nodes: list[NodeProto], packed: list[TensorProto]) -> None:
    """Put ``nodes`` in place of the graph's own, and ``packed`` in place of the weights no node reads any more."""
    used = {name for node in nodes for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.node[:], graph.initializer[:], graph.value_info[:]
    graph.node.extend(nodes)
    graph.initializer.extend(kept + packed)
