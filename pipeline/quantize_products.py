"""A BERT graph -> the same graph with its encoder's products in int8, on scales that know nothing of the batch.

What an encoder layer reads gets one scale per tensor, fixed at export; where a LayerNormalization wrote it, each
channel is first divided by a factor that its weights take up (SmoothQuant, Xiao et al. 2023, arXiv:2211.10438). What a
GELU wrote gets a scale per token while scoring: its largest value varies from token to token.
Attention itself, the norms, the pooler and the classifier compute in float32.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnxruntime
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from .quantize_attention import put_tokens_first
from .quantize_layers import CONTEXT, CONTRIBUTED, FIRST, NARROW, WIDE, Layers, Product
from .quantize_rounding import round_weights
from .score import Tokens

LEVELS = 255
SMOOTHING = 0.7
"""Share of a channel's spread that its weights take up: of 0.65, 0.8, 0.9, 1 the lower two lost least."""
MARGIN = 1.05
"""How far beyond the texts seen at export an activation may reach before it is clipped."""
TINY = 1e-6
LAST = FIRST[1:]
"""What the last layer computes for all tokens, key and value. The rest of it sees the first token alone and is float32:
it costs a hundredth of the time, and nothing comes after it to even an error out."""
ZERO = 24
"""The zero point of what a GELU wrote, which reaches a little below zero."""
_GROUPS = [FIRST, (CONTEXT,), (WIDE,), (NARROW,)]
_SMOOTH = (FIRST, (WIDE,), LAST)
_BY_TOKEN = ((NARROW,),)


@dataclass(frozen=True, slots=True)
class Scale:
    """u8 = x / ``factors`` / ``step`` + ``zero``; per token, x is first divided by its largest value or ``floor``."""

    step: float
    zero: int
    factors: np.ndarray | None = None
    floor: float | None = None

    def round(self, x: np.ndarray) -> np.ndarray:
        """Return float32 (n, k): what the int8 product sees of ``x``, in units of ``factors``."""
        if self.factors is not None:
            x = x / self.factors
        largest = 1.0 if self.floor is None else np.maximum(x.max(axis=-1, keepdims=True), np.float32(self.floor))
        return (np.clip(np.rint(x / largest / self.step) + self.zero, 0, LEVELS) - self.zero) * self.step * largest


def quantize_products(model: ModelProto, texts: Sequence[Tokens]) -> ModelProto:
    """Return a copy of ``model`` whose encoder multiplies u8 by s8. ``texts`` show what activations look like.

    The weights that remain float32, embeddings, pooler and classifier, are left to quantize_weights.

    Raises:
        ForeignGraphError: the layers are not those of BERT.
    """
    result = ModelProto()
    result.CopyFrom(model)
    layers = Layers(result)
    layers.move_biases()
    built: dict[str, tuple[Scale, np.ndarray, np.ndarray, np.ndarray]] = {}
    for i in range(layers.count):
        products = layers.products(i)
        groups = [LAST] if i == layers.count - 1 else _GROUPS
        seen = observe(result, [products[group[0]].source for group in groups], texts)
        for group, x in zip(groups, seen, strict=True):
            chosen = [products[place] for place in group]
            built |= _build_group(chosen, x, group in _SMOOTH, group in _BY_TOKEN)
    put_tokens_first(layers)
    layers.keep_first_token()
    _replace_products(layers, built)
    return result


def observe(model: ModelProto, tensors: Sequence[str], texts: Sequence[Tokens]) -> list[np.ndarray]:
    """Return float32 (token_count, width) of each of ``tensors``: what ``texts`` put there, in order."""
    watched = ModelProto()
    watched.CopyFrom(model)
    watched.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in tensors)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(watched.SerializeToString(), options, providers=["CPUExecutionProvider"])
    names = [found.name for found in session.get_inputs()]
    seen: list[list[np.ndarray]] = [[] for _ in tensors]
    for ids, segments in texts:
        values = {"input_ids": ids, "attention_mask": [1] * len(ids), "token_type_ids": segments}
        found = session.run(list(tensors), {name: np.array([values[name]], np.int64) for name in names})
        for rows, part in zip(seen, found, strict=True):
            rows.append(part.reshape(-1, part.shape[-1]))
    return [np.concatenate(rows) for rows in seen]


