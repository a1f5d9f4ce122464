"""The encoder layers of a BERT graph: found by the names that optimum gives them, and rearranged without any loss.

Two rearrangements, both exact in real arithmetic: biases move out of the way of scales that are taken per token, and
the last layer computes what the classifier reads, the first token, and nothing else (1/6 of the work of six layers).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from onnx import GraphProto, ModelProto, NodeProto, helper, numpy_helper

FIRST = ("attention/self/query", "attention/self/key", "attention/self/value")
CONTEXT, WIDE, NARROW = "attention/output/dense", "intermediate/dense", "output/dense"
PRODUCTS = (*FIRST, CONTEXT, WIDE, NARROW)
CONTRIBUTED = "com.microsoft"
"""The domain of onnxruntime's own operators."""
_PLACE = re.compile(r"/(?P<stem>\w+/encoder)/layer\.(?P<layer>\d+)/attention/self/query/MatMul")


class ForeignGraphError(Exception):
    """The graph is none whose layers are known here; the message, after "the graph has", says why."""


@dataclass(frozen=True, slots=True)
class Product:
    """x @ weights + bias: float32 (k, n) and (n,), read from ``source`` and written to ``output``."""

    source: str
    output: str
    weights: np.ndarray
    bias: np.ndarray


def _inline_identities(graph: GraphProto) -> None:
    """Read constants under their own name: the exporter stores equal ones once and calls the others Identity."""
    constants = {tensor.name for tensor in graph.initializer}
    aliases = {node.output[0]: node for node in graph.node if node.op_type == "Identity" and node.input[0] in constants}
    for node in graph.node:
        node.input[:] = [aliases[name].input[0] if name in aliases else name for name in node.input]
    for node in aliases.values():
        graph.node.remove(node)


