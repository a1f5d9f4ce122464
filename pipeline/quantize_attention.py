"""A BERT graph -> the same graph with tokens before texts, (token, text, width), so that attention moves nothing first.

Products of tokens do not care for the order of the first two axes. Attention's own do: per text and head they multiply
token by token, and onnxruntime's FusedMatMul reads that from (token, text, head, width) in place. Of a layer's four
transpositions one remains, that of what attention wrote. Exact: the same numbers are multiplied in the same order.
"""

from __future__ import annotations

import numpy as np
from onnx import NodeProto, helper, numpy_helper

from .quantize_layers import CONTRIBUTED, FIRST, ForeignGraphError, Layers

HEADS, WHOLE = "heads_shape", "whole_shape"
_TO_HEADS, _KEY_TO_HEADS, _FROM_HEADS = [0, 2, 1, 3], [0, 2, 3, 1], [2, 0, 1, 3]


def put_tokens_first(layers: Layers) -> None:
    """Rearrange the encoder of ``layers`` in place: it starts with a transposition, the classifier reads token 0.

    Raises:
        ForeignGraphError: attention is not joined as in BERT, or the classifier reads more than the first token.
    """
    graph = layers.graph
    gather = layers.find_first_token()
    source = layers.products(0)[FIRST[0]].source
    readers = layers.readers(source)
    head_width = _find_head_width(layers)
    for i in range(layers.count):
        _rearrange(layers, i)
    for node in readers:
        node.input[:] = [f"{source}_tokens" if name == source else name for name in node.input]
    start = helper.make_node("Transpose", [source], [f"{source}_tokens"], f"{source}_tokens", perm=[1, 0, 2])
    graph.node.insert(1 + max(i for i, node in enumerate(graph.node) if source in node.output), start)
    _set_attribute(gather, "axis", 0)
    for name, shape in ((HEADS, [0, 0, -1, head_width]), (WHOLE, [0, 0, -1])):
        graph.initializer.append(numpy_helper.from_array(np.array(shape, np.int64), name))
    _drop_unread(layers)
    if left := [node.name for node in graph.node if node.op_type == "Shape" and f"{layers.stem}/layer." in node.name]:
        raise ForeignGraphError(f"layers that look at their shape: {left[0]}")


def _rearrange(layers: Layers, layer: int) -> None:
    """Let the layer's attention read and write tokens first."""
    products = layers.products(layer)
    parts = []
    for place, perm in zip(FIRST, (_TO_HEADS, _KEY_TO_HEADS, _TO_HEADS), strict=True):
        cut = _read(layers, products[place].output, "Reshape")
        parts.append((cut, _read(layers, cut.output[0], "Transpose", perm)))
    (query, turned_query), (key, _), (value, turned_value) = parts
    scores = _read(layers, turned_query.output[0], "MatMul")
    context = _read(layers, turned_value.output[0], "MatMul")
    back = _read(layers, context.output[0], "Transpose", _TO_HEADS)
    whole = [node for node in layers.readers(back.output[0]) if node.op_type == "Reshape"]  # others read its shape
    if len(whole) != 1:
        raise ForeignGraphError(f"attention that does not go from {back.output[0]} to one Reshape")
    for cut, _ in parts:
        cut.input[1] = HEADS
    whole[0].input[1] = WHOLE
    _set_attribute(back, "perm", _FROM_HEADS)
    _fuse(scores, [query.output[0], key.output[0]], transBatchA=1, transBatchB=1, transB=1)
    _fuse(context, [context.input[0], value.output[0]], transBatchB=1)


def _find_head_width(layers: Layers) -> int:
    """Return the last number of the shape that cuts the first query into heads."""
    shape = _read(layers, layers.products(0)[FIRST[0]].output, "Reshape").input[1]
    parts = [name for node in layers.graph.node if shape in node.output for name in node.input]
    width = layers.constant(parts[-1]) if parts else None
    if width is None:
        raise ForeignGraphError(f"heads of no fixed width: {shape}")
    return width


def _read(layers: Layers, tensor: str, operator: str, perm: list[int] | None = None) -> NodeProto:
    """Return the only node that reads ``tensor``."""
    readers = layers.readers(tensor)
    if len(readers) != 1 or readers[0].op_type != operator or (perm and _get_perm(readers[0]) != perm):
        raise ForeignGraphError(f"attention that does not go from {tensor} to one {operator}")
    return readers[0]


def _get_perm(node: NodeProto) -> list[int]:
    return [value for attribute in node.attribute if attribute.name == "perm" for value in attribute.ints]


def _fuse(node: NodeProto, inputs: list[str], **attributes: int) -> None:
    node.op_type, node.domain = "FusedMatMul", CONTRIBUTED
    node.input[:] = inputs
    node.attribute.extend(helper.make_attribute(name, value) for name, value in attributes.items())


def _set_attribute(node: NodeProto, name: str, value: int | list[int]) -> None:
    kept = [attribute for attribute in node.attribute if attribute.name != name]
    del node.attribute[:]
    node.attribute.extend([*kept, helper.make_attribute(name, value)])


def _drop_unread(layers: Layers) -> None:
    """Remove nodes that nothing reads any more."""
    read = {output.name for output in layers.graph.output}
    for node in reversed(list(layers.graph.node)):
        if read.intersection(node.output):
            read.update(node.input)
        else:
            layers.graph.node.remove(node)
