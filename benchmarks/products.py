"""How many multiplications a graph needs, and the wall: how many a second this processor does in eight bits."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch
from onnx import TensorProto, helper, numpy_helper
from onnxruntime import GraphOptimizationLevel, InferenceSession, SessionOptions

from .shapes import Shape

ROWS = 1024
"""Tokens multiplied at once: those of one batch."""
TRIES = 20
LENGTHS = (8, 16, 32)
"""Texts whose multiplications are counted: three, for their number is a square function of the length."""


def count_products(path: Path, lengths: np.ndarray) -> float:
    """Return the mean multiplications of texts of ``lengths`` tokens, one at a time, in the matrix products of a graph.

    Counted by onnxruntime while it runs the graph as it is stored, so that whatever was cut from it does not count.
    """
    counted = [_count_once(path, length) for length in LENGTHS]
    square = np.polynomial.Polynomial.fit(LENGTHS, counted, 2)
    return float(square(lengths.astype(float)).mean())


def _count_once(path: Path, length: int) -> int:
    options = SessionOptions()
    options.enable_profiling = True
    options.log_severity_level = 3
    options.graph_optimization_level = GraphOptimizationLevel.ORT_DISABLE_ALL
    with tempfile.TemporaryDirectory() as place:
        options.profile_file_prefix = f"{place}/profile"
        session = InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        session.run(None, {found.name: np.ones((1, length), np.int64) for found in session.get_inputs()})
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    nodes = [event["args"] for event in events if "output_type_shape" in event.get("args", ())]
    return sum(_count_node(node) for node in nodes if "MatMul" in node["op_name"] or "Gemm" in node["op_name"])


def _count_node(node: dict[str, Any]) -> int:
    """Return the size of the product times the length of the sums it is made of."""
    (product,), (first,) = node["output_type_shape"][0].values(), node["input_type_shape"][0].values()
    return int(np.prod(product)) * int(first[-1])


class Wall:
    """The matrices of one encoder layer, ready to be multiplied by onnxruntime and by torch.

    Both multiply u8 or s8 by s8 into 32 bits, with neither scales nor anything else between the products. The faster of
    the two counts, in its best run: that is what an engine could reach at most if all else cost no time.
    """

    def __init__(self, shape: Shape, threads: int) -> None:
        rng = np.random.default_rng(7)
        sizes = [(shape.hidden, shape.hidden)] * 4 + [(shape.hidden, shape.intermediate)]
        self._sizes = [*sizes, (shape.intermediate, shape.hidden)]
        self._weights = [rng.integers(-127, 128, size, np.int8) for size in self._sizes]
        self._inputs = {str(k): rng.integers(0, 127, (ROWS, k), np.uint8) for k, _ in self._sizes}
        self._session = self._open(threads)
        self._tensors = {name: torch.from_numpy(values.astype(np.int8)) for name, values in self._inputs.items()}
        self._matrices = [torch.from_numpy(weights) for weights in self._weights]

    def measure(self) -> float:
        """Return products a second."""
        products = ROWS * sum(k * n for k, n in self._sizes)
        return products / min(time_best(self._run_onnxruntime), time_best(self._run_torch))

    def _run_onnxruntime(self) -> None:
        self._session.run(None, self._inputs)

    def _run_torch(self) -> None:
        for (k, _), weights in zip(self._sizes, self._matrices, strict=True):
            torch._int_mm(self._tensors[str(k)], weights)

    def _open(self, threads: int) -> InferenceSession:
        names = [f"w{i}" for i in range(len(self._weights))]
        nodes = [
            helper.make_node("MatMulInteger", [str(k), name], [f"{name}_product"])
            for name, (k, _) in zip(names, self._sizes, strict=True)
        ]
        inputs = [helper.make_tensor_value_info(n, TensorProto.UINT8, v.shape) for n, v in self._inputs.items()]
        outputs = [helper.make_tensor_value_info(f"{name}_product", TensorProto.INT32, None) for name in names]
        weights = [numpy_helper.from_array(values, name) for name, values in zip(names, self._weights, strict=True)]
        graph = helper.make_graph(nodes, "layer", inputs, outputs, weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
        options = SessionOptions()
        options.intra_op_num_threads = threads
        return InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def time_best(run: Callable[[], None]) -> float:
    """Return the seconds of the fastest of TRIES runs."""
    best = np.inf
    for _ in range(TRIES):
        started = perf_counter()
        run()
        best = min(best, perf_counter() - started)
    return float(best)