class Layers:
    """A graph with its encoder layers named. Holds the graph it is given, and changes it.

    Raises:
        ForeignGraphError: a node is missing or is not joined as in BERT.
    """

    def __init__(self, model: ModelProto) -> None:
        self.graph = model.graph
        if all(opset.domain != CONTRIBUTED for opset in model.opset_import):
            model.opset_import.append(helper.make_opsetid(CONTRIBUTED, 1))
        _inline_identities(self.graph)
        self.nodes = {node.name: node for node in self.graph.node}
        self.tensors = {tensor.name: tensor for tensor in self.graph.initializer}
        found = [match for match in map(_PLACE.fullmatch, self.nodes) if match]
        self.stem = found[0]["stem"] if found else ""
        self.count = len(found)
        if not found or {match[0] for match in found} != {self._name(i, FIRST[0]) for i in range(self.count)}:
            raise ForeignGraphError("no layers named encoder/layer.N/attention/self/query")
        for i in range(self.count):
            self.products(i)
            for residual in ("attention/output", "output"):
                self._norm_of(self._residual(i, residual))

    def products(self, layer: int) -> dict[str, Product]:
        """Return the layer's six products by their place, as they stand now."""
        return {place: self._product(layer, place) for place in PRODUCTS}

    def move_biases(self) -> None:
        """Add the biases of both residual products to the residual itself, and take their effect off its readers.

        (x + b) @ w + (c - b @ w) = x @ w + c: the product before the residual is left without a bias.
        """
        for i in range(self.count):
            for place, readers, residual in (
                (CONTEXT, FIRST, "attention/output"),
                (NARROW, (WIDE,), "output"),
            ):
                bias = self._product(i, place).bias
                for reader in readers:
                    product = self._product(i, reader)
                    self._set_bias(i, reader, product.bias - bias @ product.weights)
                self._shift_norm(self._residual_source(i, residual, place), bias)
                self._set_bias(i, place, np.zeros_like(bias))

    def find_first_token(self) -> NodeProto:
        """Return the node that takes the first token from the last layer, for the classifier.

        Raises:
            ForeignGraphError: the classifier reads anything but token 0 of the last layer.
        """
        norm = self._norm_of(self._residual(self.count - 1, "output"))
        readers = self.readers(norm.output[0])
        if len(readers) != 1 or readers[0].op_type != "Gather" or self.constant(readers[0].input[1]) != 0:
            raise ForeignGraphError("a classifier that reads more than the first token")
        return readers[0]

    def keep_first_token(self) -> None:
        """Let the last layer compute the first token alone: its query, its residual and all that follows.

        Comes after :func:`pipeline.quantize_attention.put_tokens_first`, which refuses a classifier that reads more.
        """
        last = self.count - 1
        source = self._product(last, FIRST[0]).source
        first = f"{source}_first"
        for name, value in (("first_start", 0), ("first_end", 1)):
            self.graph.initializer.append(numpy_helper.from_array(np.array([value], np.int64), name))
        inputs = [source, "first_start", "first_end", "first_start"]
        cut = helper.make_node("Slice", inputs, [first], f"/{self.stem}/first_token")
        residual = self._residual(last, "attention/output")
        residual.input[:] = [first if name == source else name for name in residual.input]
        query = self.nodes[self._name(last, FIRST[0])]
        query.input[0] = first
        self.graph.node.insert(list(self.graph.node).index(query), cut)

    def _name(self, layer: int, place: str, operator: str = "MatMul") -> str:
        return f"/{self.stem}/layer.{layer}/{place}/{operator}"

    def _node(self, layer: int, place: str, operator: str) -> NodeProto:
        name = self._name(layer, place, operator)
        if name not in self.nodes:
            raise ForeignGraphError(f"no node {name}")
        return self.nodes[name]

    def _product(self, layer: int, place: str) -> Product:
        matmul, add = self._node(layer, place, "MatMul"), self._node(layer, place, "Add")
        biases = [name for name in add.input if name in self.tensors]
        if matmul.input[1] not in self.tensors or len(biases) != 1 or matmul.output[0] not in add.input:
            raise ForeignGraphError(f"no constant weights and bias at {matmul.name}")
        weights, bias = (numpy_helper.to_array(self.tensors[name]) for name in (matmul.input[1], biases[0]))
        if weights.dtype != np.float32 or weights.ndim != 2 or len(self.readers(matmul.output[0])) != 1:
            raise ForeignGraphError(f"no float32 product with a bias at {matmul.name}")
        return Product(matmul.input[0], add.output[0], weights, bias)

    def _set_bias(self, layer: int, place: str, bias: np.ndarray) -> None:
        add = self._node(layer, place, "Add")
        name = f"{add.name}_bias"
        add.input[:] = [name if found in self.tensors else found for found in add.input]
        self._set_tensor(name, bias.astype(np.float32))

    def _set_tensor(self, name: str, values: np.ndarray) -> None:
        if name not in self.tensors:
            self.tensors[name] = self.graph.initializer.add()
        self.tensors[name].CopyFrom(numpy_helper.from_array(values, name))

    def _residual(self, layer: int, place: str) -> NodeProto:
        return self._node(layer, place, "Add")

    def _residual_source(self, layer: int, residual: str, place: str) -> str:
        """Return what is added to the product at ``place``: the output of a LayerNormalization."""
        output = self._product(layer, place).output
        others = [name for name in self._residual(layer, residual).input if name != output]
        if len(others) != 1:
            raise ForeignGraphError(f"no residual at layer {layer} {residual}")
        return others[0]

    def _norm_of(self, residual: NodeProto) -> NodeProto:
        readers = self.readers(residual.output[0])
        if len(readers) != 1 or readers[0].op_type != "LayerNormalization":
            raise ForeignGraphError(f"no LayerNormalization after {residual.name}")
        return readers[0]

    def _shift_norm(self, output: str, shift: np.ndarray) -> None:
        (norm,) = (node for node in self.graph.node if output in node.output)
        if norm.op_type != "LayerNormalization" or len(norm.input) < 3:
            raise ForeignGraphError(f"no LayerNormalization with a bias at {norm.name}")
        bias = numpy_helper.to_array(self.tensors[norm.input[2]])
        norm.input[2] = f"{norm.name}_bias"
        self._set_tensor(norm.input[2], (bias + shift).astype(np.float32))

    def readers(self, tensor: str) -> list[NodeProto]:
        """Return the nodes that read ``tensor``."""
        return [node for node in self.graph.node if tensor in node.input]

    def constant(self, name: str) -> int | None:
        """Return the single number called ``name``, None if it is none."""
        values = [attribute.t for node in self.graph.node if name in node.output for attribute in node.attribute]
        values += [self.tensors[name]] if name in self.tensors else []
        arrays = [numpy_helper.to_array(value) for value in values]
        return int(arrays[0].item()) if len(arrays) == 1 and arrays[0].size == 1 else None
