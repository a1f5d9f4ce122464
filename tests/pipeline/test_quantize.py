"""Weights stored in eight bits come back close, whichever operator reads them."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from pipeline.quantize import BLOCK, quantize_weights

SHAPES = [(128, 256), (48, 80), (64, 3)]


def build_model(operator: str, weights: np.ndarray, **attributes: int) -> ModelProto:
    """Return a model of one node that reads ``weights``."""
    is_table = operator == "Gather"
    node = helper.make_node(operator, ["w", "x"] if is_table else ["x", "w"], ["y"], "node", **attributes)
    kind = TensorProto.INT64 if is_table else TensorProto.FLOAT
    shape = ["batch", "width", "outputs"][: 3 if is_table else 2]
    graph = helper.make_graph(
        [node],
        "one",
        [helper.make_tensor_value_info("x", kind, ["batch", "width"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(weights, "w")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def read_weights(operator: str, weights: np.ndarray, **attributes: int) -> np.ndarray:
    """Return the weights as the quantised model sees them, in their own shape."""
    model = quantize_weights(build_model(operator, weights, **attributes))
    onnx.checker.check_model(model)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    if operator == "Gather":
        return session.run(None, {"x": np.arange(len(weights))[None]})[0][0]
    identity = np.eye(weights.shape[1 if attributes else 0], dtype=np.float32)
    found = session.run(None, {"x": identity})[0]
    return found.T if attributes else found


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    ("operator", "attributes", "axis"),
    [("MatMul", {}, 0), ("Gemm", {}, 0), ("Gemm", {"transB": 1}, 1), ("Gather", {}, 1)],
)
def test_a_weight_moves_by_half_a_step_at_most(operator: str, attributes: dict, axis: int, shape: tuple) -> None:
    """A step is the block's largest weight / 127. Float16 rounds it by up to 1/2048: 0.06 of a step at the edge."""
    weights = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    weights[:, 1] = 0
    weights[0, 0] = 40
    found = read_weights(operator, weights, **attributes)
    length = shape[axis]
    parts = np.split(np.abs(weights), length // BLOCK if length % BLOCK == 0 else 1, axis)
    steps = np.concatenate([np.broadcast_to(p.max(axis, keepdims=True) / 127, p.shape) for p in parts], axis)
    assert found.shape == shape
    assert (np.abs(found - weights) <= 0.57 * steps + 1e-6).all()


def test_weights_too_small_for_a_float16_scale_become_zero() -> None:
    weights = np.full((64, 2), 1e-9, np.float32)
    assert np.array_equal(read_weights("MatMul", weights), np.zeros_like(weights))


def test_a_matrix_read_twice_is_stored_once() -> None:
    model = build_model("MatMul", np.eye(64, dtype=np.float32))
    model.graph.node.append(helper.make_node("MatMul", ["y", "w"], ["z"], "again"))
    names = [tensor.name for tensor in quantize_weights(model).graph.initializer]
    assert names == ["w_int8", "w_scale", "w_shape"]


def test_the_given_model_is_not_touched() -> None:
    model = build_model("MatMul", np.eye(64, dtype=np.float32))
    before = model.SerializeToString()
    quantize_weights(model)
    assert model.SerializeToString() == before


@pytest.mark.parametrize("kind", [np.float16, np.float64])
def test_other_types_stay_as_they_are(kind: type) -> None:
    model = build_model("MatMul", np.eye(64).astype(kind))
    assert quantize_weights(model).graph.initializer == model.graph.initializer