def find_factors(x: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return float32 (k,): by what to divide the channels of ``x`` (n, k), and multiply the rows of ``weights``."""
    spread = np.maximum(np.abs(x).max(axis=0), TINY)
    reach = np.maximum(np.abs(weights).max(axis=1), TINY)
    factors = spread**SMOOTHING / reach ** (1 - SMOOTHING)
    return (factors / np.exp(np.log(factors).mean())).astype(np.float32)


def fix_scale(x: np.ndarray, factors: np.ndarray | None = None) -> Scale:
    """Return the one scale for activations like ``x`` (n, k), whose channels are divided by ``factors``, if any."""
    parts = x if factors is None else x / factors
    low, high = min(0.0, float(parts.min())) * MARGIN, max(0.0, float(parts.max())) * MARGIN
    step = max(high - low, TINY) / LEVELS
    return Scale(step, int(np.clip(np.rint(-low / step), 0, LEVELS)), factors)


def scale_by_token(x: np.ndarray) -> Scale:
    """Return how each token of activations like ``x`` (n, k), which a GELU wrote, finds its own scale.

    It is divided by its largest value, or by more where its lowest value would not fit under the zero point.
    """
    return Scale(1 / (LEVELS - ZERO), ZERO, floor=max(TINY, -float(x.min()) * (LEVELS - ZERO) / ZERO))


def _build_group(
    products: Sequence[Product], x: np.ndarray, is_smooth: bool, is_by_token: bool
) -> dict[str, tuple[Scale, np.ndarray, np.ndarray, np.ndarray]]:
    """Return by output name the scale of what the ``products`` share, and int8 weights, column scales and bias of each.

    A fixed scale's mean error goes into the bias; scales by token have no use for one.
    """
    weights = np.concatenate([product.weights for product in products], axis=1)
    factors = find_factors(x, weights) if is_smooth else None
    scale = scale_by_token(x) if is_by_token else fix_scale(x, factors)
    factored = weights if scale.factors is None else weights * scale.factors[:, None]
    rounded = scale.round(x).astype(np.float32)
    values, steps = round_weights(factored, rounded.T @ rounded / len(rounded))
    error = (
        (x.mean(axis=0) @ weights - rounded.mean(axis=0) @ (values * steps))
        if scale.floor is None
        else np.zeros(len(steps))
    )
    edges = np.cumsum([product.weights.shape[1] for product in products])[:-1]
    parts = (np.split(array, edges, axis=-1) for array in (values, steps, error))
    return {
        product.output: (scale, part, step, (product.bias + mean).astype(np.float32))
        for product, part, step, mean in zip(products, *parts, strict=True)
    }


def _replace_products(layers: Layers, built: dict[str, tuple[Scale, np.ndarray, np.ndarray, np.ndarray]]) -> None:
    """Put int8 nodes where the graph has MatMul and Add, and drop the float weights."""
    graph = layers.graph
    products = {product.output: product for i in range(layers.count) for product in layers.products(i).values()}
    writer = _Writer()
    nodes: list[NodeProto] = []
    gone = {node.output[0] for node in graph.node if node.op_type == "MatMul" and _leads_to(layers, node, built)}
    for node in graph.node:
        if node.output[0] in built:
            writer.write(products[node.output[0]], *built[node.output[0]])
            nodes += writer.take()
        elif node.output[0] not in gone:
            nodes.append(node)
    used = {name for node in nodes for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.node[:], graph.initializer[:], graph.value_info[:]
    graph.node.extend(nodes)
    graph.initializer.extend([*kept, *writer.constants.values()])


def _leads_to(layers: Layers, node: NodeProto, built: Mapping[str, object]) -> bool:
    readers = [reader for reader in layers.graph.node if node.output[0] in reader.input]
    return len(readers) == 1 and readers[0].output[0] in built


class _Writer:
    """Writes the nodes of int8 products, each activation cut to u8 once however many products read it."""

    def __init__(self) -> None:
        self.constants: dict[str, TensorProto] = {}
        self._nodes: list[NodeProto] = []
        self._cut: dict[str, tuple[str, str]] = {}

    def take(self) -> list[NodeProto]:
        """Return the nodes written since the last time."""
        nodes, self._nodes = self._nodes, []
        return nodes

    def write(self, product: Product, scale: Scale, values: np.ndarray, steps: np.ndarray, bias: np.ndarray) -> None:
        """Write one product into its output."""
        x, out = product.source, product.output
        if x not in self._cut:
            self._cut[x] = self._cut_to_u8(x, scale, len(values))
        cut, largest = self._cut[x]
        inputs = [cut, self._tensor(f"{out}_s8", values), self._number(f"{x}_step", np.float32(scale.step))]
        inputs += [self._tensor(f"{out}_steps", steps), self._number(f"{x}_zero", np.uint8(scale.zero))]
        inputs += [self._number("s8_zero", np.int8(0))]
        if largest:
            assert not bias.any(), "Layers.move_biases leaves none where scales are taken per token"
            self._node("MatMulIntegerToFloat", inputs, f"{out}_unit")
            self._node("Mul", [f"{out}_unit", largest], out)
        else:
            self._node("MatMulIntegerToFloat", [*inputs, self._tensor(f"{out}_bias", bias)], out)

    def _cut_to_u8(self, x: str, scale: Scale, width: int) -> tuple[str, str]:
        """Write what turns ``x`` into u8; return that, and what each token was divided by, "" for a fixed scale."""
        step = self._number(f"{x}_step", np.float32(scale.step))
        zero = self._number(f"{x}_zero", np.uint8(scale.zero))
        if scale.floor is not None:
            return self._cut_by_token(x, self._number(f"{x}_floor", np.float32(scale.floor)), step, zero, width)
        part = x
        if scale.factors is not None:
            inverse = self._tensor(f"{x}_factors", (1 / scale.factors).astype(np.float32))
            part = self._node("Mul", [x, inverse], f"{x}_smooth")
        return self._node("QuantizeLinear", [part, step, zero], f"{x}_u8"), ""

    def _cut_by_token(self, x: str, floor: str, step: str, zero: str, width: int) -> tuple[str, str]:
        """Write the same for a step of each token's own: as rows, for QuantizeLinear has steps along one axis only."""
        last = self._number("last_axis", np.array([-1], np.int64))
        peak = self._node("ReduceMax", [x, last], f"{x}_peak", keepdims=1)
        largest = self._node("Max", [peak, floor], f"{x}_largest")
        steps = self._node("Reshape", [self._node("Mul", [largest, step], f"{x}_scaled"), last], f"{x}_token_steps")
        zeros = self._node("Expand", [zero, self._node("Shape", [steps], f"{x}_count")], f"{x}_zeros")
        shape = self._number(f"{x}_rows_shape", np.array([-1, width], np.int64))
        rows = self._node("Reshape", [x, shape], f"{x}_rows")
        cut = self._node("QuantizeLinear", [rows, steps, zeros], f"{x}_rows_u8", axis=0)
        return self._node("Reshape", [cut, self._node("Shape", [x], f"{x}_shape")], f"{x}_u8"), largest

    def _node(self, operator: str, inputs: Sequence[str], output: str, **attributes: int) -> str:
        node = helper.make_node(operator, inputs, [output], f"{output}_{operator}")
        node.domain = CONTRIBUTED if operator == "MatMulIntegerToFloat" else ""
        node.attribute.extend(helper.make_attribute(name, value) for name, value in attributes.items())
        self._nodes.append(node)
        return output

    def _tensor(self, name: str, values: np.ndarray) -> str:
        self.constants[name] = numpy_helper.from_array(np.ascontiguousarray(values), name)
        return name

    def _number(self, name: str, value: np.generic | np.ndarray) -> str:
        return self._tensor(name, np.asarray(value))
