"""Eight-bit weights as this project stores them and as they are usually stored, and what 16-bit pair sums do to both.

vpmaddubsw, which onnxruntime uses where there is no VNNI, multiplies u8 by s8, adds the products of rows 2j and 2j + 1
in 16 bits and saturates there. Pure but for writing graphs and model folders.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import ModelProto, TensorProto, helper, numpy_helper

from pipeline.model_folder import ONNX_FILE, PROVENANCE, read_json, write_provenance

RANDOM_ROWS = 32
WORST_COLUMNS = 16


@dataclass(frozen=True, slots=True)
class Weights:
    """One matrix of a graph: int8 (k, n) and a float32 scale per column, with the names of both in the graph."""

    name: str
    scale_name: str
    values: np.ndarray
    scales: np.ndarray

    def widen(self) -> Weights:
        """Return the same numbers in the usual eight bits: each column scaled until its largest weight is 127."""
        factors = 127 / np.maximum(np.abs(self.values.astype(int)).max(axis=0), 1)
        values = np.rint(self.values * factors).astype(np.int8)
        return Weights(self.name, self.scale_name, values, (self.scales / factors).astype(np.float32))


def list_weights(model: ModelProto) -> list[Weights]:
    """Return the matrices of a graph that are multiplied in eight bits, in the graph's order."""
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    return [
        Weights(node.input[1], node.input[3], *(numpy_helper.to_array(tensors[node.input[i]]) for i in (1, 3)))
        for node in model.graph.node
        if node.op_type == "MatMulIntegerToFloat"
    ]


def draw_activations(values: np.ndarray, seed: int = 7) -> Iterator[tuple[str, np.ndarray]]:
    """Yield kinds of activations for int8 (k, n) weights, each with uint8 (m, k).

    "any": random bytes. "worst": 255 where one sign of a column is and 0 elsewhere, for the columns with the widest
    pairs; no activations can make their pair sums larger.
    """
    yield "any", np.random.default_rng(seed).integers(0, 256, (RANDOM_ROWS, len(values)), np.uint8)
    pairs = np.maximum(values.astype(int), 0).reshape(-1, 2, values.shape[1]).sum(axis=1).max(axis=0)
    chosen = values[:, np.argsort(-pairs, kind="stable")[:WORST_COLUMNS]].T
    yield "worst", (255 * np.concatenate([chosen > 0, chosen < 0])).astype(np.uint8)


def multiply_exactly(activations: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return int64 (m, n): uint8 (m, k) times int8 (k, n)."""
    return (activations.astype(np.float64) @ values.astype(np.float64)).astype(np.int64)


def multiply_in_pairs(activations: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return int64 (m, n) as vpmaddubsw leads to it: each pair of rows summed and cut to -32768..32767, then added up.

    A last row without partner meets zeros.
    """
    padding = len(values) % 2
    rows = np.pad(values.astype(np.int64), ((0, padding), (0, 0)))
    columns = np.pad(activations.astype(np.int64), ((0, 0), (0, padding)))
    pairs = columns[:, ::2, None] * rows[::2] + columns[:, 1::2, None] * rows[1::2]
    return np.clip(pairs, -(2**15), 2**15 - 1).sum(axis=1)


def write_product(folder: Path, name: str, activations: np.ndarray, values: np.ndarray) -> None:
    """Write for benchmarks.guest a graph of one MatMulInteger by ``values``, and its input."""
    node = helper.make_node("MatMulInteger", ["x", "w"], ["y"])
    inputs = [helper.make_tensor_value_info("x", TensorProto.UINT8, [None, len(values)])]
    outputs = [helper.make_tensor_value_info("y", TensorProto.INT32, [None, values.shape[1]])]
    graph = helper.make_graph([node], "product", inputs, outputs, [numpy_helper.from_array(values, "w")])
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), folder / f"{name}.onnx"
    )
    np.save(folder / f"{name}.npy", activations)


def separate_zeros(model: ModelProto) -> None:
    """Give each eight-bit product of ``model`` a zero point of its own.

    onnxruntime 1.32 refuses "session.x64quantprecision" (u8 x u8, which never saturates) where two products share one.
    """
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    for i, node in enumerate(node for node in model.graph.node if node.op_type == "MatMulIntegerToFloat"):
        zero = model.graph.initializer.add()
        zero.CopyFrom(tensors[node.input[5]])
        zero.name = node.input[5] = f"{node.input[5]}_{i}"


def copy_widened(folder: Path, copy: Path) -> None:
    """Copy a model folder with its weights in the usual eight bits: the same model, were it not for pair sums."""
    shutil.copytree(folder, copy)
    model = onnx.load(folder / ONNX_FILE)
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    for weights in map(Weights.widen, list_weights(model)):
        tensors[weights.name].CopyFrom(numpy_helper.from_array(weights.values, weights.name))
        tensors[weights.scale_name].CopyFrom(numpy_helper.from_array(weights.scales, weights.scale_name))
    onnx.save(model, copy / ONNX_FILE)
    write_provenance(copy, read_json(copy / PROVENANCE))
